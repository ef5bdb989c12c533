"""A server that stops."""

import http.client
import socket
import threading
import time
from collections import Counter

import pytest

from tests.support.serving import (
    answer_of,
    ask,
    engine_of,
    metric,
    png,
    served,
    until,
    until_stopped,
)


def test_a_server_that_stops_answers_all_that_it_has_accepted():
    counts, lock = Counter(), threading.Lock()
    for _ in range(5):
        before = counts.total()
        with served(engine_of(lambda *_: time.sleep(0.003)), wait=0.001) as server:
            clients = [
                threading.Thread(
                    target=until_stopped, args=(server.port, png(), counts, lock)
                )
                for _ in range(24)
            ]
            for client in clients:
                client.start()
            until(lambda before=before: counts.total() > before + 100)
        for client in clients:
            client.join()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
    assert counts.keys() == {(200, True)}


def test_open_connections_have_a_second_for_their_last_request():
    answers = []

    def ask_late(server, connection: http.client.HTTPConnection) -> None:
        until(server.serving.stopping.is_set)
        connection.request("GET", "/ready")
        answers.append(answer_of(connection.getresponse()))

    with served(engine_of()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/ready")
        assert connection.getresponse().read()
        late = threading.Thread(target=ask_late, args=(server, connection))
        late.start()
    late.join()
    (answer,) = answers
    assert answer.status == 503 and answer.json["error"] == "server: it is stopping"
    assert answer.headers["connection"] == "close"


def test_a_request_longer_than_the_second_is_answered_too():
    with served(engine_of(lambda *_: time.sleep(2)), answer_seconds=60) as server:
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(ask(server.port, "POST", "/detect", png()))
        )
        asking.start()
        until(lambda: metric(server, "fpn_jax_requests_accepted") == 1)
    asking.join()
    assert answers[0].status == 200

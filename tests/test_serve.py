"""The command `serve`: its options, what it prints, and signals under load."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter

import numpy as np
import pytest

from fpn_jax import export, serve
from fpn_jax.inference import load
from tests.support import xla
from tests.support.commands import command, environment
from tests.support.photograph import encoded
from tests.support.random_run import directory_of, picture, two_stage
from tests.support.serving import ask, engine_of, served, until_stopped
from tests.support.slow import slow_but

DATA = encoded(picture(96, 128), "PNG")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return directory_of(two_stage(), tmp_path_factory)


class Command:
    """A server in a process of its own, once it has told its port."""

    def __init__(self, *arguments, wait: bool = True):
        self.process = subprocess.Popen(
            command("serve", *arguments, "--port", 0),
            env=environment(xla.cache()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline()]
        found = re.fullmatch(r".+: http://127.0.0.1:(\d+)/\n", self.said[0])
        assert found, self.process.communicate()
        self.port = int(found[1])
        if wait:
            self.said.append(self.process.stdout.readline())

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Returns the status, what it said since, and its errors."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def server(run):
    server = Command(run, "--batch-size", 4, "--score-threshold", 0.01)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


def test_it_says_where_it_is_and_when_it_is_ready(server):
    assert server.said[0].startswith("run: http://127.0.0.1:")
    wanted = r"ready after \d+ s: batches of 4 on 96 x 128 and 128 x 96\n"
    assert re.fullmatch(wanted, server.said[1])
    assert ask(server.port, "GET", "/ready").json["model"] == "run"


def test_the_command_finds_what_load_finds(server, run):
    answer = ask(server.port, "POST", "/detect", DATA).json
    wanted = load(run, score_threshold=0.01)(picture(96, 128))
    boxes = [row["box"] for row in answer["objects"]]
    np.testing.assert_allclose(boxes, wanted.boxes, atol=1e-3)
    text = ask(server.port, "GET", "/metrics").body.decode()
    assert "fpn_jax_compilations_total 2.0" in text


SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", slow_but(SIGNALS[:1], SIGNALS))
def test_a_signal_under_load_loses_no_request_that_was_accepted(run, number):
    server = Command(run, "--batch-size", 4)
    counts, lock = Counter(), threading.Lock()
    clients = [
        threading.Thread(target=until_stopped, args=(server.port, DATA, counts, lock))
        for _ in range(16)
    ]
    for client in clients:
        client.start()
    while counts.total() < 100:
        assert server.process.poll() is None
        time.sleep(0.01)
    status, out, err = server.end(number)
    for client in clients:
        client.join()
    assert (status, out, err) == (0, "stopped\n", "")
    assert counts.keys() == {(200, True)} and counts[200, True] >= 100


def test_a_signal_while_programs_are_compiled_ends_it(run):
    server = Command(run, "--batch-size", 3, wait=False)
    status, out, err = server.end()
    assert status == 0 and out.endswith("stopped\n") and err == ""


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        serve.main([*map(str, arguments)])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fpn-jax serve: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    "options, line",
    [
        (("--port", 70000), "port: 70000 given, must be 0 … 65535"),
        (("--batch-size", 0), "batch-size: 0 given"),
        (("--wait", -1), "wait: -1.0 given, must be 0 or more"),
        (("--wait", "nan"), "wait: nan given"),
        (("--timeout", 0), "timeout: 0.0 given, must be more than 0"),
        (("--max-megabytes", "inf"), "max-megabytes: inf given"),
        (("--score-threshold", 50), "score-threshold: 50.0 given, must be 0 … 1"),
        (("--label-studio", "here"), "label-studio: 'here' given, must be an address"),
        (("--label-studio", "http://[x"), "label-studio: 'http://[x' given, must be"),
        (("--label-studio", "http://a:b"), "label-studio: 'http://a:b' given, must be"),
        (("--experiment", "no.py"), "experiment: no file 'no.py'"),
        (("--host", "no.such.host.invalid"), "port: no.such.host.invalid:0"),
    ],
)
def test_wrong_options_are_one_line(run, options, line, capsys):
    options = ("--port", 0, *options) if "--port" not in options else options
    assert line in refused(capsys, run, *options)


def test_a_run_that_is_none_is_one_line(tmp_path, capsys):
    assert "no.such" in refused(capsys, tmp_path / "no.such", "--port", 0)


def test_a_port_that_another_has_is_one_line(run, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refused(capsys, run, "--port", port)
    assert f"port: 127.0.0.1:{port}: Address already in use" in line


def test_an_exported_file_is_served_too(run, tmp_path, capsys):
    file = tmp_path / "random.stablehlo"
    assert export.main([str(run), str(file), "--batch", "2"]) == 0
    capsys.readouterr()
    for option, value in (("score-threshold", 0.5), ("dtype", "float32")):
        line = refused(capsys, file, f"--{option}", value, "--port", 0)
        assert f"{option}: {str(file)!r} is a file, with its own" in line
    line = refused(capsys, file, "--batch-size", 3, "--port", 0)
    assert f"batch-size: 3 given, {file} takes 2" in line
    server = Command(file)
    try:
        assert server.said[0].startswith("random: ")
        assert "batches of 2 on 96 x 128" in server.said[1]
        answer = ask(server.port, "POST", "/detect", DATA)
        assert answer.status == 200 and answer.json["model"] == "random"
    finally:
        status, _, err = server.end()
    assert (status, err) == (0, "")


@pytest.mark.parametrize("asked, status", [([], 1), ([signal.SIGTERM], 0)])
def test_a_server_that_ends_by_itself_is_no_success(asked, status, capsys):
    with served(engine_of()) as server:
        server.running.server.should_exit = True
        server.running.thread.join(60)
        assert serve.run_until_signal(server.running, asked) == status
    line = "fpn-jax serve: the server ended without having been asked to\n"
    assert capsys.readouterr() == (("", line) if status else ("stopped\n", ""))


def test_an_address_of_ipv6_is_printed_as_browsers_take_it():
    assert serve.address_of("::1", 8000) == "http://[::1]:8000/"
    assert serve.address_of("127.0.0.1", 80) == "http://127.0.0.1:80/"


def test_a_second_signal_ends_it_at_once(run):
    server = Command(run, "--batch-size", 4)
    # A request whose body does not come would be waited for.
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = b"POST /detect HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    connection.sendall(head)
    time.sleep(0.2)
    os.kill(server.process.pid, signal.SIGTERM)
    time.sleep(2)
    assert server.process.poll() is None
    assert server.end()[0] == 128 + signal.SIGTERM
    connection.close()

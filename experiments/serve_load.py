"""A server of `fpn-jax serve` under load: RUN [--images FOLDER] [--minutes 10]

    python -m experiments.serve_load runs/digits-1
    python -m experiments.serve_load runs/nano --images coco/val2017
    python -m experiments.serve_load runs/nano --images coco/val2017 --minutes 10

Starts a server on the loopback. One client sends 200 requests one after the other, then
32 clients send 2,000, each on a connection that it keeps, all of the same images, which
by default are scenes of digits. Prints for both how many were answered, the throughput
and the latencies, and the ratio of the throughputs. With `--minutes` the clients go on
for so long, and the server's memory is read from its metrics every five seconds: its
growth is the median of the last minute by that of the second. What follows `--` are
options of `fpn-jax serve`. Exit status: 1 where a request was lost.
"""

import argparse
import http.client
import itertools
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

_MOST_IMAGES = 64
_EVERY = 5.0  # seconds between two readings of the memory
_WARM = 60.0  # seconds that are no part of the comparison


class Load(NamedTuple):
    """What came of some requests."""

    statuses: Counter  # "lost" is no answer
    seconds: list[float]  # of each request that was answered
    wall: float

    @property
    def rate(self) -> float:
        return self.statuses[200] / self.wall

    def __str__(self) -> str:
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1e3
        told = ", ".join(f"{n} x {status}" for status, n in self.statuses.items())
        return f"{told}; {self.rate:6.1f} images/s; p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--alone", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=0.0)
    own, theirs = _split(sys.argv[1:])
    chosen = parser.parse_args(own)
    images = _images(chosen.images)
    command = [sys.executable, "-m", "fpn_jax.serve", chosen.run, "--port", "0"]
    server = subprocess.Popen([*command, *theirs], stdout=subprocess.PIPE, text=True)
    try:
        port = _port_when_ready(server)
        lost = _measure(chosen, port, images)
    finally:
        server.terminate()
        print(f"the server ends with status {server.wait()}")
    return 1 if lost else 0


def _measure(chosen: argparse.Namespace, port: int, images: list[bytes]) -> int:
    """Returns how many requests were lost."""
    _load(port, images, clients=1, requests=10)  # connections, threads, caches
    if chosen.minutes:
        lines, stop = [], threading.Event()
        watcher = threading.Thread(target=_watch, args=(port, lines, stop))
        watcher.start()
        long = _load(port, images, chosen.clients, seconds=60 * chosen.minutes)
        stop.set()
        watcher.join()
        print(f"{chosen.clients} clients: {long}")
        print(_growth(lines))
        return long.statuses["lost"]
    alone = _load(port, images, clients=1, requests=chosen.alone)
    print(f" 1 client:  {alone}")
    together = _load(port, images, chosen.clients, requests=chosen.requests)
    print(f"{chosen.clients} clients: {together}")
    print(f"throughput: {together.rate / alone.rate:.2f} times that of one at a time")
    sums = _metrics(port)
    batches = sums["fpn_jax_batch_images_count"]
    print(
        f"{sums['fpn_jax_batch_images_sum'] / batches:.1f} images a batch, "
        f"{sums['fpn_jax_batch_seconds_sum'] / batches * 1e3:.0f} ms a batch, "
        f"{sums['fpn_jax_compilations_total']:.0f} programs compiled"
    )
    return alone.statuses["lost"] + together.statuses["lost"]


def _load(
    port: int,
    images: list[bytes],
    clients: int,
    requests: int | None = None,
    seconds: float = float("inf"),
) -> Load:
    """Sends a number of requests, or all of some seconds, and returns the answers."""
    numbers = itertools.count() if requests is None else iter(range(requests))
    lock, statuses, taken = threading.Lock(), Counter(), []
    begin = time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() - begin < seconds:
            with lock:
                if (number := next(numbers, None)) is None:
                    break
            start = time.perf_counter()
            status = _status(connection, images[number % len(images)])
            with lock:
                statuses[status] += 1
                if status != "lost":
                    taken.append(time.perf_counter() - start)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(statuses, taken, time.perf_counter() - begin)


def _status(connection: http.client.HTTPConnection, image: bytes) -> int | str:
    kind = {"Content-Type": "application/octet-stream"}
    try:
        connection.request("POST", "/detect", image, kind)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        connection.close()
        return "lost"


def _watch(port: int, lines: list[tuple[float, float]], stop: threading.Event) -> None:
    """Adds the seconds and the resident bytes of the server, again and again."""
    begin = time.monotonic()
    while not stop.wait(_EVERY):
        memory = _metrics(port)["process_resident_memory_bytes"]
        lines.append((time.monotonic() - begin, memory))


def _growth(lines: list[tuple[float, float]]) -> str:
    end = lines[-1][0]
    first = statistics.median(m for t, m in lines if _WARM <= t < 2 * _WARM)
    last = statistics.median(m for t, m in lines if t > end - _WARM)
    return (
        f"resident memory: {first / 1e6:.1f} MB in the second minute, {last / 1e6:.1f} "
        f"MB in the last of {end / 60:.1f}: {(last / first - 1):+.2%}"
    )


def _metrics(port: int) -> Counter:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    pairs = re.findall(r"^(\w+) (\S+)$", text, re.M)
    return Counter({name: float(value) for name, value in pairs})


def _port_when_ready(server: subprocess.Popen) -> int:
    """Returns the port that the server prints; raises SystemExit where it ends."""
    port = None
    for line in server.stdout or ():
        print(line, end="")
        port = port or (found := re.search(r":(\d+)/$", line)) and int(found[1])
        if port and line.startswith("ready"):
            return port
    raise SystemExit(server.wait())


def _images(folder: Path | None) -> list[bytes]:
    if folder is not None:
        files = sorted(folder.glob("*.jpg"))[:_MOST_IMAGES]
        return [file.read_bytes() for file in files]
    import cv2

    from fpn_jax.data.digits.scenes import draw_scene, load_material

    material = load_material("validation")
    scenes = [draw_scene(material, "validation", n).image for n in range(_MOST_IMAGES)]
    return [cv2.imencode(".jpg", scene[..., ::-1])[1].tobytes() for scene in scenes]


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments before and after `--`."""
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


if __name__ == "__main__":
    sys.exit(main())

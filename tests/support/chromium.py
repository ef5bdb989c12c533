"""A headless Chromium, told what to do through a pipe (DevTools protocol)."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 120.0  # that an answer may take


class Tab:
    """A page of the browser."""

    def __init__(self, reading: int, writing: int):
        self._reading, self._writing, self._number = reading, writing, 0
        self._buffer, self._session = b"", None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the answer to a command of the protocol."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            asked["sessionId"] = self._session
        os.write(self._writing, json.dumps(asked).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self.events.append(told)
        assert "error" not in told, told
        return told["result"]

    def go(self, address: str, *, width: int = 1000, height: int = 800) -> None:
        """Opens an address."""
        size = {"width": width, "height": height, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **size)
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression."""
        got = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + _SECONDS
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def choose(self, selector: str, path: Path) -> None:
        """Gives a file to an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drop(self, path: Path, x: int, y: int) -> None:
        """Drops a file at a place."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screenshot(self, path: Path) -> None:
        """Writes a picture of the page as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def problems(self) -> list[str]:
        """Returns the errors that the page has logged, and its exceptions."""
        self.value("0")  # what comes before the answer is read
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]))
            entry = event.get("params", {}).get("entry", {})
            if entry.get("level") == "error":
                found.append(entry["text"])
        return found

    def hosts(self) -> set[str]:
        """Returns what the page has asked for: the beginnings of the addresses."""
        asked = [
            e for e in self.events if e.get("method") == "Network.requestWillBeSent"
        ]
        urls = [event["params"]["request"]["url"] for event in asked]
        return {"/".join(url.split("/")[:3]) for url in urls if url.startswith("http")}

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], _SECONDS)
            part = os.read(self._reading, 1 << 20) if ready else b""
            assert part, "the browser says nothing"
            self._buffer += part
        told, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(told)


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """Gives a page of a browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium")
    to_browser, writing = os.pipe()
    reading, from_browser = os.pipe()
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        "--remote-debugging-pipe",
    )

    # The browser reads commands from 3 and writes to 4.
    numbered = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", numbered, program, *options, f"--user-data-dir={profile}"],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Tab(reading, writing)
    finally:
        process.terminate()
        process.wait()
        os.close(reading)
        os.close(writing)

"""What a download asks for, and whom it believes."""

import io
import json
from email.message import Message
from pathlib import Path

import pytest

from fpn_jax.weights.models import download
from fpn_jax.weights.models.download import DownloadError, Wanted
from tests.support.weights_server import serving

CONTENT = bytes(range(256)) * 1000


def wanted(**changes) -> Wanted:
    taken = Wanted(True, lambda size: None, lambda done, total: None)
    return taken._replace(**changes)


def test_progress_is_told_from_the_first_byte_to_the_last(tmp_path):
    told = []
    with serving(CONTENT) as server:
        part = tmp_path / "part"
        tell = wanted(progress=lambda done, total: told.append((done, total)))
        assert download.download(server.url, part, tell)
    assert told[0] == (0, 256_000) and told[-1] == (256_000, 256_000)
    assert part.read_bytes() == CONTENT
    download.forget(part)
    assert not [*tmp_path.iterdir()]


def test_a_part_that_was_whole_when_a_kill_came_is_not_asked_for_again(tmp_path):
    with serving(CONTENT) as server:
        download.download(server.url, tmp_path / "part", wanted())
        assert not download.download(server.url, tmp_path / "part", wanted())
        assert len(server.requests) == 1


def test_a_part_of_another_address_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serving(CONTENT) as server:
        server.answers = ["break 40", *["silence"] * 4]
        with pytest.raises(DownloadError):
            download.download(f"{server.url}/a", tmp_path / "part", wanted())
        assert download.download(f"{server.url}/b", tmp_path / "part", wanted())
        assert "Range" not in server.requests[-1]


def test_the_origin_is_known_before_the_first_byte(tmp_path):
    part = tmp_path / "part"

    def look(done, total):
        origin = json.loads((tmp_path / "part.json").read_text())
        assert origin == [server.url, '"1"', 256_000]
        assert part.stat().st_size == done

    with serving(CONTENT) as server:
        download.download(server.url, part, wanted(progress=look))


class Elsewhere(io.BytesIO):
    """An answer that came from an address without TLS."""

    status, chunked, length, headers = 200, False, 3, Message()

    def geturl(self) -> str:
        return "http://elsewhere.example/file"


def test_an_address_with_tls_leads_to_none_without(tmp_path, monkeypatch):
    monkeypatch.setattr(
        download.urllib.request, "urlopen", lambda *_, **__: Elsewhere(b"abc")
    )
    with pytest.raises(DownloadError, match="leads to http://elsewhere.*without TLS"):
        download.download("https://here.example/file", tmp_path / "part", wanted())
    assert not (tmp_path / "part").exists()


def test_pauses_double_while_nothing_comes(tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with serving(CONTENT) as server:
        server.answers = ["status 503"] * 5
        with pytest.raises(DownloadError, match="answers 503 Service Unavailable"):
            download.download(server.url, tmp_path / "part", wanted())
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_an_address_that_is_none_is_one_line(tmp_path: Path):
    with pytest.raises(DownloadError, match="is no address: unknown url type"):
        download.download("nowhere", tmp_path / "part", wanted())

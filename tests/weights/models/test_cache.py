"""Downloads that break off, lie and are killed: no wrong file is used or stays."""

import hashlib
import io
import json
import random
import re
import zipfile
from pathlib import Path

import pytest

from fpn_jax.weights.models import download
from fpn_jax.weights.models.cache import (
    PLACE,
    held_folder,
    model_folder,
    published,
    published_file,
    remove_unfit,
    weights_file,
)
from fpn_jax.weights.models.checks import MEBIBYTE
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.table import MODELS
from tests.support.fetching import fetching
from tests.support.weights_server import serving


def archive(size: int = 200_000, seed: int = 0) -> bytes:
    """Returns a zip archive of random bytes, as a file of torch is one."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("archive/data/0", random.Random(seed).randbytes(size))
    return written.getvalue()


CONTENT = archive()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ANSWERS = (
    *("honest", "break 0", "break 30", "break 70", "break 100", "wrong", "short"),
    *("wrongbreak 50", "long", "overstated", "status 404", "status 500", "status 503"),
    *("status 403", "norange", "otherrange", "redirect", "page", "chunked"),
    *("chunkedbreak", "silence", "notag"),
)


def model(url: str, digest: str | None = f"sha256:{SHA256[:8]}") -> PublishedModel:
    return PublishedModel(
        name="resnet0",
        model="resnet0",
        source="torchvision",
        task="classes",
        url=f"{url}/models/resnet0.pth",
        digest=digest,
        mebibytes=round(len(CONTENT) / MEBIBYTE, 3) if digest else None,
        license="none",
        figures={},
        inputs="",
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Returns the user's cache, which is empty, and lets no test wait."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path


@pytest.fixture
def server():
    with serving(CONTENT) as state:
        yield state


def fetched(entry: PublishedModel) -> Path:
    with held_folder(entry) as folder:
        return published_file(entry, folder)


def refusal(entry: PublishedModel) -> str:
    """Returns the line of a fetch that must fail."""
    with pytest.raises(ValueError) as raised:
        fetched(entry)
    line = str(raised.value)
    assert "\n" not in line and line.startswith("resnet0: ")
    return line


def lying_there(entry: PublishedModel) -> set[str]:
    return {path.name for path in model_folder(entry).iterdir()}


def test_a_file_is_downloaded_once_and_its_sha256_kept_and_printed(server, capsys):
    entry = model(server.url)
    file = fetched(entry)
    assert file.read_bytes() == CONTENT and file.name == "resnet0.pth"
    assert fetched(entry) == file and len(server.requests) == 1
    record = json.loads((file.parent / "record.json").read_text())
    assert record == {"sha256": SHA256, "bytes": len(CONTENT), "url": entry.url}
    assert SHA256 in capsys.readouterr().err
    assert lying_there(entry) == {"resnet0.pth", "record.json", "lock"}


def test_a_connection_that_breaks_off_is_followed_by_one_for_the_rest(server):
    server.answers = ["break 30", "break 50"]
    assert fetched(model(server.url)).read_bytes() == CONTENT
    first, second, third = (request.get("Range") for request in server.requests)
    begun = len(CONTENT) * 30 // 100
    assert first is None and second == f"bytes={begun}-"
    assert third == f"bytes={begun + (len(CONTENT) - begun) // 2}-"
    assert server.requests[1]["If-Range"] == '"1"'


def test_a_later_call_goes_on_where_five_connections_have_ended(server):
    server.answers = ["break 40", *["silence"] * 4]
    line = refusal(model(server.url))
    assert "have come; the next call goes on from there" in line
    assert len(server.requests) == 5
    assert fetched(model(server.url)).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={len(CONTENT) * 40 // 100}-"


def test_a_file_that_changed_between_two_connections_is_begun_anew(server):
    server.answers = ["break 40", *["silence"] * 4]
    refusal(model(server.url, digest=None))
    server.tag, server.content = '"2"', archive(seed=1)
    assert len(server.content) == len(CONTENT)
    found = fetched(model(server.url, digest=None))
    assert found.read_bytes() == server.content
    assert len(server.requests) == 5 + 1  # with If-Range, so that all of it came
    assert "Range" in server.requests[-1]


def test_without_a_tag_or_a_digest_nothing_is_gone_on_with(server):
    server.tag = 'W/"1"'  # a weak one, which does not tell bytes apart
    server.answers = ["break 40", *["silence"] * 4]
    refusal(model(server.url, digest=None))
    assert all("Range" not in request for request in server.requests)


@pytest.mark.parametrize(
    "answer, words",
    [
        ("wrong", "its SHA256 begins with"),
        ("short", "the server has another file: it has 0.190 MiB, must have 0.191"),
        ("long", "the server has another file: it has 0.192 MiB, must have 0.191"),
        ("page", "the server has another file"),
        ("status 404", "answers 404 Not Found"),
        ("status 403", "answers 403 Forbidden"),
    ],
)
def test_a_lie_is_one_line_and_leaves_nothing(server, answer, words):
    server.answers = [answer]
    assert words in refusal(model(server.url))
    assert lying_there(model(server.url)) == {"lock"}
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", ["wrong", "short", "long", "page"])
def test_lies_about_a_file_without_a_digest_are_seen_by_its_form(server, answer):
    server.answers = [answer]
    assert "is not the published file" in refusal(model(server.url, digest=None))
    assert lying_there(model(server.url)) == {"lock"}


@pytest.mark.parametrize(
    "answer", ["status 500", "status 503", "norange", "redirect", "chunked", "silence"]
)
def test_what_servers_do_is_lived_with(server, answer):
    server.answers = ["break 40", answer]
    assert fetched(model(server.url)).read_bytes() == CONTENT


def test_a_server_that_redirects_for_ever_is_one_line(server):
    server.answers = ["redirect"] * 50
    assert "redirect" in refusal(model(server.url))


def test_bytes_of_another_place_are_not_taken(server):
    server.answers = ["break 40", "otherrange"]
    assert fetched(model(server.url)).read_bytes() == CONTENT
    assert "Range" not in server.requests[-1]


def test_a_part_with_wrong_bytes_is_downloaded_anew(server):
    server.answers = ["wrongbreak 50"]
    assert fetched(model(server.url)).read_bytes() == CONTENT
    assert [("Range" in request) for request in server.requests] == [0, 1, 0]


def test_nobody_who_answers_is_one_line_at_once():
    with serving(b"") as ended:
        pass
    line = refusal(model(ended.url))
    assert "127.0.0.1:" in line and "cannot be reached: " in line
    assert "Connection refused" in line
    assert f"{PLACE} may name a mirror, or a directory with resnet0.pth" in line


def test_silence_ends_a_connection(server, monkeypatch):
    monkeypatch.setattr(download, "SILENCE", 0.1)
    server.answers = ["hang 40"]
    assert fetched(model(server.url)).read_bytes() == CONTENT


def test_without_a_length_a_file_without_a_digest_is_refused(server):
    server.answers = ["chunked"]
    assert "how long the file is" in refusal(model(server.url, digest=None))


def test_a_disk_without_room_is_one_line_before_a_byte_is_written(server, monkeypatch):
    usage = download.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    assert "no room for the file: 0.2 MB more" in refusal(model(server.url))
    assert lying_there(model(server.url)) == {"lock"}


def test_a_disk_that_fills_up_is_one_line_and_the_part_goes(server, cache):
    entry = model(server.url)
    process, told = fetching(entry, cache, most_bytes=100_000)
    assert "File too large" in told.recv()
    process.join()
    assert lying_there(entry) == {"lock"}


def test_a_cache_that_cannot_be_written_is_one_line(server, cache):
    (cache / "fpn_jax").write_text("a file")
    assert "Not a directory" in refusal(model(server.url))


def test_a_cached_file_that_was_damaged_is_downloaded_again(server):
    entry = model(server.url)
    file = fetched(entry)
    file.write_bytes(CONTENT[:-1] + b"x")
    assert fetched(entry).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_without_a_published_digest_the_first_download_counts(server):
    entry = model(server.url, digest=None)
    fetched(entry).unlink()
    server.content = archive(150_000)
    assert f"its SHA-256 is not {SHA256}" in refusal(entry)
    (model_folder(entry) / "record.json").unlink()
    assert fetched(entry).read_bytes() == archive(150_000)


def test_a_download_that_is_no_such_model_goes_and_a_users_file_stays(server, cache):
    entry = model(server.url, digest=None)
    with held_folder(entry) as folder:
        remove_unfit(entry, published_file(entry, folder), folder)
        assert lying_there(entry) == {"lock"}
        own = cache / entry.file
        own.write_bytes(CONTENT)
        remove_unfit(entry, own, folder)
    assert own.exists()


def test_a_directory_of_files_needs_no_network(cache, monkeypatch):
    entry = model("http://127.0.0.1:9")
    monkeypatch.setenv(PLACE, str(cache / "files"))
    assert f"no directory '{cache / 'files'}', which {PLACE} names" in refusal(entry)
    (cache / "files").mkdir()
    assert f"no file 'resnet0.pth' in '{cache / 'files'}'" in refusal(entry)
    (cache / "files" / entry.file).write_bytes(CONTENT[:-1] + b"x")
    assert "is not the published file: its SHA256" in refusal(entry)
    (cache / "files" / entry.file).write_bytes(CONTENT)
    assert fetched(entry) == cache / "files" / entry.file  # as it is, no copy


def test_a_mirror_takes_the_place_of_the_official_address(server, monkeypatch):
    monkeypatch.setenv(PLACE, f"{server.url}/mirror/")
    file = fetched(model("http://127.0.0.1:9"))
    record = json.loads((file.parent / "record.json").read_text())
    assert record["url"] == f"{server.url}/mirror/resnet0.pth"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(
        ValueError, match=r"'resnet51' \(nearest: 'resnet50'\); fpn-jax"
    ):
        weights_file("resnet51")
    assert published("resnet50") is MODELS["resnet50"]


def test_two_processes_download_a_file_once(server, cache):
    server.answers = ["hang 50", "honest"]
    entry = model(server.url)
    pairs = [fetching(entry, cache) for _ in range(2)]
    assert server.reached.wait(20)
    server.released.set()
    for process, told in pairs:
        assert told.recv() == str(model_folder(entry) / entry.file)
        process.join()
    assert len(server.requests) == 2  # one of them for the rest
    assert lying_there(entry) == {"resnet0.pth", "record.json", "lock"}


def test_breaks_lies_and_kills_never_lead_to_a_wrong_file(cache, monkeypatch):
    check_cases(range(20), cache, monkeypatch)


@pytest.mark.slow
def test_200_breaks_lies_and_kills_never_lead_to_a_wrong_file(cache, monkeypatch):
    check_cases(range(20, 220), cache, monkeypatch)


def check_cases(cases, cache, monkeypatch) -> None:
    for case in cases:
        rng = random.Random(case)
        place = cache / str(case)
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        with serving(CONTENT) as server:
            entry = model(
                server.url, **({} if rng.random() < 0.6 else {"digest": None})
            )
            for _ in range(rng.randint(1, 3)):
                server.answers = [rng.choice(ANSWERS) for _ in range(rng.randint(1, 4))]
                if rng.random() < 0.4:
                    server.answers[-1] = f"hang {rng.randint(0, 99)}"
                    kill_when_it_hangs(server, entry, place)
                else:
                    attempt(entry, case)
                file = model_folder(entry) / entry.file
                assert not file.exists() or file.read_bytes() == CONTENT, case
            server.answers = []
            assert fetched(entry).read_bytes() == CONTENT, case
        kept = {"resnet0.pth", "record.json", "lock"}
        assert lying_there(entry) == kept, case


def attempt(entry: PublishedModel, case: int) -> None:
    try:
        assert fetched(entry).read_bytes() == CONTENT, case
    except ValueError as error:
        assert re.fullmatch("resnet0: .{20,400}", str(error)), case


def kill_when_it_hangs(server, entry: PublishedModel, place: Path) -> None:
    """Kills a process whose server has stopped in the middle, or which has ended."""
    process, told = fetching(entry, place)
    while not server.reached.wait(0.01) and not told.poll():
        pass
    process.kill()
    process.join()
    server.released.set()
    server.reached.clear()
    server.released.clear()

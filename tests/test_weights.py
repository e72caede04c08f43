"""Weights: where they are looked for, what they must be, and how they are fetched."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vision import weights
from vision.card import Card, Input
from vision.cli import weights as command
from vision.errors import WeightsError
from vision.zoo import CARDS

CONTENT = bytes(range(256)) * 4000                            # 1 MB: several blocks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VISION_WEIGHTS", raising=False)
    return tmp_path / "cache" / "vision" / "weights"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/no-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:300_000] if self.path == "/cut-off" else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def card(**changes: object) -> Card:
    values: dict[str, object] = {
        "name": "remote", "task": "test", "net": "net", "file": "remote.pth", "sha256": DIGEST[:8],
        "licence": "BSD-3-Clause", "source": "a server", "input": Input((8, 8), "stretch"),
    }
    return Card(**{**values, **changes})


def test_the_folders_are_searched_in_their_order(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("VISION_WEIGHTS", f"{first}:{second}")
    for folder, why in ((own_cache, "cache"), (second, "VISION_WEIGHTS"), (first, "VISION_WEIGHTS")):
        folder.mkdir(parents=True)
        (folder / "remote.pth").write_bytes(CONTENT)
        assert weights.locate(card()) == (why, folder / "remote.pth")      # each before those so far
    assert weights.resolve(card()) == first / "remote.pth"


def test_what_ships_is_found_before_the_cache_and_is_right(own_cache: Path) -> None:
    shipped = next(c for c in CARDS.values() if c.url is None)
    own_cache.mkdir(parents=True)
    (own_cache / shipped.file).write_bytes(b"not it")
    why, path = weights.locate(shipped) or pytest.fail("not shipped")
    assert why == "shipped"
    assert weights.sha256(path) == shipped.sha256


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    with pytest.raises(WeightsError, match="Give the file's path"):
        weights.resolve(card(file=str(path)))
    path.write_bytes(CONTENT)
    assert weights.resolve(card(file=str(path))) == path


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(WeightsError, match="vision weights pull remote"):
        weights.resolve(card(url="http://127.0.0.1:1/x"))


@pytest.mark.parametrize("digits", [8, 16, 64])
def test_the_stated_digits_are_compared(tmp_path: Path, digits: int) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    weights.resolve(card(file=str(path), sha256=DIGEST[:digits]))
    wrong = DIGEST[: digits - 1] + ("0" if DIGEST[digits - 1] != "0" else "1")
    with pytest.raises(WeightsError, match=f"expected sha256 {wrong[:16]}.*got {DIGEST[:16]}"):
        weights.resolve(card(file=str(path), sha256=wrong))


@pytest.mark.parametrize("path", ["/whole", "/no-length"])
def test_pull(server: str, own_cache: Path, path: str) -> None:
    seen: list[tuple[int, int]] = []
    target = weights.pull(card(url=server + path), lambda done, total: seen.append((done, total)))
    assert target == own_cache / "remote.pth"
    assert target.read_bytes() == CONTENT
    assert [f.name for f in own_cache.iterdir()] == ["remote.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT) if path == "/whole" else 0)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert weights.resolve(card()) == target


@pytest.mark.parametrize(("path", "changes", "why"), [
    ("/whole", {"sha256": "0000"}, f"not the file of 'remote': expected sha256 0000.*got {DIGEST[:16]}"),
    ("/cut-off", {}, f"broke off after 300000 of {len(CONTENT)} bytes"),
    ("/cut-off", {"sha256": ""}, "broke off"),                # its publisher states no digest
    ("/missing", {}, "cannot be fetched.*404"),
])
def test_a_pull_that_fails_keeps_nothing(
    server: str, own_cache: Path, path: str, changes: dict[str, str], why: str
) -> None:
    with pytest.raises(WeightsError, match=why):
        weights.pull(card(url=server + path, **changes))
    assert list(own_cache.iterdir()) == []


def test_a_pull_that_fails_keeps_what_was_there(server: str, own_cache: Path) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / "remote.pth").write_bytes(b"the one before")
    with pytest.raises(WeightsError, match="broke off"):
        weights.pull(card(url=server + "/cut-off"))
    assert (own_cache / "remote.pth").read_bytes() == b"the one before"


def test_nobody_answers(own_cache: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be fetched"):
        weights.pull(card(url="http://127.0.0.1:1/remote.pth"))
    with pytest.raises(WeightsError, match="no address"):
        weights.pull(card())


@pytest.mark.parametrize("terminal", [False, True])
def test_a_pull_that_never_began_shows_no_bar(
    server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")                # what rich takes for a terminal
    for address in (None, "http://127.0.0.1:1/remote.pth", server + "/missing"):
        monkeypatch.setitem(CARDS, "remote", card(url=address))
        with pytest.raises(WeightsError):
            command.fetch(["remote"])
    assert capsys.readouterr() == (3 * "remote: BSD-3-Clause\n", "")
    monkeypatch.setitem(CARDS, "remote", card(url=server + "/whole"))
    command.fetch(["remote"])
    assert "1.0/1.0 MB" in capsys.readouterr().err


@pytest.fixture
def run(server: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setitem(CARDS, "remote", card(url=server + "/whole"))
    return CliRunner()


def test_the_commands_list_pull_and_verify(run: CliRunner, own_cache: Path) -> None:
    app = typer.Typer()
    command.register(app)
    assert "vision weights pull remote" in run.invoke(app, ["weights", "list"], env={"COLUMNS": "200"}).output
    missing = run.invoke(app, ["weights", "verify", "remote"])
    assert (missing.exit_code, "not here" in missing.output) == (1, True)
    pulled = run.invoke(app, ["weights", "pull", "remote"])
    assert pulled.exit_code == 0
    licence, path = pulled.stdout.splitlines()           # the licence first
    assert (licence, path) == ("remote: BSD-3-Clause", str(own_cache / "remote.pth"))
    verified = run.invoke(app, ["weights", "verify"])
    assert verified.exit_code == 0
    assert "ok  remote" in verified.output
    (own_cache / "remote.pth").write_bytes(b"spoilt")
    spoilt = run.invoke(app, ["weights", "verify"])
    assert spoilt.exit_code == 1
    assert "not the file of 'remote'" in spoilt.output
    assert "ok  gfl-voc" in spoilt.output                 # the others are looked at all the same


def test_what_can_be_pulled_is_listed_with_its_size_and_figure(capsys: pytest.CaptureFixture[str]) -> None:
    from vision.cli import app
    from vision.zoo import CARDS

    for arguments in (["--list"], []):
        assert app(["weights", "pull", *arguments], standalone_mode=False) in (None, 0)
        said = capsys.readouterr().out
        for card in CARDS.values():
            assert (card.name in said) == (card.url is not None), card.name
        assert "AP 0.405" in said
        assert "35.9" in said
    assert all(card.megabytes for card in CARDS.values() if card.url)

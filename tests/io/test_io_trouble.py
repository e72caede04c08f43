"""Sources that cannot be read as they are: closed folders, odd lists, no files, streams that break off."""

from __future__ import annotations

import os
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cv2
import pytest
from numbered import MakeVideo, number, numbered

from vision.errors import SourceError
from vision.io import live, local_files, read
from vision.io.video import Video

LOOP = "lists itself"


@pytest.fixture
def close_to_me(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder one that this user may not look into (root may look into all)."""

    def close(folder: Path) -> None:
        stat, scandir, access = Path.stat, os.scandir, os.access

        def refuse(path: Any) -> None:
            if Path(path) == folder or folder in Path(path).parents:
                raise PermissionError(13, "Permission denied", str(path))

        def guarded(path: Path, **options: Any) -> os.stat_result:
            if path != folder:                         # itself is seen from outside
                refuse(path)
            return stat(path, **options)

        def listed(path: Any = ".") -> Any:
            refuse(path)
            return scandir(path)

        monkeypatch.setattr(Path, "stat", guarded)
        monkeypatch.setattr(os, "scandir", listed)
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and access(path, mode))
        opened = Path.open

        def opening(path: Path, *arguments: Any, **options: Any) -> Any:
            refuse(path)
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", opening)

    return close


def test_a_folder_that_is_closed_to_the_user_is_told(
    tmp_path: Path, close_to_me: Callable[[Path], None]
) -> None:
    for name in ("a.png", "shut/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), numbered(5))
    (tmp_path / "shut" / "list.txt").write_text("b.png\n")
    close_to_me(tmp_path / "shut")
    with read(tmp_path) as source:
        assert [number(frame.image) for frame in source] == [5]
        assert len(source.notes) == 1
        assert "shut' cannot be opened (Permission denied)" in source.notes[0]
    for uri in ("shut", "shut/b.png", "shut/*.png", "shut/list.txt"):
        with pytest.raises(SourceError, match="Permission denied"):
            list(read(tmp_path / uri))


@pytest.mark.parametrize(
    ("lists", "says"),
    [
        ({"l.txt": "l.txt\n"}, LOOP),
        ({"l.txt": "two.txt\n", "two.txt": "a.png\nl.txt\n"}, LOOP),
        ({"l.txt": "a.png\n\0\0\n"}, "no text"),
    ],
)
def test_a_list_that_cannot_be_one(tmp_path: Path, lists: dict[str, str], says: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), numbered(1))
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=says):
        read(tmp_path / "l.txt")


def test_a_list_may_begin_with_a_mark_and_name_files_in_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", numbered(1))[1].tobytes())
    latin = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(latin, "wb") as file:
        file.write(cv2.imencode(".png", numbered(2))[1].tobytes())
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbfa.png\r\ncaf\xe9.png\r\n")
    with read(tmp_path / "l.txt") as source:
        assert [number(frame.image) for frame in source] == [1, 2]
        assert source.counts.corrupt == 0
    odd = [f"p{mark}{n}.png" for n, mark in enumerate("\f\v\x1c\x85\u2028\u2029")]       # no ends of lines
    for n, name in enumerate(odd):
        (tmp_path / name).write_bytes(cv2.imencode(".png", numbered(n))[1].tobytes())
    for ends in ("\n", "\r\n", "\r"):
        (tmp_path / "l.txt").write_bytes(ends.join(odd).encode())
        with read(tmp_path / "l.txt") as source:
            assert [number(frame.image) for frame in source] == list(range(6))


def test_an_address_that_is_none_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"nothing matches 'file://\[x'"):
        read("file://[x")


def test_what_is_no_file_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for uri in (tmp_path / "pipe.mp4", "/dev/null"):
        with pytest.raises(SourceError, match="neither a file nor a folder"):
            read(uri)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", numbered(1))
    with pytest.raises(SourceError, match="empty name"):            # and not the folder that we are in
        read("")
    assert local_files("") == []
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        read("-")


@contextmanager
def served(data: bytes, first: int) -> Iterator[str]:
    """The address of a server that gives the first bytes of a file, and then nothing."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:first])
            over.wait(30)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/clip.mkv"
        finally:
            over.set()
            server.shutdown()


def test_frames_that_came_before_a_stream_broke_off_are_handed_out(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x264's frames lean on later ones: the decoder holds some back until it is told of the end."""
    monkeypatch.setattr(live, "TIMEOUT_S", 1.0)
    clip = make_video("clip.mkv", [i / 10 for i in range(600)], options={"bf": "3", "g": "12"})
    data, half = clip.read_bytes(), clip.stat().st_size // 2
    cut = clip.with_name("cut.mkv")
    cut.write_bytes(data[:half])
    whole = [number(frame.image) for frame in read(cut)]
    seen: list[int] = []
    with served(data, half) as address, pytest.raises(SourceError, match="broke off"):
        seen.extend(number(frame.image) for frame in read(address))
    assert seen == whole[: len(seen)]
    assert len(whole) - len(seen) <= 1                   # the packet that was cut
    assert len(seen) > 100


def test_a_matroska_file_that_is_cut_off_is_told(make_video: MakeVideo) -> None:
    clip = make_video("clip.mkv", [i / 10 for i in range(200)])
    with read(clip) as source:
        assert len(list(source)) == 200
        assert source.notes == []
    cut = clip.with_name("cut.mkv")
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with read(cut) as source:
        frames = list(source)
    assert 20 < len(frames) < 180
    assert source.notes == [f"'{cut}' claims 19.901 s; its last frame is at {frames[-1].time:.3f} s"]


def test_an_error_while_the_first_picture_is_looked_for_comes_after_the_packets_before_it(
    make_video: MakeVideo,
) -> None:
    """The decoder holds the first packets back; then the line breaks. Looking ahead must not swallow that."""
    class Held:
        """A packet that brings no picture yet."""

        def decode(self) -> list[object]:
            return []

    held = [Held(), Held()]

    def breaking() -> Iterator[object]:
        yield from held
        raise OSError(5, "the line broke")

    path = make_video("clip.mp4", [0.0, 0.1])
    video = Video(str(path), f"file:{path}", 10_000_000)
    video._peeked.clear()
    video._demuxed = breaking()
    video._first_turn()
    packets = video._demuxed
    assert [next(packets), next(packets)] == held
    with pytest.raises(OSError, match="the line broke"):
        next(packets)
    video.close()

"""Globs, lists, URLs, standard input, live sources that drop, and outputs that would eat their input."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered import MakeVideo, number, numbered

from vision import Follow, JsonLines, Run, VideoFile
from vision.errors import SinkError, SourceError
from vision.io import Inputs, live, local_files, read
from vision.io.base import Info, Log, Span
from vision.io.stdin import open_stream
from vision.types import Frame


def encoded(index: int, suffix: str) -> bytes:
    _, data = cv2.imencode(suffix, numbered(index))
    return bytes(data.tobytes())


def frames_of(data: bytes, log: Log | None = None) -> list[int]:
    reader = open_stream(io.BytesIO(data), 10**8, 10**8)
    try:
        return [number(f.image) for f in reader.frames(Span(), log or Log())]
    finally:
        reader.close()


def test_a_glob_and_a_list(tmp_path: Path, make_video: MakeVideo) -> None:
    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"p{i}.png"), numbered(i))
    assert [number(f.image) for f in read(str(tmp_path / "p*.png"))] == [1, 2, 10]
    make_video("clip.mp4", [0.0, 0.1])
    (tmp_path / "list.txt").write_text("# a remark\np10.png\np1.png\n\nclip.mp4\nmissing.mp4\np2.png\n")
    with read(tmp_path / "list.txt") as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == [10, 1, 0, 1, 2]
    assert [(f.index, f.time) for f in frames] == [(0, 0.0), (1, 1.0), (0, 0.0), (1, 0.1), (2, 2.0)]
    assert [Path(f.source).name for f in frames] == ["p10.png", "p1.png", "clip.mp4", "clip.mp4", "p2.png"]
    assert any("missing.mp4" in note for note in source.notes)
    with read(tmp_path / "list.txt", max_frames=3) as source:
        assert len(list(source)) == 3
    with pytest.raises(SourceError, match="nothing matches"):
        read(str(tmp_path / "q*.png"))


def test_a_folder_of_videos_and_pictures(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("b.mp4", [0.0, 0.1, 0.2])
    make_video("a.mkv", [0.0, 0.1])
    cv2.imwrite(str(tmp_path / "c.png"), numbered(7))
    with read(tmp_path, stride=2) as source:
        assert [(Path(f.source).name, f.index) for f in source] == [
            ("a.mkv", 0), ("b.mp4", 0), ("b.mp4", 2), ("c.png", 0),
        ]                                                                           # fmt: skip
    assert source.info.kind == "list"


def test_a_file_url_and_a_name_with_magic_characters(tmp_path: Path) -> None:
    path = tmp_path / "p[1] %20.png"
    cv2.imwrite(str(path), numbered(5))
    assert [number(f.image) for f in read(str(path))] == [5]
    assert [number(f.image) for f in read(path.as_uri())] == [5]


@given(st.lists(st.tuples(st.integers(0, 1023), st.sampled_from([".jpg", ".png"])), min_size=1, max_size=8))
def test_pictures_one_after_the_other(pictures: list[tuple[int, str]]) -> None:
    assert frames_of(b"".join(encoded(i, suffix) for i, suffix in pictures)) == [i for i, _ in pictures]


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_a_broken_picture_in_a_stream_costs_only_itself(suffix: str, keep: float) -> None:
    for following in (".jpg", ".png"):
        broken = encoded(2, suffix)
        cut = broken[: int(len(broken) * keep)]
        log = Log()
        stream = encoded(1, suffix) + cut + encoded(3, following) + encoded(4, suffix)
        assert frames_of(stream, log) == [1, 3, 4]
        assert (log.counts.decoded, log.counts.corrupt) == (3, 1)


def test_the_last_picture_of_a_stream_may_be_cut_off() -> None:
    log = Log()
    assert frames_of(encoded(1, ".jpg") + encoded(2, ".jpg")[:-20] , log) == [1]
    assert log.counts.corrupt == 1
    with pytest.raises(SourceError, match="cut off"):
        frames_of(encoded(2, ".png")[:-20])
    with pytest.raises(SourceError, match="empty"):
        frames_of(b"")


def test_pictures_on_standard_input_come_at_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(encoded(i, ".png") for i in range(4))
    for options, times in (({}, [0.0, 1.0, 2.0, 3.0]), ({"rate": 4}, [0.0, 0.25, 0.5, 0.75]),
                           ({"rate": 4, "start": 0.25, "end": 0.75}, [0.25, 0.5])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with read("-", **options) as source:
            assert [frame.time for frame in source] == times
        assert bool(source.notes) == ("rate" not in options)       # that each counts as a second


def test_pictures_among_videos_come_at_the_rate(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("b.mp4", [0.0, 0.1])
    for name in ("a1", "a2", "c1", "c2"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), numbered(1))
    times = [0.0, 0.25, 0.0, 0.1, 0.5, 0.75]
    assert [frame.time for frame in read(tmp_path, rate=4)] == times
    assert [frame.time for one in read(tmp_path, rate=4).members for frame in one()] == times


def test_a_picture_is_handed_out_before_the_next_one_arrives() -> None:
    class Pipe(io.RawIOBase):
        sent = 0

        def read1(self, size: int = -1) -> bytes:
            assert self.sent < 1, "asked for more than the first picture"
            self.sent += 1
            return encoded(9, ".jpg")

    reader = open_stream(Pipe(), 10**8, 10**8)
    assert number(next(iter(reader.frames(Span(), Log()))).image) == 9


@pytest.mark.parametrize(
    ("name", "options"),
    [("late.mp4", {}), ("early.mp4", {"movflags": "faststart"}), ("clip.mkv", {}),
     ("pieces.mp4", {"movflags": "frag_keyframe+empty_moov"})],
)                                                                                   # fmt: skip
def test_a_video_from_a_pipe(make_video: MakeVideo, name: str, options: dict[str, str]) -> None:
    times = [0.0, 0.1, 0.25, 0.7, 0.75]
    data = make_video(name, times, container_options=options, options={"bf": "0"}).read_bytes()
    code = (
        "from vision.io import read; s = read('-');"
        "print([(f.index, round(f.time, 6)) for f in s], s.counts.corrupt)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"{list(enumerate(times))} 0"


def test_raw_y4m_from_a_pipe() -> None:
    header = b"YUV4MPEG2 W160 H64 F10:1 Ip A1:1 C420jpeg\n"
    data = header
    for i in range(4):
        yuv = cv2.cvtColor(numbered(i), cv2.COLOR_BGR2YUV_I420)
        data += b"FRAME\n" + yuv.tobytes()
    reader = open_stream(io.BytesIO(data), 10**8, 10**8)
    assert [(number(f.image), f.time) for f in reader.frames(Span(), Log())] == [
        (i, pytest.approx(i / 10)) for i in range(4)
    ]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    servers = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_file_on_a_server(
    tmp_path: Path, make_video: MakeVideo, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    make_video("clip.mp4", [0.0, 0.1, 0.35])
    address = serve(partial(Quiet, directory=str(tmp_path)))
    with read(f"{address}/clip.mp4") as source:
        assert [(number(f.image), f.time) for f in source] == [(0, 0.0), (1, 0.1), (2, 0.35)]
    assert not source.info.live
    with pytest.raises(SourceError, match="cannot be read"):
        read(f"{address}/nothing.mp4")


def test_a_film_has_the_sound_of_an_address(
    tmp_path: Path, make_video: MakeVideo, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one with a token, which is told nowhere, and of a file by its URL."""
    class Guarded(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if "token=s3cret" in self.path:
                super().do_GET()
            else:
                self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "of clips"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    clip = make_video("of clips/clip.mp4", [i / 10 for i in range(20)], sound="aac")
    address = serve(partial(Guarded, directory=str(folder)))
    for uri in (f"{address}/clip.mp4?token=s3cret", clip.as_uri()):
        with Run(uri, [Follow("10,10,30,30")], [VideoFile("o.mp4"), JsonLines("o.jsonl")]) as run:
            report = run.finish()
            assert "s3cret" not in f"{report} {report.to_dict()} {run!r}"
        assert (report.notes, read("o.mp4").info.audio) == ([], "aac")
        assert "s3cret" not in Path("o.jsonl").read_text()


def test_an_endless_stream_that_drops_is_opened_again(
    tmp_path: Path, make_video: MakeVideo, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAUSES_S", (0.01, 0.02))
    data = make_video("clip.ts", options={"bf": "0"}).read_bytes()
    asked: list[int] = []

    class Camera(BaseHTTPRequestHandler):
        """Sends a stretch of an endless stream, then drops the line; the third time, nobody is there."""

        def do_GET(self) -> None:
            asked.append(1)
            if len(asked) > 2:
                self.send_error(503)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    got = []
    with read(f"{serve(Camera)}/live.ts") as source, pytest.raises(SourceError, match="lost after 60 frames"):
        got.extend(source)
    assert source.info.live
    assert [f.index for f in got] == list(range(60))
    assert [number(f.image) for f in got] == [*range(30), *range(30)]
    times = [f.time for f in got]
    assert times[0] < 1.0
    assert (np.diff(times) >= 0).all()
    assert any("came back" in note for note in source.notes)


class _Feed:
    """A camera that gives some pictures and fails."""

    info = Info("camera", "camera", (160, 64))

    def __init__(self, pictures: int) -> None:
        self.pictures, self.closed = pictures, False

    def arrivals(self, log: Log) -> Iterator[live.Arrival]:
        for i in range(self.pictures):
            yield live.Arrival(numbered(i), 100.0 + i / 10, 50.0 + i / 10, 10**18 + i)

    def close(self) -> None:
        self.closed = True


def test_a_camera_that_drops_comes_back_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES_S", (0.0, 0.0, 0.0))
    feeds = [_Feed(3), _Feed(0), _Feed(0), _Feed(2), _Feed(0), _Feed(0), _Feed(0)]
    opened: list[_Feed] = []

    def connect() -> _Feed:
        if len(opened) == len(feeds):
            raise SourceError("unplugged")
        opened.append(feeds[len(opened)])
        return opened[-1]

    log = Log()
    reader = live.Live(connect)
    frames: list[Frame] = []
    with pytest.raises(SourceError, match=r"lost after 5 frames.*3 attempts"):
        frames.extend(reader.frames(Span(), log))
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert [f.time for f in frames[:3]] == pytest.approx([0.0, 0.1, 0.2])
    assert frames[4].time - frames[3].time == pytest.approx(0.1)
    assert frames[3].time >= frames[2].time
    assert all(feed.closed for feed in opened)
    assert log.counts.decoded == 5


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="camera '97' cannot be opened"):
        read(97)
    with pytest.raises(SourceError, match="cannot be opened"):
        read("/dev/video97")


def test_an_output_must_not_overwrite_its_input(tmp_path: Path, make_video: MakeVideo) -> None:
    clip = make_video("clip.mp4", [0.0])
    cv2.imwrite(str(tmp_path / "a.png"), numbered(0))
    (tmp_path / "list.txt").write_text("clip.mp4\n")
    (tmp_path / "link.mp4").symlink_to(clip)
    for output, uri in [
        (clip, str(clip)), (tmp_path / "x/../clip.mp4", str(clip)), (tmp_path / "link.mp4", str(clip)),
        (clip, str(tmp_path)), (clip, str(tmp_path / "*.mp4")), (clip, str(tmp_path / "list.txt")),
        (tmp_path / "list.txt", str(tmp_path / "list.txt")), (tmp_path, str(tmp_path / "a.png")),
    ]:                                                                              # fmt: skip
        with pytest.raises(SinkError, match="would overwrite the input"):
            Inputs([uri]).refuse(output)
    for output, uri in [
        (tmp_path / "out.mp4", str(clip)), (tmp_path, str(clip)), (clip, "-"), (clip, "rtsp://camera/1"),
        (tmp_path / "frames", str(tmp_path)),
    ]:                                                                              # fmt: skip
        Inputs([uri]).refuse(output)


def test_local_files(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.png", "deep/c.jpg", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in local_files(str(tmp_path))]
    assert found == ["a.png", "b.mp4", "deep/c.jpg"]
    assert [local_files(uri) for uri in ("-", "0", "/dev/video0", "rtsp://x/y")] == [[], [], [], []]

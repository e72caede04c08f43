"""Videos and pictures that were misread: times, turns, counts, kinds, memory, and what is never shown."""

from __future__ import annotations

import gc
import io
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
import pytest
from numbered import MakeVideo, number, numbered

from vision.errors import SourceError
from vision.io import read
from vision.io.base import Log, shown
from vision.io.clips import read_clips, uniform
from vision.io.clock import BestEffort, Clock
from vision.io.pictures import decode_picture
from vision.io.turning import Turn, upright


def test_frames_that_an_avi_reorders_keep_their_times(make_video: MakeVideo) -> None:
    path = make_video("b.avi", [i / 10 for i in range(60)], options={"bf": "3"}, tick=Fraction(1, 10))
    with read(path) as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == list(range(60))
    times = [f.time for f in frames]
    assert times == sorted(times)
    assert max(abs(t - i / 10) for i, t in enumerate(times)) < 0.31          # a few frames, as FFmpeg says
    assert not any("go back" in note for note in source.notes)
    clips = read_clips(path, uniform(3, 5))
    assert [number(image) for image in clips.frames] == clips.index.tolist()


def test_the_best_stamp_is_ffmpegs() -> None:
    best = BestEffort()
    pairs = [(1, 2), (2, 3), (5, 4), (3, 5), (4, 6), (7, None), (None, 9), (None, None)]
    assert [best(*pair) for pair in pairs] == [1, 2, 5, 5, 6, 7, 9, None]


def test_a_stamp_out_of_order_does_not_move_the_later_ones() -> None:
    log = Log()
    clock = Clock(0.1, log)
    assert [clock(t) for t in (0.0, 0.1, 0.3, 0.2, 0.4)] == pytest.approx([0.0, 0.1, 0.3, 0.3, 0.4])
    assert log.notes == ["some time stamps are out of order: such a frame has the time of the one before it"]


def turned_by(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the first four numbers of the display matrix into an mp4's track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (v << 16 for v in matrix)
    data[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
    path.write_bytes(data)


@pytest.mark.parametrize(("matrix", "turn"), [
    ((1, 0, 0, 1), Turn(0)), ((0, 1, -1, 0), Turn(90)), ((-1, 0, 0, -1), Turn(180)), ((0, -1, 1, 0), Turn(270)),
    ((-1, 0, 0, 1), Turn(0, True)), ((1, 0, 0, -1), Turn(180, True)), ((0, 1, 1, 0), Turn(90, True)),
    ((0, -1, -1, 0), Turn(270, True)),
])                                                                                  # fmt: skip
def test_a_display_matrix_moves_each_pixel_where_it_says(
    make_video: MakeVideo, matrix: tuple[int, int, int, int], turn: Turn
) -> None:
    path = make_video("turned.mp4", [0.0, 0.1])
    plain = next(read(path)).image
    turned_by(path, matrix)
    with read(path) as source:
        frame = next(source)
    a, b, c, d = matrix
    y, x = np.mgrid[: plain.shape[0], : plain.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    wanted = np.empty_like(frame.image)
    wanted[to_y - to_y.min(), to_x - to_x.min()] = plain
    assert (frame.image == wanted).all()
    assert (source.info.rotation, source.info.mirrored) == turn
    assert source.info.size_wh == frame.size_wh
    assert (upright(plain, turn) == wanted).all()


def test_no_decoded_frame_is_kept(make_video: MakeVideo) -> None:
    path = make_video("turned.mp4", rotation=90)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in read(path)) == 30
        assert sum(1 for _ in read_clips(path, uniform(1, 20)).index) == 20
        kept = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= 4


def test_an_odd_angle_is_told_and_not_applied(make_video: MakeVideo) -> None:
    path = make_video("turned.mp4", [0.0, 0.1])
    turned_by(path, (1, 1, -1, 1))
    with read(path) as source:
        assert {frame.size_wh for frame in source} == {source.info.size_wh} == {(160, 64)}
    assert "turned by 45 degrees: only quarter turns" in source.notes[0]


def test_metadata_need_not_be_utf8(make_video: MakeVideo, tmp_path: Path) -> None:
    path = tmp_path / "titled.avi"
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "Cafe-title"
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 64, "yuv420p"
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(numbered(i), "bgr24").reformat(format="yuv420p")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"Cafe-title") == 1
    path.write_bytes(data.replace(b"Cafe-title", b"Caf\xe9-title"))
    assert [number(f.image) for f in read(path)] == list(range(5))


def test_a_damaged_beginning_has_the_same_indices_from_a_start(make_video: MakeVideo) -> None:
    path = make_video("long.mp4", [i / 10 for i in range(100)], options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        first = next(container.demux(video=0))
        at, size = first.pos, first.size
    data = bytearray(path.read_bytes())
    data[at : at + size] = bytes(size)
    path.write_bytes(data)
    whole = {number(f.image): f.index for f in read(path)}
    with read(path, start=8.05) as source:
        late = {number(f.image): f.index for f in source}
    assert len(late) >= 19
    assert late.items() <= whole.items()


@pytest.fixture
def scene() -> PIL.Image.Image:
    y, x = np.mgrid[:32, :48]
    return PIL.Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], -1).astype(np.uint8))


@pytest.mark.parametrize("kind", ["TGA", "SGI", "QOI", "PCX", "ICO", "XBM", "JPEG2000", "DDS", "IM", "ICNS"])
@pytest.mark.parametrize("suffix", ["own", ".bin"])
def test_what_pillow_reads_is_a_picture(
    tmp_path: Path, scene: PIL.Image.Image, kind: str, suffix: str
) -> None:
    picture = scene.convert("1") if kind == "XBM" else scene.resize((32, 32)) if kind in ("ICO", "ICNS") else scene
    own = {"JPEG2000": ".jp2"}.get(kind, f".{kind.lower()}")
    path = tmp_path / ("a" + (own if suffix == "own" else suffix))
    picture.save(path, kind, **({"sizes": [(16, 16), (32, 32)]} if kind == "ICO" else {}))
    with read(path) as source:
        (frame,) = list(source)
    assert source.info.kind == "picture"
    with PIL.Image.open(path) as opened:
        wanted = np.asarray(opened.convert("RGB"))
    assert (frame.image[..., ::-1] == wanted).all()


def test_a_folder_names_the_kinds_that_it_passes_over(tmp_path: Path, scene: PIL.Image.Image) -> None:
    for name in ("a.jfif", "b.mpo", "c.tga"):
        scene.save(tmp_path / name, {".jfif": "JPEG", ".mpo": "JPEG", ".tga": "TGA"}[Path(name).suffix])
    for name in ("d.svg", "e.cr2", "f.cr2", "notes.md", "labels.json"):
        (tmp_path / name).write_text("x")
    with read(tmp_path) as source:
        assert [Path(frame.source).name for frame in source] == ["a.jfif", "b.mpo", "c.tga"]
    assert source.notes == [f"'{tmp_path}' holds files of kinds that are not read: 2 .cr2, 1 .svg"]


def test_texts_and_other_files_are_no_videos(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", numbered(1))[1].tobytes()
    karaoke = (b"\x09\x01" + bytes(22)) * 500
    kinds: list[tuple[str, bytes, str]] = [
        ("a.nfo", b"some words\n" * 99, "is a text"),
        ("a.mjpeg", "größer\n".encode() * 900, "is a text"),
        ("l.ffconcat", b"ffconcat version 1.0\nfile a.mp4\n", "is a text"),
        ("l.m3u8", b"#EXTM3U\nclip.ts\n", "is a playlist"),
        ("a.pdf", b"%PDF-1.4\n" + jpeg * 9, "is a PDF document"),
        ("a.mp4", b"PK\3\4" + jpeg * 9, "is a ZIP archive"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript picture"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("a.wmf", b"\xd7\xcd\xc6\x9a" + bytes(50), "a Windows metafile"),
        ("a.bin", jpeg[2:] * 9, "cannot be read"),
        ("karaoke.dat", karaoke, "by its name"),
    ]
    for name, data, says in kinds:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=says):
            list(read(tmp_path / name))
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"is empty \(0 bytes\)\. Was it saved whole"):
        read(tmp_path / "empty.mp4")


def test_a_large_picture_takes_little_more_than_itself(tmp_path: Path) -> None:
    """9000x9000: 243 MB as BGR, of which the steps of a conversion took several before."""
    picture = PIL.Image.new("P", (9000, 9000))
    picture.putpalette([200, 100, 50] * 256)
    picture.info["transparency"] = 0
    picture.save(tmp_path / "large.png", compress_level=1)
    code = (
        "import resource, sys; from vision.io import read; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; f = next(read(sys.argv[1])); "
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, *f.image[4000, 5000])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large.png")], capture_output=True, text=True, check=True
    )
    megabytes, *pixel = map(int, done.stdout.split())
    assert pixel == [255, 255, 255]
    assert megabytes < 600


def test_bands_of_a_picture_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for values in (rng.integers(0, 256, (50, 40, 4), np.uint8), rng.integers(0, 65536, (50, 40), np.uint16),
                   rng.normal(size=(50, 40)).astype(np.float32)):
        buffer = io.BytesIO()
        PIL.Image.fromarray(values).save(buffer, "TIFF" if values.dtype == np.float32 else "PNG")
        whole = decode_picture(buffer.getvalue())
        monkeypatch.setattr("vision.io.pictures._BAND_PIXELS", 7 * 40)
        assert (decode_picture(buffer.getvalue()) == whole).all()
        monkeypatch.undo()


@pytest.mark.parametrize(("uri", "says"), [
    ("rtsp://user:secret@host:554/one", "rtsp://user:***@host:554/one"),
    ("rtsp://user:se:c@ret@host/one", "rtsp://user:***@host/one"),
    ("http://host/a.mjpg?user=me&password=secret&x=1", "http://host/a.mjpg?user=me&password=***&x=1"),
    ("https://host/v.mp4?access_token=secret", "https://host/v.mp4?access_token=***"),
    ("https://host:8080/a:b@c.mp4", "https://host:8080/a:b@c.mp4"), ("a:b@c.mp4", "a:b@c.mp4"),
])                                                                                  # fmt: skip
def test_passwords_are_not_shown(uri: str, says: str) -> None:
    assert shown(uri) == says


@pytest.fixture
def no_ranges(make_video: MakeVideo) -> Iterator[str]:
    """An mp4 with its index last, on a server that wants a login and gives whole files only."""
    data = make_video("late.mp4", [i / 10 for i in range(40)], size_wh=(640, 480)).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == "Basic bWU6c2VjcmV0"
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(data) if allowed else 0))
            if not allowed:
                self.send_header("WWW-Authenticate", 'Basic realm="films"')
            self.end_headers()
            if allowed:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}/late.mp4"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_mp4_with_its_index_last_on_a_server_without_ranges(no_ranges: str) -> None:
    with read(f"http://me:secret@{no_ranges}") as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == list(range(40))
    assert {f.source for f in frames} == {source.info.uri} == {f"http://me:***@{no_ranges}"}


def test_a_password_is_in_no_error(no_ranges: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(f"http://me:hidden@{no_ranges}")
    assert "me:***@" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hidden" not in f"{error} {error.args}" or error.__suppress_context__
        error = error.__cause__


@pytest.mark.realdata
def test_real_clips_have_the_counts_and_times_of_a_bare_decoder(data: Path) -> None:
    paths = [*sorted((data / "videos").glob("*.*")), *sorted((data / "ucf101").rglob("*.avi"))]
    compared = 0
    for path in paths:
        if path.stat().st_size == 0:
            continue
        best, stamps = BestEffort(), []
        with av.open(f"file:{path}") as container:
            for picture in container.decode(video=0):
                stamp = best(picture.pts, picture.dts)
                stamps.append(None if stamp is None else float(stamp * picture.time_base))
        with read(path) as source:
            times = [frame.time for frame in source]
        assert (len(times), source.counts.corrupt) == (len(stamps), 0), path.name
        assert times == pytest.approx(np.maximum.accumulate(stamps)), path.name
        compared += 1
    assert compared > 40


@pytest.mark.realdata
def test_real_reproductions(data: Path) -> None:
    repro = data.parent / "repro"
    times = [f.time for f in read(repro / "01-bframes-avi-times" / "a.avi")]
    assert (len(times), times[-1]) == (60, pytest.approx(6.0))
    assert len(list(read(repro / "04-metadata-not-utf8" / "latin.avi"))) == 60
    with read(repro / "12-raw-h264-rate" / "raw.h264") as source:
        assert [f.time for f in source] == pytest.approx([i / 10 for i in range(60)])
    with read(repro / "14-peek-loses-frames" / "multi-stsd.mp4") as source:
        assert [f.size_wh for f in source] == [(256, 128)] * 2 + [(128, 128)] * 2
        assert source.counts.corrupt == 0
    with read(repro / "15-folder-passes-over" / "folder") as source:
        assert [Path(f.source).suffix for f in source] == [".jpg", ".jfif", ".mpo", ".heic"]

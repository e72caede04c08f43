"""Films that are written: times, pixels, sound, and what is left when something goes wrong."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import MakeVideo, number, numbered

from vision import Mcap, VideoFile
from vision.errors import SinkError, UsageError
from vision.io import read
from vision.sinks.film import VideoWriter
from vision.sinks.sound import Sound

TICK = 1 / 90_000
intervals = st.lists(st.floats(0.001, 3.0), min_size=1, max_size=12)


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(time, data) of every packet of a stream."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 20.0), intervals)
def test_times_come_back_within_half_a_tick(first: float, steps: list[float]) -> None:
    times = np.cumsum([first, *steps])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with VideoWriter(path) as film:
            for i, time in enumerate(times):
                film.write(numbered(i), time)
        frames = list(read(path))
    assert [number(f.image) for f in frames] == list(range(len(times)))
    assert np.abs([f.time for f in frames] - times).max() <= TICK / 2 + 1e-9


def test_a_film_is_what_a_browser_plays(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with VideoWriter(path) as film:
        for i in range(40):
            film.write(numbered(i), i / 10)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")                    # plays while it loads
    assert data.count(b"moof") == 0
    with av.open(str(path)) as container:
        (stream,) = container.streams
        context = stream.codec_context
        assert (context.codec.canonical_name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_range) == (6, 6, 1)
        assert stream.frames == 40
        assert float(stream.duration * stream.time_base) == pytest.approx(4.0)     # the last lasts as well
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_pixels_come_back(photos: dict[str, Path], tmp_path: Path) -> None:
    photo = cv2.resize(cv2.imread(str(photos["bus"])), (405, 540), interpolation=cv2.INTER_AREA)
    patches = np.repeat(np.random.default_rng(3).integers(0, 256, (1, 9, 3), np.uint8), 540, 0).repeat(45, 1)
    with VideoWriter(tmp_path / "film.mp4") as film:
        for i, image in enumerate((photo, patches, photo)):
            film.write(image, i / 10)
    got = [f.image[:540, :405] for f in read(tmp_path / "film.mp4")]
    assert cv2.PSNR(got[0], photo) > 32
    inner = got[1].reshape(540, 9, 45, 3)[50:-50, :, 15:30].mean((0, 2))
    assert np.abs(inner - patches[0, ::45]).max() < 4                   # right matrix, right range
    capture = cv2.VideoCapture(str(tmp_path / "film.mp4"))              # a reader that ignores the tags
    _, theirs = capture.read()
    capture.release()
    assert cv2.PSNR(np.ascontiguousarray(theirs[:540, :405]), photo) > 32


@pytest.mark.parametrize("size_wh", [(1, 1), (161, 64), (160, 65), (33, 17)])
def test_an_odd_size_grows_by_one_pixel(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    image = np.full((size_wh[1], size_wh[0], 3), (30, 200, 90), np.uint8)
    with VideoWriter(tmp_path / "film.mp4") as film:
        film.write(image, 0.0)
        film.write(image, 0.1)
    frames = list(read(tmp_path / "film.mp4"))
    assert [f.size_wh for f in frames] == [tuple(s + s % 2 for s in size_wh)] * 2
    assert np.abs(frames[0].image.mean((0, 1)) - (30, 200, 90)).max() < 4


def test_another_size_is_fitted_in(tmp_path: Path) -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    with VideoWriter(tmp_path / "film.mp4") as film:
        film.write(white, 0.0)
        film.write(white[:, :50], 0.1)                                  # upright: borders on both sides
    second = list(read(tmp_path / "film.mp4"))[1]
    row = second.image[50].mean(1)
    assert row[5:70].max() < 20
    assert row[130:].max() < 20
    assert row[80:120].min() > 235


def test_the_next_clip_follows_on(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4") as film:
        for i, time in enumerate((0.0, 0.1, 0.3, 0.0, 0.5, 0.0)):
            film.write(numbered(i), time)
    got = [f.time for f in read(tmp_path / "film.mp4")]
    assert got == pytest.approx([0.0, 0.1, 0.3, 0.5, 1.0, 1.5], abs=TICK)


def test_origin_is_the_films_zero(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video("clip.mp4", [i / 10 for i in range(40)], sound="aac")
    with VideoWriter(tmp_path / "film.mp4", origin=2.0, audio_from=source) as film:
        for frame in read(source, start=2.0):
            film.write(frame.image, frame.time)
    frames = list(read(tmp_path / "film.mp4"))
    assert [f.time for f in frames] == pytest.approx([i / 10 for i in range(20)], abs=TICK)
    sound = packets(tmp_path / "film.mp4", "audio")
    assert 0 <= sound[0][0] < 0.03
    assert [d for _, d in sound] == [d for t, d in packets(source, "audio") if t >= 2.0 - 1e-3][: len(sound)]


@pytest.mark.parametrize("stride", [1, 4])
def test_sound_is_copied_byte_for_byte(tmp_path: Path, make_video: MakeVideo, stride: int) -> None:
    source = make_video("clip.mp4", [i / 10 for i in range(30)], sound="aac")
    with VideoWriter(tmp_path / "film.mp4", audio_from=source) as film:
        for frame in read(source, stride=stride):
            film.write(frame.image, frame.time)
    assert packets(tmp_path / "film.mp4", "audio") == packets(source, "audio")
    assert [f.time for f in read(tmp_path / "film.mp4")] == pytest.approx(
        [i / 10 for i in range(0, 30, stride)], abs=TICK
    )


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path: Path, make_video: MakeVideo) -> None:
    times, tick = [i / 10 for i in range(20)], Fraction(1, 10)
    source = make_video("clip.avi", times, codec="mpeg4", sound="pcm_s16le", tick=tick)
    with VideoWriter(tmp_path / "film.mp4", audio_from=source) as film:
        for frame in read(source):
            film.write(frame.image, frame.time)
    heard = []
    for path in (source, tmp_path / "film.mp4"):
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name in ("pcm_s16le", "aac")
            resampler = av.AudioResampler("flt", "mono", 48_000)
            parts = [p.to_ndarray() for f in container.decode(audio=0) for p in resampler.resample(f)]
            heard.append(np.concatenate(parts, 1)[0])
    assert abs(len(heard[0]) - len(heard[1])) <= 2048
    spectrum = [np.abs(np.fft.rfft(wave[:48_000])) for wave in heard]
    assert [int(s.argmax()) for s in spectrum] == [440, 440]


def test_broken_pieces_of_the_sound_are_left_out_and_the_film_is_whole(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    """Every fifth packet of the sound is no sound; the pieces after it stay at their times."""
    whole, broken = make_video("whole.mkv", [i / 10 for i in range(40)], sound="mp2"), tmp_path / "broken.mka"
    with av.open(str(whole)) as source, av.open(str(broken), "w", format="matroska") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for n, packet in enumerate(p for p in source.demux(audio=0) if p.size):
            data = b"\xff" * packet.size if n % 5 == 4 else bytes(packet)
            piece = av.Packet(data)
            piece.pts, piece.dts, piece.time_base = packet.pts, packet.dts, packet.time_base
            piece.stream = stream
            out.mux(piece)
    for sound in (whole, broken):
        with VideoWriter(tmp_path / f"{sound.stem}.mp4", audio_from=sound) as film:
            for frame in read(whole):
                film.write(frame.image, frame.time)
    assert film.notes == ["32 pieces of the sound are broken, and left out"]
    assert [number(frame.image) for frame in read(tmp_path / "broken.mp4")] == list(range(40))
    ends = [packets(tmp_path / f"{name}.mp4", "audio")[-1][0] for name in ("whole", "broken")]
    assert ends[1] == pytest.approx(ends[0], abs=0.05)


@pytest.mark.parametrize(
    ("change", "says", "pieces"),
    [
        (lambda t: np.where(np.arange(len(t)) == 50, np.roll(t, 1), t), "1 pieces of the sound had the time", 180),
        (lambda t: np.concatenate([t[:90], t[:90]]), "begins anew after 1.8", 180),
        (lambda t: np.where(np.arange(len(t)) > 40, 1.0, t), "stands still .* left out from there", 142),
    ],
    ids=["twice", "anew", "still"],
)
def test_a_bad_clock_of_the_sound_never_costs_the_film(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[np.ndarray], np.ndarray], says: str, pieces: int,
) -> None:
    """Two packets at one time, a clock that restarts, and one that stands still."""
    source = make_video("clip.mp4", [i / 10 for i in range(41)], sound="aac")
    plain = Sound._demuxed

    def bad(sound: Sound) -> Iterator[av.Packet]:
        packets = list(plain(sound))[:180]
        ticks = change(np.array([p.pts / 48_000 for p in packets])) * 48_000
        for packet, tick in zip(packets, ticks.round().astype(int).tolist(), strict=True):
            packet.pts = packet.dts = tick
            yield packet

    monkeypatch.setattr(Sound, "_demuxed", bad)
    with VideoWriter(tmp_path / "film.mp4", audio_from=source) as film:
        for frame in read(source):
            film.write(frame.image, frame.time)
    assert [number(frame.image) for frame in read(tmp_path / "film.mp4")] == list(range(41))
    assert len(film.notes) == 1
    assert re.search(says, film.notes[0])
    times = [time for time, _ in packets(tmp_path / "film.mp4", "audio")]
    assert len(times) == pieces
    assert times == sorted(set(times))


def test_sound_that_cannot_go_into_the_film_is_left_out_with_a_note(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def into(sound: Sound, out: av.container.OutputContainer, origin: float) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(Sound, "into", into)
    with VideoWriter(tmp_path / "film.mp4", audio_from=make_video(sound="aac")) as film:
        film.write(numbered(3), 0.0)
    assert film.notes == ["the film has no sound: it cannot be put beside the pictures (Invalid argument)"]
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert [s.type for s in container.streams] == ["video"]
    (tmp_path / "odd.mp4").write_bytes(bytes(5000))
    with VideoWriter(tmp_path / "film.mp4", audio_from=tmp_path / "odd.mp4") as film:
        film.write(numbered(4), 0.0)
    assert film.notes[0].startswith("the film has no sound: ")
    assert [number(frame.image) for frame in read(tmp_path / "film.mp4")] == [4]


def test_a_silent_source_gives_a_silent_film(tmp_path: Path, make_video: MakeVideo) -> None:
    for source in (make_video(), "-", "rtsp://127.0.0.1:1/cannot-be-read-twice"):
        with VideoWriter(tmp_path / "film.mp4", audio_from=source) as film:
            film.write(numbered(0), 0.0)
        with av.open(str(tmp_path / "film.mp4")) as container:
            assert [s.type for s in container.streams] == ["video"]
    with pytest.raises(SinkError, match=r"sound of '.*nowhere.*no such file"):
        VideoWriter(tmp_path / "film.mp4", audio_from=tmp_path / "nowhere.mp4")


_KILLED = """
import os, signal, sys
from numbered import numbered
from vision.sinks.film import VideoWriter
film = VideoWriter(sys.argv[1])
for i in range(200):
    film.write(numbered(i), i / 20)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_a_film_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"from an earlier run")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    frames = list(read(tmp_path / "film.part.mp4"))
    assert 150 <= len(frames) <= 200                                    # the last two seconds at most
    assert [(number(f.image), round(f.time, 4)) for f in frames] == [(i, i / 20) for i in range(len(frames))]
    assert path.read_bytes() == b"from an earlier run"


def test_an_exception_leaves_the_part_and_an_interrupt_the_film(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def film(error: type[BaseException]) -> None:
        with VideoWriter(tmp_path / "film.mp4") as out:
            for i in range(30):
                out.write(numbered(i), i / 10)
            raise error("in mid-run")

    with pytest.raises(ValueError, match="mid-run"):
        film(ValueError)
    assert os.listdir(tmp_path) == ["film.part.mp4"]
    assert "film.part.mp4" in caplog.text
    assert [number(f.image) for f in read(tmp_path / "film.part.mp4")] == list(range(30))
    with pytest.raises(KeyboardInterrupt):
        film(KeyboardInterrupt)
    assert os.listdir(tmp_path) == ["film.mp4"]
    assert [number(f.image) for f in read(tmp_path / "film.mp4")] == list(range(30))


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The film lies where the link says, to a file that is there and to one that is not there yet, and so do its parts:
    a rename across disks is not possible. A link to a device is no film's place, and neither is the device."""
    far = tmp_path / "far"
    far.mkdir()
    (far / "there.mp4").write_bytes(b"old")
    for name in ("there", "missing"):
        link = tmp_path / f"{name}-link.mp4"
        link.symlink_to(far / f"{name}.mp4")
        with VideoWriter(link) as film:
            film.write(numbered(7), 0.0)
            film.state()
            assert {part.parent for part in film.parts} == {far}
            film.write(numbered(8), 0.1)
        film.forget()
        assert link.is_symlink()
        assert [number(f.image) for f in read(far / f"{name}.mp4")] == [7, 8]
    assert sorted(os.listdir(far)) == ["missing.mp4", "there.mp4"]
    (tmp_path / "null.mp4").symlink_to(os.devnull)
    with VideoWriter(tmp_path / "null.mp4") as film:
        film.write(numbered(9), 0.0)
    assert (tmp_path / "null.mp4").is_file()
    assert not Path(os.devnull).is_file()


def test_no_picture_no_film(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4"):
        pass
    assert os.listdir(tmp_path) == []


def test_what_x264_refuses_leaves_no_empty_part_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = r"preset is one of .*ultrafast, superfast, .*veryslow, placebo; got 'foo'"
    for make in (VideoFile, Mcap, VideoWriter):
        with pytest.raises(UsageError, match=said):
            make(tmp_path / "o.mp4", preset="foo")
    with pytest.raises(SinkError, match=r"o\.mp4' cannot be written \([^)]*\)\.$"), \
            VideoWriter(tmp_path / "o.mp4", crf=-5) as film:
        film.write(numbered(0), 0.0)
    assert list(tmp_path.iterdir()) == []
    assert caplog.text == ""


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="No such file or directory"):
        VideoWriter(tmp_path / "nowhere" / "film.mp4")
    (tmp_path / "film.part.mp4").mkdir()
    with pytest.raises(SinkError, match=r"film\.mp4' cannot be written"):
        VideoWriter(tmp_path / "film.mp4")
    with pytest.raises(SinkError, match=r"\.mp4, \.m4v or \.mov"):
        VideoWriter(tmp_path / "film.avi")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 160, 3), np.float32), np.zeros((64, 160), np.uint8), np.zeros((64, 160, 3), np.uint16),
        np.zeros((64, 160, 4), np.uint8), np.zeros((0, 160, 3), np.uint8), None,
    ],
)
def test_what_is_no_picture_is_told_and_the_film_goes_on(tmp_path: Path, image: np.ndarray | None) -> None:
    with VideoWriter(tmp_path / "film.mp4") as film:
        with pytest.raises(UsageError, match=r"a picture is .*\(H,W,3\) uint8 BGR"):
            film.write(image, 0.0)
        for i in range(2):
            film.write(numbered(i), i / 10)
        with pytest.raises(UsageError, match=r"a picture is"):
            film.write(image, 0.2)
    assert [number(f.image) for f in read(tmp_path / "film.mp4")] == [0, 1]


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf")])
def test_a_time_that_is_not_finite_is_told_and_the_film_goes_on(tmp_path: Path, time: float) -> None:
    with VideoWriter(tmp_path / "film.mp4") as film:
        film.write(numbered(0), 0.0)
        with pytest.raises(UsageError, match=f"time must be finite seconds; got {time}"):
            film.write(numbered(9), time)
        film.write(numbered(1), 0.1)
    assert [(number(f.image), f.time) for f in read(tmp_path / "film.mp4")] == [(0, 0.0), (1, 0.1)]


_SECOND = """
import sys
from vision.sinks.film import VideoWriter
VideoWriter(sys.argv[1])
"""


def test_a_film_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"

    def second() -> str:
        done = subprocess.run([sys.executable, "-c", _SECOND, str(path)], capture_output=True, text=True)
        return done.stderr

    with VideoWriter(path) as film:
        film.write(numbered(0), 0.0)
        assert f"SinkError: {str(path)!r} cannot be written (another run is writing it)." in second()
        with pytest.raises(SinkError, match="another run is writing it"):
            VideoWriter(path)
        film.write(numbered(1), 0.1)
    assert [number(f.image) for f in read(path)] == [0, 1]
    assert second() == ""                                               # and then it is free again
    with pytest.raises(SinkError, match="is full"), VideoWriter(path):
        raise SinkError("the disk is full")
    assert second() == ""


_MANY = """
import os, resource, sys
import numpy as np
from vision.sinks.film import VideoWriter
with VideoWriter(sys.argv[1]) as film:
    for i in range(40):
        film.write(np.full((48, 64, 3), i, np.uint8), i / 10)
        film.state()
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 12,) * 2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted as Linux does")
def test_a_film_of_many_parts_opens_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    done = subprocess.run([sys.executable, "-c", _MANY, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [f.time for f in read(path)] == pytest.approx([i / 10 for i in range(40)], abs=TICK)
    assert [f.image.mean() for f in read(path)] == pytest.approx(list(range(40)), abs=3)


def test_on_windows_an_open_part_is_let_go_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    film = VideoWriter(tmp_path / "film.mp4")
    film.write(numbered(0), 0.0)
    closed, remove = [], Path.unlink

    def removed(path: Path, missing_ok: bool = False) -> None:
        if path == film.part:
            closed.append(film._lock.closed)
        remove(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    film.close()
    assert closed == [True]


_FULL = """
import resource, signal, sys
import numpy as np
from vision.errors import SinkError, UsageError
from vision.sinks.film import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))      # as if the disk were full there
noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
try:
    with VideoWriter(sys.argv[1]) as film:
        for i in range(400):
            film.write(np.roll(noise, i * 7, 1), i / 10)
except SinkError as error:
    print(error)
    sys.exit(9)
"""


def test_a_full_disk_leaves_what_was_finished(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path / "film.mp4")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    assert "cannot be written" in done.stdout
    assert "film.part.mp4" in done.stdout
    frames = list(read(tmp_path / "film.part.mp4"))
    assert len(frames) > 3
    assert [f.time for f in frames] == pytest.approx([i / 10 for i in range(len(frames))], abs=TICK)


def test_a_disk_that_is_full_at_the_end_leaves_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vision.sinks.film._remux", full)
    film = VideoWriter(tmp_path / "film.mp4")
    film.write(numbered(3), 0.0)
    with pytest.raises(SinkError, match=r"No space left on device.*film\.part\.mp4"):
        film.close()
    assert [number(f.image) for f in read(tmp_path / "film.part.mp4")] == [3]
    with pytest.raises(SinkError, match="is closed"):
        film.write(numbered(4), 1.0)


def test_a_film_may_be_written_by_another_thread(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4") as film:
        thread = threading.Thread(target=lambda: [film.write(numbered(i), i / 10) for i in range(12)])
        thread.start()
        thread.join()
    assert [number(f.image) for f in read(tmp_path / "film.mp4")] == list(range(12))


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["fire2.mp4", "car-detection.mp4", "no_duration.webm"])
def test_real_clips_keep_their_times_and_their_sound(data: Path, tmp_path: Path, name: str) -> None:
    source, path = data / "videos" / name, tmp_path / "film.mp4"
    frames = []
    with VideoWriter(path, audio_from=source) as film:
        for frame in read(source, stride=3):
            film.write(frame.image, frame.time)
            frames.append((frame.time, frame.image))
    got = list(read(path))
    assert np.abs(np.subtract([f.time for f in got], [t for t, _ in frames])).max() <= TICK / 2 + 1e-9
    assert min(cv2.PSNR(f.image, image) for f, (_, image) in zip(got, frames, strict=True)) > 32
    assert [d for _, d in packets(path, "audio")] == [d for _, d in packets(source, "audio")]

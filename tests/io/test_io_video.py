"""Videos: which frames, when, which way up, and what happens to broken ones."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from numbered import MakeVideo, add_sound, number

from vision.errors import SourceError, UsageError
from vision.io import read
from vision.io.base import Log, Span
from vision.io.clock import Clock

UNEVEN = np.cumsum([0.0, *np.random.default_rng(7).choice([0.02, 0.033, 0.05, 0.2], 59)]).round(3).tolist()


def brute_force(path: Path) -> list[tuple[int, float, int]]:
    """(index, time, number) of every frame, straight from the decoder."""
    with av.open(f"file:{path}") as container:
        return [
            (i, float(f.pts * f.time_base), number(f.to_ndarray(format="bgr24")))
            for i, f in enumerate(container.decode(video=0))
        ]


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv", "vfr.mov"])
def test_times_and_indices_are_the_containers(make_video: MakeVideo, name: str) -> None:
    path = make_video(name, UNEVEN, options={"bf": "3", "g": "12"})
    with read(path) as source:
        got = [(f.index, f.time, number(f.image)) for f in source]
    assert got == [(i, pytest.approx(t, abs=1e-9), i) for i, t in enumerate(UNEVEN)]
    assert (source.counts.decoded, source.counts.corrupt, source.notes) == (60, 0, [])
    assert source.info.size_wh == (160, 64)
    assert source.info.codec == "h264"


CODECS = {
    "h264-bframes.mp4": ("libx264", {"bf": "3", "g": "10"}),
    "h264-open-gop.mkv": ("libx264", {"bf": "3", "x264-params": "keyint=10:min-keyint=10:open-gop=1"}),
    "h264-one-key-frame.mp4": ("libx264", {"g": "1000", "sc_threshold": "0"}),
    "hevc.mp4": ("libx265", {"x265-params": "keyint=10:open-gop=1:log-level=none"}),
    "vp9.webm": ("libvpx-vp9", {"g": "10", "deadline": "realtime"}),
    "vp8-hidden-frames.webm": ("libvpx", {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "mpeg4.avi": ("mpeg4", {"g": "10"}),
    "h264.ts": ("libx264", {"bf": "2", "g": "10"}),
}


@pytest.mark.parametrize("name", CODECS)
def test_a_range_is_the_brute_force_slice_with_the_same_indices(make_video: MakeVideo, name: str) -> None:
    codec, options = CODECS[name]
    times = [i / 20 for i in range(60)]
    path = make_video(name, times, codec=codec, options=options, tick=Fraction(1, 20))
    every = brute_force(path)
    assert [n for _, _, n in every] == list(range(60))
    for start, end, stride, most in [
        (None, None, 1, None), (None, None, 7, None), (0.0, 1.0, 1, None), (0.7, None, 1, None),
        (every[33][1], None, 3, None), (every[33][1] + 0.01, every[47][1], 2, 4), (2.9, 99.0, 1, None),
        (99.0, None, 1, None), (None, None, 1, 0),
    ]:                                                                              # fmt: skip
        wanted = [e for e in every if (start is None or e[1] >= start - 1e-6) and (end is None or e[1] < end)]
        with read(path, start=start, end=end, stride=stride, max_frames=most) as source:
            got = [(f.index, f.time, number(f.image)) for f in source]
        assert got == wanted[::stride][:most], (start, end, stride, most)
        assert source.counts.decoded - source.counts.passed_over == len(got)


def test_frames_before_a_late_start_are_counted_without_decoding_them(make_video: MakeVideo) -> None:
    path = make_video("long.mp4", [i / 10 for i in range(100)], options={"g": "10"})
    with read(path, start=9.05) as source:
        assert [f.index for f in source] == list(range(91, 100))
    assert any("90 frames before 9.05 s were counted by their packets" in note for note in source.notes)


def test_a_start_that_was_read_off_a_record_includes_its_frame(make_video: MakeVideo) -> None:
    path = make_video("thirds.mp4", [i / 30 for i in range(30)], tick=Fraction(1, 90_000))
    for frame in read(path):
        assert next(read(path, start=round(frame.time, 6))).index == frame.index


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"stride": 0}, "stride"), ({"max_frames": -1}, "max_frames"), ({"start": 2.0, "end": 2.0}, "later"),
     ({"reader": "ffmpeg"}, "reader")],
)                                                                                   # fmt: skip
def test_an_impossible_range_is_refused(tmp_path: Path, argument: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, **argument)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied_as_opencv_applies_it(make_video: MakeVideo, degrees: int) -> None:
    path = make_video("turned.mp4", rotation=degrees)
    with read(path) as source:
        ours = next(source)
    capture = cv2.VideoCapture(str(path))
    _, theirs = capture.read()
    capture.release()
    assert ours.image.shape == theirs.shape == ((160, 64, 3) if degrees != 180 else (64, 160, 3))
    assert np.abs(ours.image.astype(int) - theirs).mean() < 2
    assert source.info.size_wh == ours.size_wh
    assert source.info.rotation == -degrees % 360
    with read(path, reader="opencv") as other:
        assert (other.info.size_wh, other.info.rotation) == (source.info.size_wh, source.info.rotation)


def test_bt709_and_bt601_give_the_same_colours(tmp_path: Path) -> None:
    colours = np.array([(40, 60, 200), (30, 170, 60), (190, 80, 40), (128, 128, 128)], np.uint8)
    image = np.repeat(np.repeat(colours[None], 64, 0), 32, 1)                       # (64,128,3)
    for matrix, full in ((1, False), (5, False), (6, False), (1, True)):
        path = tmp_path / f"{matrix}{full}.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=10, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full else 1
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=2 if full else 1
            )
            out.mux(stream.encode(frame))
            out.mux(stream.encode())
        (got,) = list(read(path))
        inner = got.image.reshape(64, 4, 32, 3)[8:-8, :, 8:-8].mean((0, 2))
        assert np.abs(inner - colours).max() < 6, (matrix, full)


def test_a_truncated_mp4_gives_what_is_there(make_video: MakeVideo) -> None:
    path = make_video("cut.mp4", UNEVEN, options={"g": "10"}, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    pictures = data.index(b"mdat")
    path.write_bytes(data[: pictures + (len(data) - pictures) * 6 // 10])
    with read(path) as source:
        numbers = [number(f.image) for f in source]
    assert 20 < len(numbers) < 60
    assert numbers == list(range(len(numbers)))
    assert any("claims 60 frames" in note for note in source.notes)


def test_an_mp4_without_its_index_cannot_be_read(make_video: MakeVideo) -> None:
    path = make_video()
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(SourceError, match=r"clip\.mp4' cannot be read as a video"):
        read(path)


@pytest.mark.parametrize("claim", [3, 700])
def test_the_containers_frame_count_is_not_believed(make_video: MakeVideo, claim: int) -> None:
    path = make_video("lies.avi", codec="mpeg4", tick=Fraction(1, 10))
    data = bytearray(path.read_bytes())
    header, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[header + 16 : header + 20] = data[stream + 32 : stream + 36] = claim.to_bytes(4, "little")
    path.write_bytes(data)
    with read(path) as source:
        assert [number(f.image) for f in source] == list(range(30))
    assert source.info.frames_estimate == claim
    assert any(f"claims {claim} frames and holds 30" in note for note in source.notes)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        add_sound(out, out.add_stream("aac", rate=48_000), 1.0)
    with pytest.raises(SourceError, match=r"no video stream \(found: audio/aac\)"):
        read(path)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        track, cover = out.add_stream("aac", rate=48_000), out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        out.mux(cover.encode())
        add_sound(out, track, 1.0)
    with pytest.raises(SourceError, match=r"no video stream \(found: .*audio/aac.*video/mjpeg"):
        read(path)


def test_missing_empty_and_renamed_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no"):
        read(tmp_path / "nowhere.mp4")
    (tmp_path / "empty.webm").touch()
    with pytest.raises(SourceError, match="empty"):
        read(tmp_path / "empty.webm")
    (tmp_path / "text.mp4").write_text("This is not a film.\n" * 50)
    with pytest.raises(SourceError, match="is a text, neither a picture nor a video"):
        read(tmp_path / "text.mp4")


def broken_packets(path: Path, out: Path, broken: set[int]) -> None:
    """A copy of a video in which the packets with these numbers hold zeros."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(p for p in source.demux(video=0) if p.size):
            copy = av.Packet(bytes(packet.size) if n in broken else bytes(packet))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.duration = packet.duration
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            target.mux(copy)


def test_frames_that_fail_to_decode_are_passed_over(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("intra.mov", codec="png", pix_fmt="rgb24")
    broken_packets(path, tmp_path / "broken.mov", {4, 5, 17})
    with read(tmp_path / "broken.mov") as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == [i for i in range(30) if i not in (4, 5, 17)]
    assert [f.time for f in frames] == pytest.approx([i / 10 for i in range(30) if i not in (4, 5, 17)])
    assert [f.index for f in frames] == list(range(27))
    assert (source.counts.decoded, source.counts.corrupt) == (27, 3)


def test_no_frame_is_lost_without_a_word_when_threads_decode(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.io.container._ONE_THREAD_PIXELS", 0)
    path = make_video("intra.mov", codec="png", pix_fmt="rgb24")
    for broken in ({4, 5}, {28}, {26, 28}, {29}):
        broken_packets(path, tmp_path / "broken.mov", broken)
        with read(tmp_path / "broken.mov") as source:
            numbers = [number(f.image) for f in source]
        assert numbers == [i for i in range(30) if i not in broken][: len(numbers)]
        assert len(numbers) + source.counts.corrupt == 30


def test_a_video_that_decodes_nothing_is_an_error(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("intra.mov", codec="png", pix_fmt="rgb24")
    broken_packets(path, tmp_path / "nothing.mov", set(range(30)))
    with pytest.raises(SourceError, match=r"no frame of it can be decoded \(30 failed\)"):
        list(read(tmp_path / "nothing.mov"))


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "c.ts", "d.avi"])
def test_random_damage_gives_frames_or_a_source_error(make_video: MakeVideo, name: str) -> None:
    codec = "mpeg4" if name == "d.avi" else "libx264"
    path = make_video(name, codec=codec, tick=Fraction(1, 10), container_options={"movflags": "faststart"})
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    read_at_all = 0
    for _ in range(25):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.choice([1, 5, 50])):
            data[at] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data) // 2, len(data))] if rng.random() < 0.3 else data)
        try:
            with read(path, max_pixels=10**6) as source:
                times = [f.time for f in source]
        except SourceError:
            continue
        read_at_all += 1
        assert times == sorted(times)
        assert len(times) == source.counts.decoded
    assert read_at_all > 3


def test_a_stream_without_time_stamps_gets_times_from_its_rate(make_video: MakeVideo) -> None:
    path = make_video("raw.h264", options={"bf": "0"}, tick=Fraction(1, 25))
    with read(path) as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == list(range(30))
    assert [f.time for f in frames] == pytest.approx([i / source.info.rate for i in range(30)])
    assert any("times from the rate" in note for note in source.notes)


def test_time_stamps_that_begin_anew_follow_on(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.ts", options={"bf": "0"}).read_bytes()
    path = tmp_path / "twice.ts"
    path.write_bytes(one + one)
    with read(path) as source:
        frames = list(source)
    assert [number(f.image) for f in frames] == [*range(30), *range(30)]
    steps = np.diff([f.time for f in frames])
    assert steps.min() > 0
    assert steps.max() < 0.2


def test_the_clock_never_goes_back() -> None:
    log = Log()
    clock = Clock(0.1, log)
    assert [clock(t) for t in (5.0, 5.1, None, 5.3, 1.0, 1.2, None)] == pytest.approx(
        [5.0, 5.1, 5.2, 5.3, 5.4, 5.6, 5.7]
    )
    assert len(log.notes) == 2


def test_a_name_with_a_leading_dash_and_one_with_a_colon(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.rename(make_video(), "-clip-.mp4")
    assert sum(1 for _ in read("-clip-.mp4")) == 30
    os.rename("-clip-.mp4", "http:clip.mp4")
    assert sum(1 for _ in read("http:clip.mp4")) == 30


def test_a_video_of_too_many_pixels_is_refused(make_video: MakeVideo) -> None:
    path = make_video("large.mp4")
    for reader in ("auto", "opencv"):
        with pytest.raises(SourceError, match=r"160x64 pixels; 10239 are allowed\. Make it smaller"):
            read(path, max_pixels=160 * 64 - 1, reader=reader)


def test_opencv_reads_the_same_frames_at_the_same_times(make_video: MakeVideo) -> None:
    path = make_video("vfr.mp4", UNEVEN, options={"bf": "2", "g": "12"})
    for kwargs in ({}, {"stride": 3}, {"start": 1.0, "end": 2.0}):
        ours, theirs = list(read(path, **kwargs)), list(read(path, reader="opencv", **kwargs))
        assert [f.index for f in ours] == [f.index for f in theirs]
        assert [f.time for f in ours] == pytest.approx([f.time for f in theirs], abs=1e-6)
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a.image.astype(int) - b.image).mean() < 3


def test_spans_count_strides_from_the_first_wanted_frame() -> None:
    span = Span(start=1.0, end=2.0, stride=2)
    wanted = [i for i in range(30) if span.wants(i, i / 10) and not span.over(i / 10)]
    assert wanted == [10, 12, 14, 16, 18]


def test_closing_a_source_ends_it(make_video: MakeVideo) -> None:
    source = read(make_video())
    next(source)
    source.close()
    assert list(source) == []


REAL = {
    "-video-with-dash-.mp4": 5, "av1_video.mkv": 125, "car-detection.mp4": 377, "demo.mp4": 280,
    "dashcam_solidWhiteRight.mp4": 221, "demo_skeleton.mp4": 72, "example_video.mp4": 431, "fire2.mp4": 25,
    "h264_10bits.mp4": 30, "h265_video.mp4": 10, "no_duration.webm": 74, "vtest.avi": 795,
}                                                                                   # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_videos_against_the_bare_decoder(data: Path, name: str) -> None:
    path = data / "videos" / name
    with av.open(str(path)) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    with read(path) as source:
        got = [(f.index, f.time) for f in source]
    assert got == list(enumerate(times))
    assert len(got) == REAL[name]
    start = times[len(times) * 2 // 3]
    with read(path, start=start, stride=2) as source:
        assert [(f.index, f.time) for f in source] == [e for e in got if e[1] >= start][::2]


@pytest.mark.realdata
def test_real_rotated_clip_is_upright(data: Path) -> None:
    frame = next(read(data / "videos" / "fire2.mp4"))
    with av.open(str(data / "videos" / "fire2.mp4")) as container:
        raw = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert (frame.image == raw[::-1, ::-1]).all()


@pytest.mark.realdata
def test_real_files_that_hold_nothing(data: Path) -> None:
    with pytest.raises(SourceError, match="empty"):
        read(data / "videos" / "doc_medias__result.webm")
    with pytest.raises(SourceError, match="no frame of it can be decoded"):
        list(read(data / "videos" / "av1_video.mkv", reader="opencv"))

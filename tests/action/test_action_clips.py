"""Clips: the schemes against loops, and the frames that are read against those that `read` hands out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import WriteVideo, numbered
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import SourceError, UsageError
from vision.io import read
from vision.io.clips import Scheme, at_rate, centre, dense, read_clips, uniform, whole

Times = np.ndarray


def evenly(n: int, rate: float = 25.0) -> Times:
    return np.arange(n) / rate


@given(st.integers(1, 80), st.integers(1, 12), st.integers(1, 6), st.integers(1, 20))
def test_schemes_against_loops(n: int, length: int, step: int, clips: int) -> None:
    span = (length - 1) * step + 1
    last = max(0, n - span)

    def looped(start: int) -> list[int]:
        return [(start + i * step) % n for i in range(length)]

    spread = [round(k * last / (clips - 1)) if clips > 1 else 0 for k in range(clips)]
    found = uniform(clips, length, step)(evenly(n))
    assert all(abs(row[0] - start) <= 1 for row, start in zip(found.tolist(), spread, strict=True))
    assert [looped(row[0]) for row in found.tolist()] == found.tolist()
    assert dense(clips, length, step)(evenly(n)).tolist() == [looped(s) for s in range(0, last + 1, clips)]
    assert centre(length, step)(evenly(n)).tolist() == [looped(last // 2)]


def test_ten_clips_of_a_usual_video() -> None:
    rows = uniform(10, 16)(evenly(173))
    assert rows[:, 0].tolist() == [0, 17, 35, 52, 70, 87, 105, 122, 140, 157]
    assert rows[-1, -1] == 172


def test_the_whole_video_is_every_frame_once() -> None:
    assert whole(4)(evenly(6)).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert whole(4)(evenly(3)).tolist() == [[0, 1, 2, 0]]


def test_a_video_shorter_than_a_clip_is_looped() -> None:
    assert uniform(2, 8)(evenly(3)).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]] * 2
    assert dense(8, 4)(evenly(1)).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_at_a_rate_a_clip_lasts_as_long_on_every_source(fps: float) -> None:
    times = evenly(round(4 * fps), fps)
    rows = at_rate(dense(8, 16), 12.5)(times)
    spans = times[rows[:, -1]] - times[rows[:, 0]]
    assert np.all(np.abs(spans - 15 / 12.5) <= 1 / fps + 1e-9)


@given(st.lists(st.floats(0.001, 0.4), min_size=1, max_size=60), st.sampled_from([5.0, 12.5, 25.0]))
def test_on_variable_rates_frames_serve_the_ticks_about_them(gaps: list[float], rate: float) -> None:
    times = np.cumsum([0.0, *gaps])
    found = at_rate(lambda ticks: np.arange(len(ticks))[None], rate)(times)[0]
    want: list[int] = []                                   # step by step, as a stream does it
    for i, (time, gap) in enumerate(zip(times, [0.0, *gaps], strict=True)):
        while len(want) / rate <= time + min(gap, 1 / rate) / 2 + 1e-6:
            want.append(i)
    assert found.tolist() == want


def test_half_the_rate_is_every_second_frame() -> None:
    assert at_rate(centre(5), 12.5)(evenly(11)).tolist() == [[0, 2, 4, 6, 8]]


def test_impossible_numbers_are_refused() -> None:
    for make in (lambda: uniform(0), lambda: dense(0), lambda: centre(step=0)):
        with pytest.raises(UsageError, match="at least 1"):
            make()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b_frames.mp4", "libx264", {"bf": "3", "g": "10"}),
        ("xvid.avi", "mpeg4", {"g": "12"}),
        ("long_gop.mkv", "libx264", {"g": "250"}),
        ("lossless.mp4", "libx264rgb", {"qp": "0", "g": "5"}),
    ],
)
@pytest.mark.parametrize("scheme", [uniform(5, 4), dense(17, 3, 2), centre(9)])
def test_frames_are_those_that_reading_gives(
    write_video: WriteVideo, name: str, codec: str, options: dict[str, str], scheme: Scheme
) -> None:
    random = np.random.default_rng(0)
    pictures = [cv2.resize(random.integers(0, 256, (6, 8, 3), np.uint8), (64, 48)) for _ in range(70)]
    path = write_video(name, pictures, codec=codec, options=options)
    whole = list(read(path))
    clips = read_clips(path, scheme)
    want = scheme(np.array([f.time for f in whole]))
    assert len(clips) == len(want)
    for k, row in enumerate(want.tolist()):
        assert clips.index[clips.rows[k]].tolist() == row
        assert np.array_equal(clips[k], np.stack([whole[i].image for i in row]))
    assert np.allclose(clips.times, [whole[i].time for i in clips.index])


def test_a_frame_that_clips_share_is_prepared_once(write_video: WriteVideo) -> None:
    path = write_video("long.mp4", [numbered(i) for i in range(40)])
    seen: list[int] = []

    def prepare(image: np.ndarray) -> np.ndarray:
        seen.append(int(image[0, 0, 0]))
        return image[:4, :4]

    clips = read_clips(path, dense(2, 16), prepare)
    assert clips.rows.size == 13 * 16
    assert len(seen) == len(set(seen)) == len(clips.frames) == 40


def test_variable_rate_is_read_by_its_times(write_video: WriteVideo) -> None:
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.0, 1.04, 1.08]
    path = write_video("vfr.mp4", [numbered(i) for i in range(8)], times)
    clips = read_clips(path, at_rate(dense(1, 3), 2.0))
    assert clips.index.tolist() == [0, 3, 5]
    assert clips[0][:, 0, 0, 0].tolist() == [0, 21, 35]


def test_one_frame_and_one_picture(write_video: WriteVideo, tmp_path: Path) -> None:
    path = write_video("one.mp4", [numbered(3)])
    assert read_clips(path, uniform(10, 16))[9][:, 0, 0, 0].tolist() == [21] * 16
    cv2.imwrite(str(tmp_path / "p.png"), numbered(5))
    assert read_clips(tmp_path / "p.png", centre(4))[0].shape == (4, 32, 32, 3)


def test_a_folder_of_pictures_is_a_video(tmp_path: Path) -> None:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), numbered(i))
    assert read_clips(tmp_path, centre(4))[0][:, 0, 0, 0].tolist() == [7, 14, 21, 28]


def test_without_time_stamps_everything_is_decoded(write_video: WriteVideo) -> None:
    path = write_video("raw.h264", [numbered(i) for i in range(12)])             # no container: no times
    whole = [f.image for f in read(path)]
    clips = read_clips(path, uniform(3, 4))
    assert np.array_equal(clips[2], np.stack(whole[8:]))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no"):
        read_clips(tmp_path / "nothing.mp4", centre())
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    with pytest.raises(SourceError):
        read_clips(tmp_path / "broken.mp4", centre())


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["Punch/v_Punch_g12_c01", "PushUps/v_PushUps_g11_c01"])
def test_ten_clips_are_opencvs_frames_by_hash(data: Path, name: str) -> None:
    path = data / "ucf101" / f"{name}.avi"
    clips = read_clips(path, uniform(10, 16))
    capture = cv2.VideoCapture(str(path))
    def digest(image: np.ndarray) -> str:
        return hashlib.sha256(image.tobytes()).hexdigest()
    for k in range(10):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(clips.index[clips.rows[k, 0]]))
        assert [digest(frame) for frame in clips[k]] == [digest(capture.read()[1]) for _ in range(16)]

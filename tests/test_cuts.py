from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from vision import Detect, Detections, Run, Track, Tracker, read
from vision.cuts import SceneCuts
from vision.sample import make_sample
from vision.state import dumps, loads


def seen(*images: np.ndarray) -> list[bool]:
    cuts = SceneCuts()
    return [cuts(image) for image in images]


CHELSEA, COFFEE, ASTRONAUT = (np.ascontiguousarray(picture()[..., ::-1])
                              for picture in (pictures.chelsea, pictures.coffee, pictures.astronaut))


def test_another_picture_is_a_cut() -> None:
    cat, cup, woman = (cv2.resize(image, (320, 240)) for image in (CHELSEA, COFFEE, ASTRONAUT))
    assert seen(cat, cat, cup, woman, woman, cat) == [False, False, True, True, False, True]
    assert seen(cat, cat[:200]) == [False, True]                         # another size


def test_what_moves_turns_dark_or_is_cut_off_is_the_same_scene() -> None:
    pan = [COFFEE[60:340, x : x + 380] for x in range(0, 220, 40)]       # a tenth of the width a frame
    assert not any(seen(*pan))
    assert not any(seen(COFFEE, (0.4 * COFFEE).astype(np.uint8), np.minimum(1.6 * COFFEE, 255).astype(np.uint8)))
    broken = COFFEE.copy()
    broken[200:] = broken[200]                                           # what a decoder makes of a torn packet
    assert not any(seen(COFFEE, broken, COFFEE))
    black, white = np.zeros_like(COFFEE), np.full_like(COFFEE, 255)
    assert not any(seen(black, COFFEE, black, COFFEE, white, black, COFFEE))         # a signal that was lost, a flash
    assert seen(COFFEE, black, cv2.resize(CHELSEA, (600, 400))) == [False, False, True]


def test_it_goes_on_from_its_state() -> None:
    cat, cup = (cv2.resize(image, (320, 240)) for image in (CHELSEA, COFFEE))
    first, second = SceneCuts(), SceneCuts()
    first(cat)
    second.restore(loads(dumps(first.state())))
    assert second(cup) is True
    assert second(cup) is False


def test_after_a_cut_no_track_goes_on_and_no_id_comes_again() -> None:
    tracker = Tracker()
    boxes = np.array([[10, 10, 50, 90], [100, 10, 140, 90]], np.float32)
    there = Detections(boxes, np.array([0.9, 0.8]), np.array([0, 0]))
    before = [tracker(there, i / 25) for i in range(4)]
    tracker.cut()
    after = [tracker(there, i / 25) for i in range(4, 8)]
    assert before[-1].ids.tolist() == [1, 2]
    assert after[-1].ids.tolist() == [3, 4]
    assert after[-1].ages.max() < 4 / 25


def test_no_id_of_the_sample_lives_on_both_sides_of_a_cut(tmp_path: Path) -> None:
    """The sample's four cuts, counted by eye: at frames 39, 90, 131 and 146."""
    film = tmp_path / "sample.mp4"
    make_sample(film)
    cuts = SceneCuts()
    assert [frame.index for frame in read(film) if cuts(frame.image)] == [39, 90, 131, 146]
    scenes = defaultdict(set)
    with Run(read(film), [Detect(), Track()]) as run:
        for item in run:
            for one in item["track"].ids.tolist():
                scenes[one].add(int(np.searchsorted([39, 90, 131, 146], item.frame.index, side="right")))
    assert len(scenes) >= 5
    assert all(len(of) == 1 for of in scenes.values())


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(("clip", "stride"), [
    ("videos/vtest.avi", 1), ("videos/vtest.avi", 5), ("videos/dashcam_solidWhiteRight.mp4", 5), ("videos/demo.mp4", 1),
    ("videos/one-by-one-person-detection.mp4", 5), ("videos/car-detection.mp4", 3), ("videos/example_video.mp4", 1),
    ("mot/KITTI-17/img1", 3), ("mot/TUD-Campus/img1", 3),
])
def test_no_cut_where_there_is_none(data: Path, clip: str, stride: int) -> None:
    cuts = SceneCuts()
    assert [frame.index for frame in read(data / clip) if frame.index % stride == 0 and cuts(frame.image)] == []


@pytest.mark.slow
@pytest.mark.realdata
def test_most_cuts_from_photograph_to_photograph_are_seen(data: Path) -> None:
    paths = sorted((data / "voc2007" / "images").iterdir())[:400]
    images = [cv2.resize(cv2.imread(str(path)), (320, 240)) for path in paths]
    assert sum(seen(*images)) >= 0.8 * 399

"""Faces on a video: following, ids, losses, blinks, and when the detector runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as photographs

from vision.errors import UsageError
from vision.people.eyes import Eye
from vision.people.face import Faces
from vision.people.face_tracker import FaceTracker
from vision.people.landmarks import FaceLandmarker
from vision.types import Image, Landmarks

RATE = 25.0


def moved(image: Image, dx: float, dy: float) -> Image:
    return cv2.warpAffine(image, np.array([[1, 0, dx], [0, 1, dy]], float), (image.shape[1], image.shape[0]))


def test_a_moving_face_is_followed_without_the_detector(landmarker: FaceLandmarker, ancelotti: Image):
    tracker = FaceTracker(landmarker, detect_every=10.0)
    still = landmarker(ancelotti).points[0]
    for i in range(25):
        dx, dy = -4.0 * i, 2.0 * i                                # 100 pixels a second
        faces = tracker(moved(ancelotti, dx, dy), i / RATE)
        assert faces.ids.tolist() == [1]
        assert np.linalg.norm(faces.points[0] - still - [dx, dy], axis=1).mean() < 5
    assert tracker.detections == 1


def test_a_face_after_a_cut_is_somebody_else(landmarker: FaceLandmarker, ancelotti: Image):
    """Both faces lie at the same place, so that only the cut tells them apart."""
    left, top, right, _ = landmarker.detector(ancelotti).boxes[0]
    other = np.ascontiguousarray(photographs.astronaut()[..., ::-1])
    box = landmarker.detector(other).boxes[0]
    scale = (right - left) / (box[2] - box[0])
    onto = np.array([[scale, 0, left - scale * box[0]], [0, scale, top - scale * box[1]]], float)
    moved_there = cv2.warpAffine(other, onto, (ancelotti.shape[1], ancelotti.shape[0]))
    tracker = FaceTracker(landmarker)
    shown = [ancelotti] * 3 + [moved_there] * 3
    assert [tracker(image, i / RATE).ids.tolist() for i, image in enumerate(shown)] == [[1]] * 3 + [[2]] * 3


def test_a_frame_that_is_no_picture_changes_nothing(landmarker: FaceLandmarker, ancelotti: Image):
    tracker = FaceTracker(landmarker, detect_every=10.0)
    assert tracker(ancelotti, 0.0).ids.tolist() == [1]
    for bad in (ancelotti[..., 0], ancelotti / 255, None):
        with pytest.raises(UsageError, match="uint8 BGR"):
            tracker(bad, 0.04)
    assert tracker(ancelotti, 0.08).ids.tolist() == [1]
    assert tracker.detections == 1


def test_the_detector_runs_by_the_clock(landmarker: FaceLandmarker, ancelotti: Image):
    tracker = FaceTracker(landmarker, detect_every=0.2, min_face=48.0)      # no tiles
    for i in range(26):                                           # 1.0 s
        tracker(ancelotti, i / RATE)
    assert 5 <= tracker.detections <= 6


def test_tiles_are_looked_at_in_turns(landmarker: FaceLandmarker, ancelotti: Image):
    """A small face that comes into a large picture, where the whole does not show it, is found within
    `detect_every` and a frame, wherever it is; and no frame is searched whole but the first."""
    wide = np.full((720, 1280, 3), 120, np.uint8)
    wide[:480, 400:880] = ancelotti
    small = cv2.resize(ancelotti, (103, 103), interpolation=cv2.INTER_AREA)     # a face of 30 pixels
    looked = []
    detector = landmarker.detector

    class Spy:
        tiles = staticmethod(detector.tiles)

        def __call__(self, image: Image, **options: Any) -> Landmarks:
            looked.append(len(options["tiles"]))
            return detector(image, **options)

    watched = object.__new__(type(landmarker))
    watched.__dict__.update(landmarker.__dict__)
    watched.detector = Spy()
    for x, y in ((30, 20), (1150, 30), (60, 600), (1120, 590)):
        crowd = wide.copy()
        crowd[y : y + 103, x : x + 103] = small
        assert len(detector(crowd, min_face=1e6)) == 1            # the whole does not show it
        tracker, looked[:] = FaceTracker(watched, detect_every=0.4), []
        for i in range(5):
            assert tracker(wide, i / RATE).ids.tolist() == [1]
        later = [len(tracker(crowd, i / RATE)) for i in range(5, 17)]
        assert later[11] == 2                                     # 0.44 s after it came
        assert looked[0] == 5
        assert max(looked[1:]) == 1


def test_still_points_are_steady(landmarker: FaceLandmarker, ancelotti: Image):
    rng = np.random.default_rng(0)
    tracks = {smooth: [] for smooth in (True, False)}
    trackers = {smooth: FaceTracker(landmarker, smooth=smooth) for smooth in tracks}
    for i in range(20):
        noisy = np.clip(ancelotti + rng.normal(0, 8, ancelotti.shape), 0, 255).astype(np.uint8)
        for smooth, tracker in trackers.items():
            tracks[smooth].append(tracker(noisy, i / RATE).points[0])
    jitter = {smooth: np.std(points[8:], axis=0).mean() for smooth, points in tracks.items()}
    assert jitter[True] < 0.75 * jitter[False] < 1.0              # pixels


def test_leaving_and_coming_back(landmarker: FaceLandmarker, ancelotti: Image):
    """The same id after a moment, a new one after longer; nobody in between."""
    nobody = np.full_like(ancelotti, 110)
    tracker = FaceTracker(landmarker, forget_after=0.5)
    script = [ancelotti] * 5 + [nobody] * 8 + [ancelotti] * 5 + [nobody] * 15 + [ancelotti] * 5
    seen = [tracker(image, i / RATE).ids.tolist() for i, image in enumerate(script)]
    assert seen == [[1]] * 5 + [[]] * 8 + [[1]] * 5 + [[]] * 15 + [[2]] * 5


def test_a_new_face_is_found_beside_the_first(landmarker: FaceLandmarker, ancelotti: Image):
    alone = np.full((480, 960, 3), 110, np.uint8)
    alone[:, :480] = ancelotti
    both = np.concatenate([ancelotti, ancelotti[:, ::-1]], axis=1)
    tracker = FaceTracker(landmarker, detect_every=0.4)
    counts = [len(tracker(alone if i < 5 else both, i / RATE)) for i in range(20)]
    assert counts[:5] == [1] * 5
    assert counts[11:] == [2] * 9                                 # within detect_every of its coming
    assert tracker(both, 20 / RATE).ids.tolist() == [1, 2]


@pytest.mark.parametrize(("time", "ids"), [(0.3, [1]), (5.0, [2]), (-1.0, [2])])
def test_a_jump_in_time_starts_anew(
    landmarker: FaceLandmarker, ancelotti: Image, time: float, ids: list[int]
):
    tracker = FaceTracker(landmarker)
    tracker(ancelotti, 0.0)
    assert tracker(ancelotti, time).ids.tolist() == ids


def test_another_picture_size_starts_anew(landmarker: FaceLandmarker, ancelotti: Image):
    tracker = FaceTracker(landmarker)
    tracker(ancelotti, 0.0)
    faces = tracker(cv2.resize(ancelotti, (240, 240)), 0.1)
    assert faces.ids.tolist() == [2]
    assert faces.boxes[0, 2] < 240


def test_a_blink(landmarker: FaceLandmarker, ancelotti: Image, close_eyes: Callable[[Image, Faces], Image]):
    shut = close_eyes(ancelotti, landmarker(ancelotti))
    tracker = FaceTracker(landmarker)
    script = [ancelotti] * 10 + [shut] * 4 + [ancelotti] * 8
    states = [tracker(image, i / RATE).eyes[0].tolist() for i, image in enumerate(script)]
    assert states == [[Eye.OPEN] * 2] * 10 + [[Eye.CLOSED] * 2] * 4 + [[Eye.OPEN] * 2] * 8
    watch = tracker.watch(1)
    (blink,) = watch.blinks
    assert (blink.start, blink.end) == (10 / RATE, 14 / RATE)
    assert watch.eyes_open_for(0.25)
    assert not watch.eyes_open_for(0.5)
    with pytest.raises(UsageError, match="no face 7"):
        tracker.watch(7)


def test_eyes_that_were_lost_with_their_face_have_not_been_seen_open(landmarker: FaceLandmarker, ancelotti: Image):
    nobody = np.full_like(ancelotti, 110)
    tracker = FaceTracker(landmarker)
    for i, image in enumerate([ancelotti] * 10 + [nobody] * 10 + [ancelotti] * 6):
        tracker(image, i / RATE)
        if i == 12:
            assert not tracker.watch(1).eyes_open_for(0.0)
    assert tracker.watch(1).eyes_open_for(4.9 / RATE)              # since it came back, and no longer
    assert not tracker.watch(1).eyes_open_for(5.1 / RATE)


def test_two_trackers_share_nothing(landmarker: FaceLandmarker, ancelotti: Image):
    first, second = FaceTracker(landmarker), FaceTracker(landmarker)
    nobody = np.zeros_like(ancelotti)
    for i in range(3):
        assert first(ancelotti, i / RATE).ids.tolist() == [1]
        assert len(second(nobody, i / RATE)) == 0
    assert second(ancelotti, 3 / RATE).ids.tolist() == [1]


def test_a_tracked_face_is_where_a_still_one_is(landmarker: FaceLandmarker, zidane: Image):
    tracker = FaceTracker(landmarker)
    for i in range(4):
        faces = tracker(zidane, i / RATE)
    still = landmarker(zidane)
    assert len(faces) == 2
    right, same = (f[int(np.argmax(f.boxes[:, 0]))] for f in (faces, still))
    assert np.linalg.norm(right.points - same.points, axis=2).mean() < 0.01 * 140


def test_a_restored_tracker_goes_on_as_the_first(
    landmarker: FaceLandmarker, ancelotti: Image, close_eyes: Callable[[Image, Faces], Image],
    through_json: Callable[[dict[str, Any]], dict[str, Any]],
):
    """In the middle of a blink, with somebody gone a moment ago who comes back."""
    shut = close_eyes(ancelotti, landmarker(ancelotti))
    nobody = np.full_like(ancelotti, 110)
    both, one_shut, one_open = (
        np.concatenate(pair, axis=1)
        for pair in ((ancelotti, ancelotti), (shut, nobody), (ancelotti, nobody))
    )
    script = [both] * 6 + [one_shut] * 4 + [one_open] * 2 + [both] * 3
    first, second = FaceTracker(landmarker), FaceTracker(landmarker)
    for i, image in enumerate(script[:8]):
        first(image, i / RATE)
    second.restore(through_json(first.state()))
    for i, image in enumerate(script[8:], 8):
        one, other = first(image, i / RATE), second(image, i / RATE)
        for name in Faces._layout:
            assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
    assert sorted(other.ids.tolist()) == [1, 2]
    stays = int(other.ids[0])
    assert second.watch(stays).blinks == first.watch(stays).blinks
    (blink,) = second.watch(stays).blinks
    assert blink.start < 8 / RATE <= blink.end                    # it began before the state was taken
    assert second.detections == first.detections


@pytest.mark.realdata
@pytest.mark.slow
def test_backs_of_heads_are_no_faces(landmarker: FaceLandmarker, data: Path):
    """A clip of people who come to a table one by one and never show their face."""
    from vision.io import read

    tracker = FaceTracker(landmarker)
    with read(str(data / "videos/one-by-one-person-detection.mp4"), stride=25) as source:
        assert sum(len(tracker(frame.image, frame.time)) for frame in source) == 0


@pytest.mark.realdata
@pytest.mark.slow
def test_two_people_in_a_real_clip(landmarker: FaceLandmarker, data: Path):
    """One looks at the camera and turns away, the other is in profile: each keeps one id while seen."""
    from vision.io import read

    tracker = FaceTracker(landmarker)
    with read(str(data / "videos/demo_skeleton.mp4"), end=1.0) as source:
        ids = [tracker(frame.image, frame.time).ids.tolist() for frame in source]
    assert all(1 in some for some in ids)
    assert {i for some in ids for i in some} <= {1, 2, 3}

"""Faces are covered in every frame: linking, bridging, looking ahead, and nothing left to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import BlurFaces, FindFaces, Run
from vision.engine import FakeEngine
from vision.errors import UsageError
from vision.people.cover import Linker, Seen, bridged, covered, larger
from vision.people.face_detector import FaceDetector
from vision.steps.base import Pending, Ready, Step
from vision.types import Detections, Frame, Image, Landmarks, Result
from vision.zoo import find

RATE = 25.0


def box(x: float, y: float, side: float = 40.0) -> np.ndarray:
    return np.array([[x, y, x + side, y + side]], np.float32)


def test_larger() -> None:
    assert larger(box(10, 20), 1.5).tolist() == [[0, 10, 60, 70]]
    assert larger(np.zeros((0, 4), np.float32), 2).shape == (0, 4)


def test_a_face_keeps_its_number_over_a_gap() -> None:
    link = Linker(0.5)
    seen = [link(np.concatenate([box(10 + 3 * i, 10), box(200, 10)]) if i not in (3, 4, 5) else box(200, 10), i / RATE)
            for i in range(9)]
    assert [sorted(one.boxes) for one in seen] == [[1, 2]] * 3 + [[2]] * 3 + [[1, 2]] * 3
    assert link(box(34, 10), 2.0).boxes.keys() == {3}                    # too late: somebody new


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=6), st.integers(0, 5))
def test_each_box_has_one_number(places: list[tuple[int, int]], seed: int) -> None:
    link, draw = Linker(1.0), np.random.default_rng(seed)
    boxes = np.array([box(*place)[0] for place in places], np.float32).reshape(-1, 4)
    first, second = link(boxes, 0.0), link(boxes[draw.permutation(len(boxes))], 0.1)
    assert len(first.boxes) == len(second.boxes) == len(places)
    rows = {tuple(one.tolist()) for one in boxes}
    assert {tuple(one.tolist()) for one in second.boxes.values()} == rows


def test_bridging() -> None:
    a, b = box(0, 0)[0], box(40, 80)[0]
    frames = [Seen(0.0), Seen(0.1, {1: a}), Seen(0.2), Seen(0.3), Seen(0.4), Seen(0.5, {1: b}), Seen(0.6), Seen(1.5)]
    assert bridged(frames, 1, 0.5)[1].tolist() == a.tolist()
    assert bridged(frames, 3, 0.5)[1].tolist() == [20, 40, 60, 80]        # half-way
    assert bridged(frames, 0, 0.5)[1].tolist() == larger(a[None], 1.25)[0].tolist()      # before it was found
    assert bridged(frames, 6, 0.5)[1].tolist() == larger(b[None], 1.25)[0].tolist()      # after
    assert bridged(frames, 7, 0.5) == {}
    assert bridged(frames, 3, 0.0) == {}


def test_what_is_covered_cannot_be_read() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    hidden = covered(image, box(30, 30), 1.5)
    assert (image != hidden).any(axis=2)[20:80, 20:80].mean() > 0.95
    outside = np.ones((100, 120), bool)
    outside[20:80, 20:80] = False
    assert (hidden == image).all(axis=2)[outside].all()
    assert len(np.unique(hidden[20:80, 20:80].reshape(-1, 3), axis=0)) <= 25
    over = covered(image, np.float32([[-50, -50, 10, 10], [110, 90, 300, 300], [500, 500, 600, 600]]), 1.0)
    assert over.shape == image.shape                                      # outside of the picture: nothing happens


def test_a_face_above_or_beside_the_picture_leaves_it_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)
    for gone in ([20, -60, 60, -20], [-60, 20, -20, 60], [-60, -60, -20, -20]):
        assert (covered(image, np.float32([gone]), 1.2) == image).all()


class Faces(FaceDetector):
    """Finds the white square of a black picture, but for the frames whose corner pixel is red."""

    def __init__(self) -> None:
        super().__init__(FakeEngine(lambda batch: ()), find("default", "faces"))

    def submit(self, images: Sequence[Image], **options: Any) -> Callable[[], list[Landmarks]]:
        return lambda: [self._found(image) for image in images]

    def _found(self, image: Image) -> Landmarks:
        where = np.argwhere(image[:, :, 1] > 0)
        if image[0, 0, 2] or not len(where):
            return Landmarks.empty()
        (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0) + 1
        return Landmarks([[left, top, right, bottom]], np.zeros((1, 6, 2)), np.ones((1, 6)))


def film(count: int, missed: Sequence[int]) -> list[Frame]:
    frames = []
    for i in range(count):
        image = np.zeros((120, 200, 3), np.uint8)
        image[40:70, 20 + 3 * i : 50 + 3 * i, 1] = np.arange(30) * 8 + 1          # a face of many values
        image[0, 0, 2] = 255 if i in missed else 0
        frames.append(Frame(image, i, i / RATE, "film"))
    return frames


def leaks(frames: Sequence[Frame], items: Sequence[Any]) -> list[int]:
    """The frames in which the face is still to be read."""
    return [i for i, (frame, item) in enumerate(zip(frames, items, strict=True))
            if len(np.unique(item.frame.image[40:70, 20 + 3 * i : 50 + 3 * i, 1])) > 12]


def test_no_frame_leaks_where_the_detector_fails() -> None:
    frames = film(40, [0, 1, 2, 3, 4, 11, 12, 13, 14, 20, 35, 36, 37, 38, 39])
    items = list(Run(frames, BlurFaces(model=Faces())))
    assert leaks(frames, items) == []
    assert [len(item["blur"].boxes) for item in items] == [1] * 40
    assert [item["blur"].seen[0] for item in items[9:16]] == [True, True, False, False, False, False, True]
    without = list(Run(frames, BlurFaces(model=Faces(), bridge=0)))
    assert leaks(frames, without) == [0, 1, 2, 3, 4, 11, 12, 13, 14, 20, 35, 36, 37, 38, 39]
    assert (frames[20].image[40:70, 80:110, 1] > 200).any()              # the reader's own picture is left as it was


@pytest.mark.parametrize("fast", [100.0, 240.0])
def test_a_film_of_uneven_rate_is_covered_for_as_many_seconds(fast: float) -> None:
    """Frames were counted by the film's mean rate: where they come faster the look ahead was shorter than asked for."""
    times = [*np.arange(10) * 0.5, *(5 + np.arange(150) / fast), *(8 + np.arange(10) * 0.5)]
    seen, missed = (frame.image for frame in film(2, [1]))
    frames = [Frame(seen if i >= 150 else missed, i, float(time), "film") for i, time in enumerate(times)]
    found = frames[150].time
    items = list(Run(frames, BlurFaces(model=Faces(), bridge=0.405)))
    covered_at = [item.frame.time for item in items if len(item["blur"].boxes)]
    assert covered_at == [time for time in times if time >= found - 0.405]


class Slow(Step):
    """A step that others wait for: its window is full at once."""

    names = ("thing",)

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        self.seen = frame.image[40:70, 20 + 3 * frame.index, 1].max()
        return lambda: Detections.empty()


class Fast(Slow):
    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        return Ready(Detections.empty())


@pytest.mark.parametrize("kind", [Slow, Fast])
@pytest.mark.parametrize("first", [True, False])
def test_it_looks_ahead_beside_other_steps(kind: type[Step], first: bool) -> None:
    from vision.report import Report
    from vision.windows import Windows

    frames = film(30, [0, 1, 2, 3, 4, 5, 15, 16, 17])
    spec = BlurFaces(model=Faces())
    from vision.io import Info

    blur = spec.open(Info("film", "video", rate=RATE), Faces())
    steps = [(blur, 1), (kind("other"), 1)]
    windows = Windows(steps if first else steps[::-1], Report("film"))
    done = [one for frame in frames for one in windows.push(frame)]
    assert len(done) < len(frames) - 12                                  # what it has not looked beyond is held back
    done += windows.drain()
    assert [frame.index for frame, _ in done] == list(range(30))
    assert [len(results["blur"].boxes) for _, results in done] == [1] * 30


def test_every_frame_or_none() -> None:
    with pytest.raises(UsageError, match="every frame"):
        BlurFaces(every=2).check()


def test_real_faces_are_covered_for_another_look(photos: dict[str, Path]) -> None:
    """What is written has no face that the mesh would take for one."""
    from vision.people.landmarks import FaceLandmarker

    image = cv2.imread(str(photos["zidane"]))
    (item,) = Run([Frame(image, 0, 0.0)], BlurFaces())
    assert len(item["blur"].boxes) >= 2
    with FaceLandmarker.load() as landmarker:
        assert len(landmarker(image)) == 2
        assert len(landmarker(item.frame.image)) == 0
    assert (item.drawn == item.frame.image).all()                         # no box says where they were


def test_no_mesh_is_drawn_over_a_covered_face(photos: dict[str, Path]) -> None:
    image = cv2.imread(str(photos["zidane"]))
    (item,) = Run([Frame(image, 0, 0.0)], [FindFaces(), BlurFaces()])
    faces, covers = item["faces"], item["blur"]
    assert covers.holds(faces.boxes).tolist() == [True, True]
    for x, y in faces.points[:, 1].astype(int).tolist():                  # the tip of the nose
        around = np.s_[y - 8 : y + 8, x - 8 : x + 8]
        assert (item.drawn[around] == item.frame.image[around]).all()
    left, top = faces.boxes[0, :2].astype(int).tolist()
    edge = np.s_[top - 2 : top + 3, left + 20]
    assert (item.drawn[edge] != item.frame.image[edge]).any()                                          # a box
    assert covers[:0].holds(faces.boxes).tolist() == [False, False]

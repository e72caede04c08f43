"""Small objects in large pictures: windows that cover, parts that are put together, and masks with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision import Detect, Detections, Run
from vision.card import Boxes, Card, Input
from vision.engine import FakeEngine, Outputs
from vision.instances import Instances
from vision.tasks.detect import Detector
from vision.tasks.tiles import together, windows
from vision.types import Frame, Image

TILE = (64, 48)


@given(st.integers(1, 400), st.integers(1, 300))
def test_windows_cover_the_frame_and_overlap(width: int, height: int) -> None:
    whole, *parts = windows((width, height), TILE)
    assert whole == (0, 0, width, height)
    if not parts:
        assert width <= 80
        assert height <= 60
        return
    seen = np.zeros((height, width), int)
    for x0, y0, x1, y1 in parts:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert (x1 - x0, y1 - y0) == (min(64, width), min(48, height))
        seen[y0:y1, x0:x1] += 1
    assert seen.min() >= 1
    starts = sorted({x0 for x0, *_ in parts})
    assert all(after - before <= 64 * 0.8 + 1 for before, after in pairwise(starts))


def red(batch: np.ndarray) -> Outputs:
    """Boxes around what is red and at least 3 pixels high: what is smaller is not seen."""
    image = batch[0]
    mask = ((image[..., 2] > 120) & (image[..., 1] < 80)).astype(np.uint8)
    stats = [s for s in cv2.connectedComponentsWithStats(mask)[2][1:] if min(s[2], s[3]) >= 3]
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats], np.float32).reshape(1, -1, 4)
    return boxes, np.full((1, len(stats)), 0.9, np.float32), np.zeros((1, len(stats)), np.int64)


@pytest.fixture
def detector() -> Detector:
    card = Card(name="red", task="detect", file="", licence="ours", source="here", form="onnx", names=("red",),
                input=Input(TILE, "stretch"), boxes=Boxes("rows", 0.5))
    return Detector(FakeEngine(red, TILE), card)


def scene(*boxes: tuple[int, int, int, int]) -> Image:
    image = np.full((480, 640, 3), 90, np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = (0, 0, 255)
    return image


SMALL = [(11, 9, 17, 15), (300, 200, 306, 206), (630, 470, 636, 476), (49, 100, 55, 106), (100, 36, 106, 42)]
LARGE = [(200, 100, 440, 420)]                                   # over many windows, each of which sees a part


def test_small_objects_are_found_where_they_are_and_large_ones_once(detector: Detector) -> None:
    small, large = SMALL[:1] + SMALL[2:], LARGE
    image = scene(*small, *large)
    assert len(detector(image)) == 1                              # too small on the whole picture
    found = detector(image, tiles=True)
    boxes = sorted(tuple(round(v) for v in box) for box in found.boxes.tolist())
    assert len(boxes) == len(small) + 1
    for wanted in small:
        assert min(max(abs(a - b) for a, b in zip(box, wanted, strict=True)) for box in boxes) <= 1
    off = min(max(abs(a - b) for a, b in zip(box, large[0], strict=True)) for box in boxes)
    assert off <= 10                                              # a pixel of the whole picture's view


def test_what_windows_alone_see_is_kept_though_it_is_cut(detector: Detector) -> None:
    found = detector(scene((100, 100, 106, 300)), tiles=True)     # a pole: too thin for the whole, longer than a window
    assert 3 <= len(found) <= 7                                   # pieces, each in a window of its own
    assert found.boxes[:, 1].min() <= 101
    assert found.boxes[:, 3].max() >= 299


def test_steps_weak_boxes_and_limits_work_with_tiles(detector: Detector) -> None:
    frames = [Frame(scene(*SMALL), n, n / 10, "made") for n in range(3)]
    with Run(frames, Detect(detector, tiles=True)) as run:
        assert [len(item["detect"]) for item in run] == [5, 5, 5]
    assert len(detector(scene(*SMALL), tiles=True, max_detections=2)) == 2
    weak = detector(scene(*SMALL), tiles=True, min_score=0.95, weak=0.1)
    assert len(weak) == 0
    assert weak.weak is not None
    assert len(weak.weak) == 5
    assert [len(one) for one in detector.batch([scene(*SMALL), scene()], tiles=True)] == [5, 0]


def test_the_better_of_two_views_of_one_object_is_kept_with_its_mask() -> None:
    def one(box: tuple[float, ...], score: float, side: int, wh: tuple[int, int]) -> Instances:
        return Instances(np.array([box], np.float32), np.array([score]), np.array([0]),
                         np.ones((1, side, side), np.float32), frame_wh=wh)

    seen = windows((200, 48), TILE)
    found = [one((70, 10, 90, 30), 0.5, 8, (200, 48)), *(
        one((70 - x0, 10, 90 - x0, 30), 0.8, 16, (64, 48)) if x0 <= 70 and x1 >= 90 else
        Instances.empty() for x0, _, x1, _ in seen[1:])]
    found = [f if len(f) else Instances(f.boxes, f.scores, f.labels, np.empty((0, 4, 4), np.float32)) for f in found]
    best = together(found, seen, 0.5, False, 0.0)
    assert best.scores.tolist() == pytest.approx([0.8])
    assert best.frame_wh == (200, 48)
    assert best.paste(0).sum() == 400
    assert best.paste(0)[10:30, 70:90].all()


def test_parts_of_one_class_do_not_swallow_another_class() -> None:
    seen = [(0, 0, 100, 48), (0, 0, 64, 48), (36, 0, 100, 48)]
    whole = Detections([[20, 5, 90, 45]], [0.9], [0])
    left = Detections([[20, 5, 64, 45], [40, 10, 64, 30]], [0.7, 0.8], [0, 1])    # a part; a thing
    found = together([whole, left, Detections.empty()], seen, 0.5, False, 0.0)
    scores = [round(score, 2) for score in found.scores.tolist()]
    assert sorted(zip(found.labels.tolist(), scores, strict=True)) == [(0, 0.9), (1, 0.8)]
    assert len(together([whole, left, Detections.empty()], seen, 0.5, True, 0.0)) == 1


@pytest.mark.parametrize("agnostic", [False, True])
def test_a_part_that_scores_more_than_the_whole_does_not_displace_it(agnostic: bool) -> None:
    seen = windows((1500, 640), (640, 640))
    assert seen == [(0, 0, 1500, 640), (0, 0, 640, 640), (430, 0, 1070, 640), (860, 0, 1500, 640)]
    none = Detections.empty()
    whole = Detections([[560, 200, 670, 400]], [0.7], [0])
    part, again = Detections([[560, 200, 640, 400]], [0.85], [0]), Detections([[130, 200, 240, 400]], [0.8], [0])
    found = together([whole, part, again, none], seen, 0.6, agnostic, 0.5)
    assert found.boxes.tolist() == [[560, 200, 670, 400]]
    assert found.scores.tolist() == pytest.approx([0.8])


def test_a_weak_whole_box_takes_nothing_from_a_part_that_is_shown() -> None:
    seen = windows((1500, 640), (640, 640))
    whole, none = Detections([[560, 200, 670, 400]], [0.3], [0]), Detections.empty()
    for right in (640, 600):                                      # it overlaps by more than 0.6, and by less
        part = Detections([[560, 200, right, 400], [565, 205, 640, 395]], [0.85, 0.2], [0, 0])
        part = replace(part, boxes=part.boxes + np.float32([640 - right, 0, 640 - right, 0]))
        shown = together([none, part[:1], none, none], seen, 0.6, False, 0.5)
        found = together([whole, part, none, none], seen, 0.6, False, 0.5)
        assert found[found.scores >= 0.5].boxes.tolist() == shown.boxes.tolist() == [[560 + 640 - right, 200, 640, 400]]


@given(st.integers(0, 10_000))
def test_weak_boxes_change_nothing_of_what_is_shown(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen, found = windows((150, 48), TILE), []
    for x0, y0, x1, y1 in seen:
        count = int(rng.integers(0, 6))
        low = rng.integers(0, (x1 - x0 - 8, y1 - y0 - 8), (count, 2))
        high = np.minimum(low + rng.integers(8, 40, (count, 2)), (x1 - x0, y1 - y0))
        found.append(Detections(np.hstack([low, high]), rng.uniform(0.1, 1, count), rng.integers(0, 2, count)))
    every = together(found, seen, 0.5, False, 0.5)
    shown = together([one[one.scores >= 0.5] for one in found], seen, 0.5, False, 0.5)
    assert every[every.scores >= 0.5].boxes.tolist() == shown.boxes.tolist()

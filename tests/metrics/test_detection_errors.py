"""What a detector gets wrong: pairs against a brute-force twin, the confusion matrix, the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.data.truth import Truth
from vision.metrics.detection import precision_table, summary
from vision.metrics.detection_errors import MIN_IOU, Judged, confusion, judge
from vision.metrics.detection_page import page
from vision.types import Detections

CAT, DOG = 0, 1


def judged(objects: list[tuple], found: list[tuple], name: str = "0.png") -> Judged:
    """objects: (box, label, difficult); found: (box, label, score)."""
    return Judged(
        name, np.float32([o[0] for o in objects]).reshape(-1, 4), np.array([o[1] for o in objects], np.int64),
        np.array([o[2] for o in objects], bool),
        Detections(
            np.float32([f[0] for f in found]).reshape(-1, 4), [f[2] for f in found], [f[1] for f in found]
        ),
    )


def scene() -> Judged:
    """A cat found, a dog found as a cat, a dog missed, a box on nothing, one on a difficult object."""
    return judged(
        [([0, 0, 40, 40], CAT, False), ([50, 0, 90, 40], DOG, False), ([0, 50, 40, 90], DOG, False),
         ([50, 50, 90, 90], DOG, True)],
        [([2, 0, 42, 40], CAT, 0.9), ([50, 2, 90, 42], CAT, 0.5), ([52, 50, 92, 90], DOG, 0.8),
         ([0, 100, 40, 140], CAT, 0.25)],
    )


def test_every_box_of_a_known_scene_is_judged() -> None:
    found = scene()
    assert found.pairs.tolist() == [[0, 0], [1, 1]]
    assert found.right.tolist() == [True, False]
    assert found.missed.tolist() == [2]
    assert found.false.tolist() == [3]
    assert found.faults == pytest.approx(1 + (1 + 0.5) + 0.25)        # missed, taken for a cat, on nothing
    assert confusion([found, found], 2).tolist() == [[2, 0, 0], [2, 0, 2], [2, 0, 0]]


def test_the_right_class_goes_before_the_larger_overlap() -> None:
    found = judged([([0, 0, 40, 40], CAT, False)], [([0, 0, 40, 40], DOG, 0.9), ([5, 0, 45, 40], CAT, 0.3)])
    assert found.pairs.tolist() == [[0, 1]]
    assert found.false.tolist() == [0]
    empty = judged([], [])
    assert (len(empty.pairs), len(empty.missed), len(empty.false), empty.faults) == (0, 0, 0, 0.0)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return float(both / area)


@given(st.integers(0, 10_000))
def test_pairs_are_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def boxes(n: int) -> np.ndarray:
        corner = rng.uniform(0, 40, (n, 2))
        return np.concatenate([corner, corner + rng.uniform(10, 40, (n, 2))], axis=1).astype(np.float32)

    n, m = (int(v) for v in rng.integers(0, 7, 2))
    objects, found = boxes(n), boxes(m)
    labels, kinds, difficult = rng.integers(0, 2, n), rng.integers(0, 2, m), rng.random(n) < 0.3
    case = Judged("", objects, labels, difficult, Detections(found, rng.random(m).astype(np.float32), kinds))
    free_objects, free_boxes, pairs = {i for i in range(n) if not difficult[i]}, set(range(m)), []
    while True:
        choice = [
            (bool(labels[i] == kinds[j]), overlap(objects[i], found[j]), i, j)
            for i, j in product(free_objects, free_boxes) if overlap(objects[i], found[j]) >= MIN_IOU
        ]
        if not choice:
            break
        _, _, i, j = max(choice)
        pairs.append([i, j])
        free_objects.remove(i)
        free_boxes.remove(j)
    assert sorted(case.pairs.tolist()) == sorted(pairs)
    assert case.missed.tolist() == sorted(free_objects)
    on_difficult = {j for j in free_boxes for i in range(n) if difficult[i]
                    and overlap(objects[i], found[j]) >= MIN_IOU}
    assert case.false.tolist() == sorted(free_boxes - on_difficult)
    counts = confusion([case], 2)
    assert counts.sum() == len(pairs) + len(free_objects) + len(free_boxes - on_difficult)
    assert counts[:2].sum(axis=1).tolist() == [int(((labels == k) & ~difficult).sum()) for k in (0, 1)]


TRUTH = Truth(
    [{"id": 5, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
    [{"id": 1, "image_id": 5, "category_id": 30, "bbox": [10, 10, 30, 20], "area": 600, "iscrowd": 0},
     {"id": 2, "image_id": 9, "category_id": 10, "bbox": [0, 0, 20, 20], "area": 400, "iscrowd": 1}],
    [{"id": 30, "name": "<dog>"}, {"id": 10, "name": "cat"}],
)


def test_the_datas_classes_are_counted_not_the_models() -> None:
    found = [Detections([[10, 10, 40, 30], [0, 0, 5, 5]], [0.6, 0.2], [2, 2]),
             Detections([[0, 0, 20, 20]], [0.9], [7])]                # a class that the data lacks
    a, b = judge(TRUTH, found, {2: 30, 4: 10}, min_score=0.3)
    assert (a.labels.tolist(), a.found.labels.tolist(), a.faults) == ([1], [1], 0.0)
    assert (len(b.found), b.difficult.tolist(), b.boxes.tolist()) == (0, [True], [[0, 0, 20, 20]])


class Tags(HTMLParser):
    """Checks that tags close in order, and keeps what they point at."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_the_figures_and_needs_nothing_else(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((60, 90, 3), 128, np.uint8))
    rows = [{"image_id": 5, "category_id": 30, "bbox": [10, 10, 30, 20], "score": 0.75}]
    table = precision_table(TRUTH, rows)
    found = [Detections([[10, 10, 40, 30]], [0.75], [0]), Detections([[50, 5, 80, 50]], [0.5], [1])]
    pictures = judge(TRUTH, found, {0: 30, 1: 10}, 0.3)
    text = page("A & B", {"Data": "x<y"}, summary(table, TRUTH.names), table[0, :, :, 0, -1], pictures,
                tmp_path, TRUTH.names, 0.3)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert len(tags.hrefs) == 2
    assert all(href.startswith("data:image/jpeg;base64,") for href in tags.hrefs)
    assert "http" not in text
    assert "A &amp; B" in text
    assert "x&lt;y" in text
    assert "<dog>" not in text
    row = re.search(r"<th>&lt;dog&gt;</th>((?:<td>[^<]*</td>)+)", text)
    assert row is not None
    assert re.findall(r"<td>([^<]*)", row[1]) == ["1.000", "1.000", "1.000", "1.000", "1", "1"]
    assert re.search(r"<th>cat</th><td>-</td><td>-</td><td>0\.000</td><td>-</td><td>0</td><td>1</td>", text)
    # the worst first: a box of score 0.5 on nothing, then no fault at all
    assert re.findall(r"([ab]\.png): (\d\.\d\d) faults", text) == [("b.png", "0.50"), ("a.png", "0.00")]
    assert re.search(r'x="50\.0" y="5\.0" width="30\.0" height="45\.0"><title>cat 0\.50 \(on nothing\)', text)
    assert text.count("<polyline") == 2                           # of the one class there is, and the mean

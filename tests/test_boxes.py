"""Boxes against brute-force twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vision import boxes as B


@st.composite
def xyxy(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    """Up to `most` boxes on a grid of whole pixels, so that ties and touching edges come up."""
    count = draw(st.integers(0, most))
    corner = draw(arrays(np.float32, (count, 2), elements=st.integers(-20, 40)))
    size = draw(arrays(np.float32, (count, 2), elements=st.integers(0, 30)))
    return np.concatenate([corner, corner + size], axis=1)


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def slow_nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray | None, max_iou: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        rivals = (k for k in kept if labels is None or labels[k] == labels[i])
        if all(slow_iou(boxes[i], boxes[k]) <= max_iou for k in rivals):
            kept.append(i)
    return kept


@given(xyxy(), xyxy())
def test_iou_is_that_of_every_pair(a: np.ndarray, b: np.ndarray) -> None:
    expected = [[slow_iou(p, q) for q in b] for p in a]
    np.testing.assert_allclose(B.iou(a, b), np.reshape(expected, (len(a), len(b))), atol=1e-6)


def test_iou_of_a_known_pair() -> None:
    # 2 x 3 of two boxes of 4 x 4: 6 / (16 + 16 - 6)
    np.testing.assert_allclose(B.iou(np.float32([[0, 0, 4, 4]]), np.float32([[2, 1, 6, 5]])), [[6 / 26]])


@given(xyxy(), st.data())
def test_conversions_come_back(boxes: np.ndarray, data: st.DataObject) -> None:
    np.testing.assert_allclose(B.cxcywh_to_xyxy(B.xyxy_to_cxcywh(boxes)), boxes, atol=1e-5)
    np.testing.assert_array_equal(B.xywh_to_xyxy(B.xyxy_to_xywh(boxes)), boxes)


@given(xyxy())
def test_area_is_width_times_height_and_never_negative(boxes: np.ndarray) -> None:
    np.testing.assert_allclose(B.area(boxes), [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes])
    assert (B.area(boxes[:, [2, 3, 0, 1]]) == 0).all()                   # turned inside out


@given(xyxy())
def test_clip_stays_in_the_frame_and_is_idempotent(boxes: np.ndarray) -> None:
    cut = B.clip(boxes, (30, 20))
    assert cut.min(initial=0) >= 0
    assert cut[:, 0::2].max(initial=0) <= 30
    assert cut[:, 1::2].max(initial=0) <= 20
    np.testing.assert_array_equal(B.clip(cut, (30, 20)), cut)


@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_is_greedy_suppression(agnostic: bool) -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        n = int(rng.integers(0, 40))
        corner = rng.uniform(-50, 300, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(1, 150, (n, 2))], axis=1).astype(np.float32)
        scores = rng.permutation(np.linspace(0.01, 1, max(n, 1), dtype=np.float32))[:n]     # no ties
        labels = None if agnostic else rng.integers(0, 3, n)
        max_iou = float(rng.uniform(0.1, 0.9))
        assert B.nms(boxes, scores, labels, max_iou).tolist() == slow_nms(boxes, scores, labels, max_iou)


def test_nms_keeps_classes_apart_also_with_huge_boxes_and_many_classes() -> None:
    boxes = np.float32([[0, 0, 4000, 3000]] * 80)
    scores = np.linspace(1, 0.5, 80, dtype=np.float32)
    assert B.nms(boxes, scores, np.arange(80), 0.5).tolist() == list(range(80))
    assert B.nms(boxes, scores, None, 0.5).tolist() == [0]


def test_nms_works_with_scores_of_zero_and_below() -> None:
    boxes = np.float32([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]])
    assert B.nms(boxes, np.float32([0.0, -1.0, -2.0]), None, 0.5).tolist() == [0, 2]

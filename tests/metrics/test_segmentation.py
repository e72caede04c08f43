"""Figures of label maps: by hand, and against twins written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.metrics.segmentation import Figures, confusion, contour_score, contours

VOID = 255


def test_figures_by_hand() -> None:
    figures = Figures.of(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]], np.int64))
    assert figures.accuracy == pytest.approx(9 / 12)
    assert figures.class_average == pytest.approx((6 / 8 + 3 / 4) / 2)       # class 2 is nowhere
    assert figures.miou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert math.isnan(figures.iou[2])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_the_confusion_matrix_is_the_loop_and_void_does_not_count(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice([0, 1, 2, 3, VOID], (5, 6)).astype(np.uint8)
    predicted = random.integers(0, 4, (5, 6)).astype(np.uint8)
    expected = np.zeros((4, 4), np.int64)
    for true, found in zip(labels.ravel(), predicted.ravel(), strict=True):
        if true != VOID:
            expected[true, found] += 1
    np.testing.assert_array_equal(confusion(predicted, labels, 4, VOID), expected)


def contour_points(labels: np.ndarray, label: int) -> list[tuple[int, int]]:
    height, width = labels.shape
    points = []
    for y in range(height):
        for x in range(width):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [(i, j) for i, j in around if 0 <= i < height and 0 <= j < width]
            if labels[y, x] == label and any(labels[i, j] not in (label, VOID) for i, j in inside):
                points.append((y, x))
    return points


def looped_score(predicted: np.ndarray, labels: np.ndarray, classes: int, tolerance: float) -> float:
    reach = tolerance * math.hypot(*labels.shape)
    guess = np.where(labels == VOID, VOID, predicted)

    def near(points: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        if not points:
            return 0.0 if others else 1.0
        hits = [any(math.dist(p, o) <= reach + 1e-6 for o in others) for p in points]
        return sum(hits) / len(hits)

    scores = []
    for label in range(classes):
        if (labels == label).any():
            found, true = contour_points(guess, label), contour_points(labels, label)
            precision, recall = near(found, true), near(true, found)
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return sum(scores) / len(scores) if scores else math.nan


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.03, 0.08, 0.15]))
def test_the_contour_score_is_the_loop(seed: int, tolerance: float) -> None:
    random = np.random.default_rng(seed)
    blocks = random.choice([0, 1, 2, VOID], (4, 5), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    labels = np.kron(blocks, np.ones((3, 3), np.uint8))
    predicted = np.roll(labels, random.integers(-2, 3, 2), (0, 1))
    predicted[predicted == VOID] = 0
    expected = looped_score(predicted, labels, 3, tolerance)
    assert contour_score(predicted, labels, 3, VOID, tolerance) == pytest.approx(expected, nan_ok=True)


def test_a_contour_within_tolerance_counts_and_beyond_it_does_not() -> None:
    labels = np.zeros((300, 400), np.uint8)             # diagonal 500: 0.75 % is 3.75 pixels
    labels[:, 200:] = 1
    for shift, expected in ((0, 1.0), (3, 1.0), (-3, 1.0), (5, 0.0), (-5, 0.0)):
        moved = np.zeros_like(labels)
        moved[:, 200 + shift :] = 1
        assert contour_score(moved, labels, 2, VOID) == expected


def test_void_and_the_edge_are_no_contour() -> None:
    labels = np.zeros((6, 6), np.uint8)
    labels[:, 3] = VOID
    assert not contours(labels, 0, VOID).any()
    labels[:, 4:] = 1
    assert not contours(labels, 0, VOID).any()
    labels[:, 3] = 0
    assert contours(labels, 0, VOID).sum() == 6

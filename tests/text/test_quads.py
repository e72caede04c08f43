"""Quads against pixels: overlap, growth, pieces, strips."""

from __future__ import annotations

from itertools import permutations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.text import quads


def _turned(centre: tuple[float, float], size: tuple[float, float], degrees: float) -> np.ndarray:
    return quads.ordered(cv2.boxPoints((centre, size, degrees)))


def _pixels(quad: np.ndarray, scale: int = 8) -> np.ndarray:
    """A quad as a mask, `scale` dots a pixel."""
    y, x = (np.mgrid[0 : 64 * scale, 0 : 64 * scale] + 0.5) / scale
    inside = np.ones_like(x, bool)
    for one, other in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        inside &= (other[0] - one[0]) * (y - one[1]) - (other[1] - one[1]) * (x - one[0]) >= 0
    return inside


@given(st.floats(20, 44), st.floats(20, 44), st.floats(4, 30), st.floats(4, 30), st.floats(-80, 80))
def test_iou_is_the_share_of_pixels(x: float, y: float, w: float, h: float, degrees: float) -> None:
    one, other = _turned((32, 32), (24, 12), 20), _turned((x, y), (w, h), degrees)
    a, b = _pixels(one, 4), _pixels(other, 4)
    assert quads.ious(one[None], other[None])[0, 0] == pytest.approx((a & b).sum() / (a | b).sum(), abs=0.03)


def test_iou_of_none_and_of_itself() -> None:
    one = _turned((30, 30), (20, 10), 33)
    assert quads.ious(one[None], np.empty((0, 4, 2))).shape == (1, 0)
    assert quads.ious(one[None], one[None])[0, 0] == pytest.approx(1, abs=1e-4)


def test_corners_are_ordered_whatever_their_order() -> None:
    corners = np.array([[10, 12], [40, 8], [42, 20], [12, 24]], np.float32)
    for order in permutations(range(4)):
        np.testing.assert_array_equal(quads.ordered(corners[list(order)]), corners)


def test_growth_moves_each_side_out() -> None:
    rectangle = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)
    grown = quads.grown(rectangle, 1.5)                     # area 800 over circumference 120, times 1.5: 10 pixels
    np.testing.assert_allclose(grown, [[0, 0], [60, 0], [60, 40], [0, 40]], atol=1e-3)


def test_a_part_and_what_is_around_all_parts() -> None:
    quad = _turned((40, 30), (60, 12), 15)
    pieces = np.stack([quads.part(quad, i / 4, (i + 1) / 4) for i in range(4)])
    np.testing.assert_allclose(quads.sides(pieces), [[15, 12]] * 4, atol=1e-3)
    np.testing.assert_allclose(quads.around(pieces), quad, atol=1e-3)


def test_a_strip_is_what_lies_in_the_quad() -> None:
    y, x = np.mgrid[0:100, 0:200].astype(np.float32)
    image = np.stack([x, y, np.zeros_like(x)], axis=2).clip(0, 255).astype(np.uint8)     # blue says x, green y
    quad = np.array([[40, 20], [140, 40], [136, 60], [36, 40]], np.float32)              # 102 long, 20.4 high
    strip = quads.upright(image, quad, 48, 400)
    assert strip.shape == (48, 240, 3)
    middle = strip[24, 120].astype(float)
    assert middle[:2] == pytest.approx(quad.mean(axis=0) - 0.5, abs=1.0)
    assert strip[1, 1, :2].astype(float) == pytest.approx(quad[0], abs=2)
    assert strip[46, 238, :2].astype(float) == pytest.approx(quad[2], abs=2)


def test_a_large_strip_is_shrunk_without_gaps() -> None:
    image = np.zeros((800, 1600, 3), np.uint8)
    image[:, ::4] = 255                                     # a quarter of the columns: finer than the strip's pixels
    strip = quads.upright(image, np.array([[0, 0], [1600, 0], [1600, 800], [0, 800]], np.float32), 48, 400)
    assert np.abs(strip[4:-4, 4:-4].astype(float) - 64).max() < 12

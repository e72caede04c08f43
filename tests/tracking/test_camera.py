from __future__ import annotations

import cv2
import numpy as np
import pytest

from vision.tracking.camera import CameraMotion
from vision.tracking.looks import crops


def scene() -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(500, 700)), (0, 0), 2)
    grey = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("affine", [
    np.array([[1, 0, 7.0], [0, 1, -4.0]]),
    np.array([[1.02, -0.03, 5.0], [0.03, 1.02, -9.0]]),
])
def test_the_motion_of_the_background_is_found(affine: np.ndarray) -> None:
    """The picture is warped by a known motion, and a large object in it moves another way."""
    size = (400, 300)
    first = cv2.warpAffine(scene(), np.array([[1, 0, -100.0], [0, 1, -80.0]]), size)
    moved = cv2.warpAffine(scene(), affine @ np.array([[1, 0, -100.0], [0, 1, -80.0], [0, 0, 1]]), size)
    box, other = np.float32([[100, 80, 220, 240]]), np.float32([[130, 80, 250, 240]])
    first[80:240, 100:220] = moved[80:240, 130:250] = scene()[:160, :120]
    camera = CameraMotion()
    np.testing.assert_array_equal(camera(first, box), np.eye(2, 3))
    found = camera(moved, other)
    corners = np.array([[0, 0, 1], [400, 0, 1], [0, 300, 1], [400, 300, 1]]).T
    np.testing.assert_allclose(found @ corners, affine @ corners, atol=1.0)


def test_nothing_to_see_is_no_motion() -> None:
    flat = np.full((100, 120, 3), 80, np.uint8)
    camera = CameraMotion()
    for image in (flat, flat, np.zeros((50, 60, 3), np.uint8)):
        np.testing.assert_array_equal(camera(image, np.empty((0, 4), np.float32)), np.eye(2, 3))


def test_crops_are_what_lies_inside_and_never_empty() -> None:
    image = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3).astype(np.uint8)
    boxes = np.float32([[2, 3, 8, 10], [-5, -5, 4, 4], [29.8, 19.9, 40, 50], [90, 90, 95, 95]])
    found = crops(image, boxes)
    np.testing.assert_array_equal(found[0], image[3:10, 2:8])
    assert [c.shape[:2] for c in found] == [(7, 6), (4, 4), (1, 1), (1, 1)]
    assert crops(image, np.empty((0, 4), np.float32)) == []

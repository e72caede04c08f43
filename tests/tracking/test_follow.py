from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from vision.boxes import iou
from vision.errors import UsageError
from vision.tracking import FOLLOWERS, Ivt
from vision.tracking.ivt import RANK, SIDE, Subspace

RATE = 30.0


@pytest.fixture(autouse=True)
def _in_one_way() -> None:
    """OpenCV's MIL draws its features from the C library's random numbers, which the process shares: without
    this it depends on what ran before, and in one of seven draws it takes half of the wall for its object."""
    ctypes.CDLL(None).srand(0)
    cv2.setRNGSeed(0)


def texture(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """A smooth random pattern, 0..255."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


WALL, OBJECT = texture(0, (240, 320)) // 3 + 40, texture(1, (48, 40))


def picture(centre: tuple[float, float], scale: float = 1.0, light: float = 1.0) -> np.ndarray:
    """The object before the wall at `centre`: (240,320,3)."""
    move = np.array([[scale, 0, centre[0] - 20 * scale], [0, scale, centre[1] - 24 * scale]])
    size = (320, 240)
    grey = np.clip(OBJECT * light, 0, 255).astype(np.uint8)
    there = cv2.warpAffine(np.ones_like(OBJECT), move, size, flags=cv2.INTER_NEAREST) > 0
    image = np.where(there, cv2.warpAffine(grey, move, size, borderMode=cv2.BORDER_REPLICATE), WALL)
    return np.repeat(image[..., None], 3, axis=2).astype(np.uint8)


def box(centre: tuple[float, float], scale: float = 1.0) -> np.ndarray:
    x, y = centre
    return np.array([x - 20 * scale, y - 24 * scale, x + 20 * scale, y + 24 * scale], np.float32)


def path(n: int) -> tuple[float, float]:
    return 80 + 2.0 * n, 120 + 40 * np.sin(n / 12)


@pytest.mark.parametrize("name", FOLLOWERS)
def test_an_object_is_followed_through_motion_and_light(name: str) -> None:
    follower = FOLLOWERS[name](picture(path(0)), box(path(0)), 0.0)
    for n in range(1, 50):
        target = follower(picture(path(n), light=1 - n / 200), n / RATE)
        assert not target.lost
        overlap = float(iou(target.box[None], box(path(n))[None])[0, 0])
        assert overlap > (0.45 if name == "mil" else 0.6), (n, overlap)
        assert 0 <= target.score <= 1


@pytest.mark.parametrize("name", ["dsst", "ivt"])
def test_it_follows_in_size(name: str) -> None:
    follower = FOLLOWERS[name](picture((160, 120)), box((160, 120)), 0.0)
    for n in range(1, 61):
        target = follower(picture((160, 120), 1 + n / 100), n / RATE)
    grown = float(np.sqrt(np.prod(target.box[2:] - target.box[:2]) / (40 * 48)))
    assert grown == pytest.approx(1.6, rel=0.12)


def test_a_subspace_never_follows_less_than_eight_pixels() -> None:
    """Where everything looks alike, the size drifts; long steps make it drift far."""
    grey = np.full((240, 320, 3), 128, np.uint8)
    follower = Ivt(grey, box((160, 120)), 0.0)
    sides = []
    for n in range(1, 100):
        target = follower(grey, 10.0 * n)
        sides.append(target.box[2:] - target.box[:2])
    assert np.min(sides) >= 8 - 1e-3
    assert (np.max(sides, axis=0) <= (320.01, 240.01)).all()


@pytest.mark.parametrize("name", FOLLOWERS)
def test_it_is_lost_when_it_is_gone_and_found_when_it_is_back(name: str) -> None:
    follower = FOLLOWERS[name](picture(path(0)), box(path(0)), 0.0)
    for n in range(1, 20):
        assert not follower(picture(path(n)), n / RATE).lost
    wall = np.repeat(WALL[..., None], 3, axis=2).astype(np.uint8)
    gone = [follower(wall, n / RATE) for n in range(20, 35)]
    assert sum(t.lost for t in gone) >= 12
    assert gone[-1].lost
    assert gone[-1].score < 0.5
    back = [follower(picture(path(20)), n / RATE) for n in range(35, 65)]
    assert not back[-1].lost
    assert iou(back[-1].box[None], box(path(20))[None])[0, 0] > 0.5


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize("bad", [(10, 10, 12, 40), (500, 10, 600, 90), (10, 10, np.nan, 90), (1, 2, 3)])
def test_a_box_without_pixels_is_an_error(name: str, bad: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="a box to follow"):
        FOLLOWERS[name](picture(path(0)), np.array(bad), 0.0)


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint16, "grey", None])
def test_what_is_no_picture_is_an_error(name: str, kind: Any) -> None:
    """A float picture of 0..1 was followed as a black one, with a score of 0."""
    whole = picture(path(0))
    other = whole[..., 0] if kind == "grey" else None if kind is None else (whole / 255).astype(kind)
    with pytest.raises(UsageError, match="a picture is"):
        FOLLOWERS[name](other, box(path(0)), 0.0)
    follower = FOLLOWERS[name](whole, box(path(0)), 0.0)
    with pytest.raises(UsageError, match="a picture is"):
        follower(other, 1 / RATE)
    assert not follower(picture(path(1)), 1 / RATE).lost                # and it goes on


def test_the_subspace_is_the_one_of_all_patches_at_once() -> None:
    """With nothing forgotten, batches give the mean and the span that an SVD of everything gives."""
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 40)) + rng.normal(size=(200, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision.tracking.ivt.FORGET", 1.0)
        subspace = Subspace(patches[:, :5])
        for n in range(5, 40, 5):
            subspace.update(patches[:, n : n + 5])
    np.testing.assert_allclose(subspace.mean, patches.mean(axis=1), atol=1e-9)
    _, singular, _ = np.linalg.svd(patches - patches.mean(axis=1, keepdims=True), full_matrices=False)
    np.testing.assert_allclose(subspace.singular[:5], singular[:5], rtol=1e-6)
    assert abs(subspace.error(patches)).max() < 1e-9
    np.testing.assert_allclose(subspace.basis.T @ subspace.basis, np.eye(subspace.basis.shape[1]), atol=1e-9)


def test_the_subspace_keeps_its_rank_and_forgets() -> None:
    rng = np.random.default_rng(0)
    subspace = Subspace(rng.random((SIDE * SIDE, 1)))
    for _ in range(12):
        subspace.update(rng.random((SIDE * SIDE, 5)))
    assert subspace.basis.shape == (SIDE * SIDE, RANK)
    assert all(a >= b for a, b in pairwise(subspace.singular.tolist()))
    late = np.full((SIDE * SIDE, 5), 3.0)
    for _ in range(60):
        subspace.update(late)
    assert abs(subspace.mean - 3).max() < 0.2                   # 0.95 ** 60 of the old is left
    assert subspace.picture().shape == (4 * SIDE, 4 * SIDE * (1 + RANK), 3)


def test_ivt_is_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> np.ndarray:
        follower = Ivt(picture(path(0)), box(path(0)), 0.0, seed)
        return np.array([follower(picture(path(n)), n / RATE).box for n in range(1, 6)])

    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).any()

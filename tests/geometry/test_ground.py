"""The ground: metres and pixels, errors against sampling, four points, views from above."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.geometry import BirdsEye, Camera, Ground, Mounting

CAMERA = Camera((1280, 720), (1000.0, 1000.0), (639.5, 359.5))
BENT = Camera((1280, 720), (1135.0, 1127.0), (645.2, 361.7), (-0.21, -0.16, 0.0002, -0.001, 0.24))
MOUNTING = Mounting(1.5, 4.0)


def by_hand(camera: Camera, mounting: Mounting, x: float, y: float) -> tuple[float, float]:
    """Where a pixel lies on the ground, by angles, for a camera without roll."""
    right, down = (np.array([x, y]) - 0.5 - camera.centre) / camera.focal
    pitch, yaw = np.radians(mounting.pitch), np.radians(mounting.yaw)
    below = np.sin(pitch) + down * np.cos(pitch)
    ahead = np.cos(pitch) - down * np.sin(pitch)
    forward, left = mounting.height / below * np.array([ahead, -right])
    return forward * np.cos(yaw) - left * np.sin(yaw), forward * np.sin(yaw) + left * np.cos(yaw)


@given(st.floats(0, 1280), st.floats(400, 720), st.floats(-5, 8), st.floats(-10, 10), st.floats(0.5, 3))
def test_metres_are_those_of_trigonometry(x: float, y: float, pitch: float, yaw: float, height: float) -> None:
    mounting = Mounting(height, pitch, 0.0, yaw)
    ground = Ground.of(CAMERA, mounting)
    found = ground.metres([[x, y]])[0]
    _, down = (np.array([x, y]) - 0.5 - CAMERA.centre) / CAMERA.focal
    if np.sin(np.radians(pitch)) + down * np.cos(np.radians(pitch)) < 0.01:
        return                                                               # at the horizon or above it
    assert found == pytest.approx(by_hand(CAMERA, mounting, x, y), rel=1e-6, abs=1e-6)


@given(st.floats(3, 60), st.floats(-8, 8), st.floats(-3, 6), st.floats(-20, 20))
def test_metres_come_back(forward: float, left: float, pitch: float, roll: float) -> None:
    for camera in (CAMERA, BENT):
        ground = Ground.of(camera, Mounting(1.5, pitch, roll, 2.0))
        pixel = ground.pixels([[forward, left]])
        if (pixel[0] > 0).all() and (pixel[0] < (1280, 720)).all():
            assert np.abs(ground.metres(pixel)[0] - (forward, left)).max() < 0.02 * forward


def test_above_the_horizon_are_no_metres() -> None:
    ground = Ground.of(CAMERA, MOUNTING)
    horizon = ground.horizon()
    assert horizon == pytest.approx(360 - 1000 * np.tan(np.radians(4)), abs=2)
    assert np.isnan(ground.metres([[640, horizon - 3]])).all()
    assert ground.inverse([[640, horizon - 30]])[0] < 0
    assert np.isnan(ground.pixels([[-5, 0]])).all()                          # behind the camera


def test_roll_turns_the_horizon() -> None:
    ground = Ground.of(CAMERA, Mounting(1.5, 4.0, 10.0))
    assert ground.horizon(1180) - ground.horizon(100) == pytest.approx(-1080 * np.tan(np.radians(10)), rel=0.02)


def test_errors_are_those_of_sampling() -> None:
    rng = np.random.default_rng(0)
    mounting = Mounting(1.5, 4.0, height_error=0.04, pitch_error=0.1, roll_error=0.3, bounce=0.1)
    ground = Ground.of(CAMERA, mounting)
    point = np.array([[800.0, 420.0]])
    stated = ground.errors(point, 1.0)[0]
    found = []
    for _ in range(3000):
        other = Mounting(1.5 + rng.normal(0, 0.04), 4 + rng.normal(0, 0.1) + rng.normal(0, 0.1), rng.normal(0, 0.3))
        found.append(Ground.of(CAMERA, other).metres(point + rng.normal(0, 1.0, (1, 2)))[0])
    sampled = np.std(found, axis=0)
    assert stated == pytest.approx(sampled, rel=0.08)
    near, far = (ground.errors([[640, row]], 1.0)[0, 0] for row in (700.0, 380.0))
    assert far > 5 * near                                                   # it grows with the distance


def test_the_inverse_has_the_error_of_sampling_too() -> None:
    rng = np.random.default_rng(1)
    ground = Ground.of(CAMERA, Mounting(1.5, 4.0, height_error=0.0, pitch_error=0.5, roll_error=0.0, bounce=1.0))
    lasting, passing = ground.inverse_errors([[640.0, 400.0]], 2.0)
    found = [Ground.of(CAMERA, Mounting(1.5, 4.0 + nod)).inverse([[640.0, 400.0]])[0] for nod in rng.normal(0, 1, 3000)]
    pixels = ground.inverse(np.column_stack([np.full(3000, 640.0), 400 + rng.normal(0, 2, 3000)]))
    assert passing[0] == pytest.approx(np.hypot(np.std(found), np.std(pixels)), rel=0.05)
    assert lasting[0] == pytest.approx(np.std(found) / 2, rel=0.05)


def test_four_points_are_the_same_ground() -> None:
    true = Ground.of(CAMERA, MOUNTING)
    metres = np.array([[30.0, 2.0], [30.0, -2.0], [8.0, -2.0], [8.0, 2.0]])
    found = Ground.from_points((1280, 720), true.pixels(metres), metres)
    points = np.array([[500.0, 500.0], [700.0, 420.0], [900.0, 650.0]])
    assert np.abs(found.metres(points) - true.metres(points)).max() < 0.01
    small = found.scaled((640, 360))
    assert np.abs(small.metres(points / 2) - found.metres(points)).max() < 1e-6
    assert (found.errors(points)[:, 0] > 0.02).all()


@pytest.mark.parametrize(("image", "metres", "what"), [
    ([[0, 0], [100, 100], [200, 200], [0, 300]], [[9, 1], [9, -1], [4, -1], [4, 1]], "1, 2, 3 lie on a line in"),
    ([[300, 400], [500, 400], [600, 700], [100, 700]], [[9, 1], [9, -1], [9, -3], [4, 1]], "on a line on the ground"),
    ([[300, 400], [500, 400], [600, 700], [100, 700]], [[9, 1], [4, -1], [9, -1], [4, 1]], "order"),
    ([[300, 400], [500, 400], [600, 700]], [[9, 1], [9, -1], [4, -1]], "takes four points"),
    ([[300, 400], [500, 400], [600, 700], [100, 700]], [[9, -1], [9, 1], [4, 1], [4, -1]], "are mirrored"),
])
def test_points_that_are_no_ground(image: list[list[float]], metres: list[list[float]], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Ground.from_points((1280, 720), image, metres)


def test_a_horizon_below_the_picture() -> None:
    with pytest.raises(UsageError, match="the horizon lies below the picture: with a pitch of -25 degrees"):
        Ground.of(CAMERA, Mounting(1.5, -25.0))


def test_a_mounting_from_a_vanishing_point() -> None:
    true = Mounting(1.3, 3.5, 2.0, 1.5)
    far = Ground.of(CAMERA, true).pixels([[1e7, 0.0]])[0]
    found = Mounting.from_vanishing_point(CAMERA, far, 1.3, roll=2.0, pixel_error=2.0)
    assert (found.pitch, found.yaw) == (pytest.approx(3.5, abs=1e-3), pytest.approx(1.5, abs=1e-3))
    assert found.pitch_error == pytest.approx(np.degrees(2 / 1000))


def test_a_view_from_above() -> None:
    ground = Ground.of(CAMERA, MOUNTING)
    view = BirdsEye(ground, (5.0, 25.0), 5.0, (200, 400))
    image = np.zeros((720, 1280, 3), np.uint8)
    pixel = np.rint(ground.pixels([[12.0, -2.0]])[0]).astype(int)
    image[pixel[1] - 4: pixel[1] + 4, pixel[0] - 4: pixel[0] + 4] = 255
    rows, columns = np.nonzero(view.picture(image)[..., 0] > 100)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == (pytest.approx(140, abs=2), pytest.approx(260, abs=3))
    points = np.float32([[20, 30], [150, 380]])
    assert np.abs(view.points_from_frame(view.points_to_frame(points)) - points).max() < 0.05
    assert np.abs(view.place(view.metres(points)) - points).max() < 1e-3
    foot = view.boxes(np.float32([[*(pixel - 20), *(pixel + np.array([20, 0]))]]))[0]
    assert foot.mean(0) == pytest.approx([140, 260], abs=2)
    labels = np.full((720, 1280), 3, np.uint8)
    assert np.unique(view.classes(labels)).tolist() == [3, 255]              # what the frame does not reach is no class


def test_bounce_is_another_pitch() -> None:
    assert MOUNTING.nodded(1.0) == replace(MOUNTING, pitch=5.0)


FOLDED = Camera((640, 480), (400.0, 400.0), (319.5, 239.5), (-0.369, 0.197, 0.0, 0.0, -0.068))


def test_what_a_lens_does_not_see_is_not_folded_back_into_the_picture() -> None:
    """Beyond 50 degrees the polynomial turns round: 4 m ahead and 6 m to the left was a pixel in the middle."""
    ground = Ground.of(FOLDED, Mounting(1.4, 5.0))
    assert np.isnan(ground.pixels([[4.0, 6.0], [4.0, -6.0]])).all()
    assert np.isfinite(ground.pixels([[4.0, 2.0], [4.0, -2.0]])).all()
    view = BirdsEye(ground)
    x, y = np.meshgrid(np.arange(240) + 0.5, np.arange(360) + 0.5)
    places = view.metres(np.column_stack([x.ravel(), y.ravel()]))
    seen = ground.pixels(places)
    inside = (seen >= 1).all(axis=1) & (seen < (639, 479)).all(axis=1)
    assert inside.sum() > 50_000
    assert np.abs(ground.metres(seen[inside]) - places[inside]).max() < 0.01 * 40   # each shows its own ground
    shown = view.picture(np.full((480, 640, 3), 255, np.uint8))[..., 0]
    assert (shown.ravel()[np.isnan(seen[:, 0])] == 0).all()
    assert 200 < np.isnan(seen[:, 0]).sum() < 5_000

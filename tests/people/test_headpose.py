"""Head pose on projections of the metric face, and cameras that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.errors import UsageError
from vision.people import mesh
from vision.people.headpose import head_pose, intrinsics, rotation

CAMERA = intrinsics(800.0, (1280, 720))


def projected(angles: tuple[float, float, float], place: tuple[float, float, float]) -> np.ndarray:
    """(1,468,2): the metric face turned and put somewhere (mm), seen by CAMERA."""
    seen = (mesh.METRIC @ rotation(*angles).T + place) @ CAMERA.T
    points = np.zeros((1, mesh.MESH, 2), np.float32)
    points[0, list(mesh.RIGID)] = seen[:, :2] / seen[:, 2:]
    return points


@given(
    st.floats(-80, 80), st.floats(-60, 60), st.floats(-179, 179), st.floats(-150, 150), st.floats(300, 2000)
)
def test_what_was_turned_is_read_off(yaw: float, pitch: float, roll: float, x: float, z: float):
    angles, places = head_pose(projected((yaw, pitch, roll), (x, 20, z)), CAMERA)
    assert np.allclose(angles[0], [yaw, pitch, roll], atol=0.5)
    assert np.allclose(places[0], [x, 20, z], rtol=0.01, atol=1)


@pytest.mark.parametrize("yaw", [-60, -30, 0, 30, 60])
@pytest.mark.parametrize("pitch", [-30, 0, 30])
def test_within_three_degrees_with_noise(yaw: float, pitch: float):
    """Half a millimetre of noise on every point, a face at 60 cm."""
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(20):
        points = projected((yaw, pitch, 10), (30, 20, 600))
        points += rng.normal(0, 0.5 * 800 / 600, points.shape).astype(np.float32)
        angles, _ = head_pose(points, CAMERA)
        errors.append(np.abs(angles[0] - [yaw, pitch, 10]).max())
    assert np.mean(errors) < 3


def test_an_estimated_camera_costs_a_few_degrees():
    points = projected((25, 10, 5), (0, 0, 600))
    angles, _ = head_pose(points, intrinsics(None, (1280, 720)))         # 1280 for the true 800
    assert np.abs(angles[0] - [25, 10, 5]).max() < 4


def test_points_on_one_spot_have_no_pose():
    points = np.concatenate([np.full((1, 468, 2), 100, np.float32), projected((0, 0, 0), (0, 0, 600))])
    angles, places = head_pose(points, CAMERA)
    assert np.isnan(angles[0]).all()
    assert np.isnan(places[0]).all()
    assert np.abs(angles[1]).max() < 0.5


def test_signs():
    """A head that turns to the picture's right has its nose tip right of the middle of its eyes."""
    def nose(yaw: float, pitch: float) -> np.ndarray:
        points = projected((yaw, pitch, 0), (0, 0, 600))[0]
        return points[4] - points[[33, 263]].mean(axis=0)

    assert nose(30, 0)[0] > 20 > nose(0, 0)[0] > -20 > nose(-30, 0)[0]
    assert nose(0, 20)[1] < nose(0, 0)[1] < nose(0, -20)[1]              # up is up


@pytest.mark.parametrize("camera", [
    np.zeros((3, 3)), np.eye(2), [[800, 0, 640], [0, 800, 360], [0, 0, 0]], np.full((3, 3), np.nan),
    [[-800, 0, 640], [0, 800, 360], [0, 0, 1]], 0, -5, np.inf,
])
def test_cameras_that_cannot_be(camera: object):
    with pytest.raises(UsageError, match="camera"):
        intrinsics(camera, (640, 480))


def test_a_focal_length_is_a_camera():
    assert intrinsics(500, (640, 480)).tolist() == [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    assert intrinsics(None, (640, 480))[0, 0] == 640

"""Where a head points, from its landmarks and a face in millimetres (perspective-n-point)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.people.mesh import METRIC, RIGID
from vision.types import Floats

Matrix = npt.NDArray[np.float64]


def intrinsics(camera: npt.ArrayLike | None, size_wh: tuple[int, int]) -> Matrix:
    """(3,3) intrinsics of the camera that took a picture of this size.

    camera: the matrix; or the focal length in pixels, of a camera whose axis is in the middle of the
    picture; or None, which estimates the focal length as the longer side, a field of view of 53
    degrees: angles are then good to a few degrees, and distances are not known. Raises UsageError
    where no camera can have them.
    """
    matrix = np.asarray(max(size_wh) if camera is None else camera, np.float64)
    if matrix.ndim == 0:
        matrix = np.array([[matrix, 0, size_wh[0] / 2], [0, matrix, size_wh[1] / 2], [0, 0, 1]])
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise UsageError(f"a camera is a focal length or a (3,3) matrix, finite; got {matrix.tolist()}")
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or not np.array_equal(matrix[2], [0, 0, 1]):
        raise UsageError(
            "a camera matrix has focal lengths above 0 in pixels and 0, 0, 1 as its last row; got "
            f"{matrix.tolist()}. Leave it out to have it estimated."
        )
    return matrix


def head_pose(points: Floats, camera: Matrix) -> tuple[Floats, Floats]:
    """The direction and the place of heads.

    points (N,K,2): face meshes in frame pixels, K at least 468. Returns angles (N,3) in degrees: yaw
    (positive towards the right of the picture), pitch (positive up), roll (positive clockwise as
    seen); and places (N,3) in mm in the camera's axes, right only where the focal length is. Points
    that lie on one spot have neither: NaN.
    """
    angles, places = (np.full((len(points), 3), np.nan, np.float32) for _ in range(2))
    for i, face in enumerate(points):
        seen = face[list(RIGID)].astype(np.float64)
        try:
            _, turn, shift = cv2.solvePnP(METRIC, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        except cv2.error:
            continue
        turn, shift = cv2.solvePnPRefineLM(METRIC, seen, camera, None, turn, shift)
        angles[i] = _euler(cv2.Rodrigues(turn)[0])
        places[i] = shift.ravel()
    return angles, places


def rotation(yaw: float, pitch: float, roll: float) -> Matrix:
    """(3,3): turns a head that looks into the camera by these angles in degrees, pitch first, then
    yaw, then roll: the inverse of what `head_pose` reads off."""
    y, p, r = np.deg2rad([-yaw, -pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def _euler(turn: Matrix) -> tuple[float, float, float]:
    yaw = np.arcsin(np.clip(turn[2, 0], -1, 1))
    pitch = -np.arctan2(turn[2, 1], turn[2, 2])
    roll = np.arctan2(turn[1, 0], turn[0, 0])
    return float(np.rad2deg(yaw)), float(np.rad2deg(pitch)), float(np.rad2deg(roll))

"""The tables of the mesh: complete, disjoint where they must be, and symmetric."""

from __future__ import annotations

import numpy as np

from vision.people import mesh

PAIR = dict(zip(mesh.RIGID[10::2], mesh.RIGID[11::2], strict=True))          # right point -> left point


def test_sixty_eight_different_points():
    assert len(mesh.IBUG68) == 68
    assert len(set(mesh.IBUG68)) == 68
    assert max(mesh.IBUG68) < mesh.MESH


def test_groups_are_within_the_mesh_and_the_eyes_match():
    assert sum(len(points) != len(set(points)) for points in mesh.GROUPS.values()) == 0
    assert max(max(points) for points in mesh.GROUPS.values()) == mesh.POINTS - 1
    assert len(mesh.RIGHT_EYE) == len(mesh.LEFT_EYE) == 16
    assert (mesh.RIGHT_EYE[0], mesh.RIGHT_EYE[8], mesh.LEFT_EYE[0], mesh.LEFT_EYE[8]) == (33, 133, 263, 362)


def test_the_metric_face_is_symmetric():
    place = dict(zip(mesh.RIGID, mesh.METRIC.tolist(), strict=True))
    assert len(place) == len(mesh.METRIC) == 28
    for right, left in PAIR.items():
        assert place[right] == [-place[left][0], *place[left][1:]]
        assert place[right][0] < 0                               # the subject's right, seen from the camera
    assert all(place[i][0] == 0 for i in (10, 151, 9, 168, 6, 197, 5, 4, 1, 2))
    assert np.linalg.norm(np.subtract(place[33], place[263])) == 88.92     # mm between the outer corners


def test_the_mesh_of_a_photograph_is_symmetric_as_the_tables_say(landmarker, ancelotti):
    """Mirroring the picture exchanges right and left points."""
    face, mirrored = landmarker(ancelotti).points[0], landmarker(ancelotti[:, ::-1].copy()).points[0]
    width = np.ptp(face[:, 0])
    lids = zip(mesh.RIGHT_EYE, mesh.LEFT_EYE, strict=True)
    for right, left in [*PAIR.items(), *lids, (61, 291), (468, 473)]:
        back = [480 - mirrored[left, 0], mirrored[left, 1]]
        assert np.linalg.norm(face[right] - back) < 0.03 * width, (right, left)

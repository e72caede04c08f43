"""Landmarks, faces, people: rows that stay in step, and their payload."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vision.errors import DataError
from vision.people.body import Poses
from vision.people.face import Faces
from vision.types import Landmarks


def faces(n: int) -> Faces:
    return Faces(
        boxes=np.arange(4 * n).reshape(n, 4), points=np.zeros((n, 478, 2)) + np.arange(n)[:, None, None],
        scores=np.full((n, 478), 0.91234567), ids=np.arange(n), angles=np.full((n, 3), 1.26),
        eyes=np.array([[0, 1]] * n).reshape(n, 2), aspects=np.array([[np.nan, 0.3004]] * n).reshape(n, 2),
        mouth=np.zeros(n), gaze=np.full((n, 2), np.nan), distance=np.full(n, np.nan),
    )


def test_an_index_keeps_type_and_rows():
    some = faces(5)[np.array([4, 1])]
    assert isinstance(some, Faces)
    assert some.ids.tolist() == [4, 1]
    assert some.points[:, 0, 0].tolist() == [4, 1]
    assert [one.ids.tolist() for one in faces(2)] == [[0], [1]]
    assert len(faces(3)[faces(3).ids > 5]) == 0


@pytest.mark.parametrize(("kind", "points"), [(Landmarks, 0), (Faces, 478), (Poses, 33)])
def test_nobody(kind: type[Landmarks], points: int):
    assert len(kind.empty()) == 0
    assert kind.empty().points.shape == (0, points, 2)
    assert kind.empty().to_dict() == {"objects": []}


def test_a_face_has_478_points():
    with pytest.raises(DataError, match=r"Faces.points must have shape \(N,478,2\); got \(1, 468, 2\)"):
        Faces(**{**vars(faces(1)), "points": np.zeros((1, 468, 2))})
    with pytest.raises(DataError, match="rows"):
        Landmarks(np.zeros((2, 4)), np.zeros((1, 5, 2)), np.zeros((2, 5)))


def test_the_payload_leaves_out_what_is_not_known():
    nameless, second = faces(2).to_dict(("face",))["objects"]
    assert nameless["label"] == "face"
    assert "id" not in nameless                                # 0: a picture
    assert second["id"] == 1
    assert second["score"] == 0.9123
    assert second["points"][477] == [1.0, 1.0]
    assert second["pose"] == {"yaw": 1.3, "pitch": 1.3, "roll": 1.3, "camera": "estimated"}
    assert second["eyes"] == {"right": {"state": "unknown"}, "left": {"state": "open", "aspect": 0.3}}
    assert "gaze" not in second
    assert "distance_m" not in second
    assert "NaN" not in json.dumps(second)


def test_a_person_has_visible_points():
    points, scores = np.ones((1, 33, 2)), np.full((1, 33), 0.25)
    person = Poses(np.array([[1, 2, 3, 4]]), points, scores, np.array([7]), np.array([0.875]))
    (entry,) = person.to_dict(("person",))["objects"]
    assert (entry["label"], entry["id"], entry["score"]) == ("person", 7, 0.875)
    assert entry["box"] == [1, 2, 3, 4]
    assert entry["points"] == [[1.0, 1.0, 0.25]] * 33

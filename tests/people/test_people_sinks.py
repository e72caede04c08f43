"""What poses and faces become in the files of others, read back by those who read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from vision import CocoResults, Csv, EstimatePose, FindFaces, Frame, Item, YoloText
from vision.errors import DataError
from vision.io import Info
from vision.people.body import COCO_ROWS, MIRRORED, POINTS, Poses
from vision.people.face import Faces
from vision.people.mesh import POINTS as MESH_POINTS
from vision.sinks import SinkSpec
from vision.steps import Ready, Spec, Step

SIZE = (200, 100)                                        # width, height


class Says(Step):
    names = ("person",)

    def begin(self, frame: Frame, sofar: Any) -> Any:
        return Ready(Poses.empty())


@pytest.fixture
def poses() -> Poses:
    """One body, whose first point is hidden and whose last lies left of the frame."""
    points = np.stack([np.linspace(10, 42, 33), np.linspace(5, 69, 33)], axis=1)[None].astype(np.float32)
    scores = np.full((1, 33), 0.9, np.float32)
    scores[0, 0], points[0, 32] = 0.2, [-3, 50]
    return Poses(np.array([[-3, 5, 42, 69]]), points, scores, np.array([7]), np.array([0.8]))


@pytest.fixture
def faces() -> Faces:
    points = np.random.default_rng(0).uniform(20, 80, (1, MESH_POINTS, 2))
    return Faces(
        np.array([[20, 20, 80, 80]]), points, np.full((1, MESH_POINTS), 0.9), np.array([3]),
        np.array([[10.0, -5.0, 2.5]]), np.array([[1, 2]]), np.array([[0.31, np.nan]]), np.array([0.25]),
        np.full((1, 2), np.nan), np.array([1.5]),
    )


def written(spec: SinkSpec, plan: Spec, result: Any, *, names: tuple[str, ...] = ("person",)) -> None:
    step = Says(plan.key)
    step.names = names
    out = spec.open([plan])
    frame = Frame(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), 0, 0.0, "set/000000000139.jpg")
    out.begin(Info("clip.mp4", "video"))
    out.take(Item(frame, {plan.key: result}, [step]))
    out.close()


def test_the_points_that_change_places_in_a_mirror():
    for i, name in enumerate(POINTS):
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert POINTS[MIRRORED[i]] == other


def test_poses_as_coco_key_points_score_with_pycocotools(tmp_path: Path, poses: Poses):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    path = tmp_path / "r.json"
    written(CocoResults(path), EstimatePose(), poses)
    (category,) = json.loads((tmp_path / "r-categories.json").read_text())["categories"]
    assert (category["id"], category["keypoints"][0], category["keypoints"][16]) == (1, "nose", "right_ankle")
    (entry,) = json.loads(path.read_text())
    rows = np.array(entry["keypoints"]).reshape(17, 3)
    assert np.allclose(rows[:, :2], poses.points[0, list(COCO_ROWS)], atol=0.01)
    assert (entry["category_id"], entry["track_id"], entry["score"]) == (1, 7, 0.8)
    truth = coco.COCO()
    true = np.concatenate([rows[:, :2], np.full((17, 1), 2)], axis=1)
    truth.dataset = {
        "info": {}, "images": [{"id": 139}], "categories": [category],
        "annotations": [{"id": 1, "image_id": 139, "category_id": 1, "area": 2000.0, "bbox": [0, 5, 42, 64],
                         "iscrowd": 0, "num_keypoints": 17, "keypoints": true.ravel().tolist()}],
    }
    truth.createIndex()
    scored = cocoeval.COCOeval(truth, truth.loadRes(str(path)), "keypoints")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


def test_poses_as_yolo_text_as_a_trainer_reads_it(tmp_path: Path, poses: Poses):
    written(YoloText(tmp_path / "y"), EstimatePose(), poses)
    facts = yaml.safe_load((tmp_path / "y" / "data.yaml").read_text())
    assert (facts["names"], facts["kpt_shape"], len(facts["flip_idx"])) == ({0: "person"}, [33, 3], 33)
    table = np.loadtxt(tmp_path / "y" / "000000000139.txt", ndmin=2)
    assert table.shape == (1, 5 + 33 * 3)
    assert (table[:, 1:] >= 0).all()
    assert (table[0, 1:5] <= 1).all()
    assert np.allclose(table[0, 1:5] * [200, 100, 200, 100], [21, 37, 42, 64], atol=1e-3)       # cut to the frame
    points = table[0, 5:].reshape(33, 3)
    assert np.allclose(points[:32, :2] * SIZE, poses.points[0, :32], atol=1e-3)
    assert points[:, 2].tolist() == [1, *[2] * 31, 0]                    # hidden, seen, outside


@pytest.mark.yolo
def test_poses_as_yolo_text_go_through_ultralytics(tmp_path: Path, poses: Poses):
    import ultralytics.data.utils as data

    cv2 = pytest.importorskip("cv2")
    written(YoloText(tmp_path / "y"), EstimatePose(), poses)
    picture = tmp_path / "y" / "000000000139.jpg"
    cv2.imwrite(str(picture), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    checked = data.verify_image_label((str(picture), str(picture.with_suffix(".txt")), "", True, 1, 33, 3, False))
    assert tuple(checked[5:9]) == (0, 1, 0, 0)                           # missing, found, empty, corrupt
    assert next(one for one in checked if isinstance(one, np.ndarray) and one.ndim == 3).shape == (1, 33, 3)


def test_the_table_has_points_pose_and_eyes(tmp_path: Path, poses: Poses, faces: Faces):
    written(Csv(tmp_path / "p.csv"), EstimatePose(), poses)
    (row,) = csv.DictReader((tmp_path / "p.csv").open())
    points = np.array([point.split() for point in row["points"].split(";")], float)
    assert np.allclose(points, np.concatenate([poses.points[0], poses.scores[0, :, None]], axis=1), atol=0.01)
    written(Csv(tmp_path / "f.csv"), FindFaces(), faces, names=("face",))
    (row,) = csv.DictReader((tmp_path / "f.csv").open())
    assert (row["pose_yaw"], row["pose_pitch"], row["pose_roll"]) == ("10.0", "-5.0", "2.5")
    assert (row["eyes_right_state"], row["eyes_right_aspect"]) == ("open", "0.31")
    assert (row["eyes_left_state"], row["eyes_left_aspect"], row["gaze_up"]) == ("closed", "", "")
    assert (row["distance_m"], row["mouth"], len(row["points"].split(";"))) == ("1.5", "0.25", MESH_POINTS)


def test_every_value_of_a_record_has_its_column(tmp_path: Path, faces: Faces):
    faces = Faces(*(np.nan_to_num(getattr(faces, name)) for name in Faces._layout))
    written(Csv(tmp_path / "f.csv"), FindFaces(), faces, names=("face",))
    (row,) = csv.DictReader((tmp_path / "f.csv").open())
    assert [column for column in Faces.columns if not row[column]] == []
    written(CocoResults(tmp_path / "f.json"), FindFaces(), faces, names=("face",))
    (entry,) = json.loads((tmp_path / "f.json").read_text())
    known = faces.to_dict(("face",))["objects"][0]
    assert {key: entry[key] for key in ("pose", "eyes", "mouth", "gaze", "distance_m")} == {
        key: known[key] for key in ("pose", "eyes", "mouth", "gaze", "distance_m")
    }
    assert len(entry["keypoints"]) == MESH_POINTS * 3


def test_what_yolo_text_cannot_hold_is_said(tmp_path: Path, faces: Faces):
    spec = YoloText(tmp_path / "y")
    assert "no place for pose_yaw" in spec.open([FindFaces()]).notes[0]
    assert spec.open([EstimatePose()]).notes == []
    written(spec, FindFaces(), faces, names=("face",))
    assert np.loadtxt(tmp_path / "y" / "000000000139.txt").shape == (5 + MESH_POINTS * 3,)
    assert yaml.safe_load((tmp_path / "y" / "data.yaml").read_text())["kpt_shape"] == [MESH_POINTS, 3]


def test_a_body_has_33_points():
    with pytest.raises(DataError, match=r"points must have shape \(N,33,2\)"):
        Poses(np.zeros((1, 4)), np.zeros((1, 17, 2)), np.zeros((1, 33)), [1], [0.5])

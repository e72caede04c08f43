"""YOLO-pose as ONNX: decoding beside a twin in NumPy and ultralytics' own on the same random weights; ids on a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.tasks.test_yolo import enliven
from vision import EstimatePose, Poses, Run, WholePoseEstimator, read
from vision.card import Boxes, Card, Input
from vision.errors import ModelError, UsageError
from vision.io import Info
from vision.people.body import COCO_ROWS
from vision.people.pose import PoseEstimator
from vision.steps.base import Pool
from vision.steps.pose import TrackedPoses
from vision.types import Frame


class Answers:
    """An engine that says what it is told of each picture; it takes 64x64."""

    label, precision, backend, in_flight, input_wh = "fake", "fp32", "fake", 1, None

    def __init__(self, *tables: np.ndarray) -> None:
        self.tables = list(tables)

    def submit(self, batch: np.ndarray) -> Any:
        from concurrent.futures import Future

        assert batch.shape == (1, 64, 64, 3)
        future: Future[Any] = Future()
        future.set_result((self.tables.pop(0)[None],))
        return future


def card(layout: str = "yolo_point_rows", max_iou: float = 1.0) -> Card:
    return Card(name="fake", task="pose", file="", licence="", source="", names=("person",), min_score=0.5,
                boxes=Boxes(layout, max_iou), input=Input((64, 64), "letterbox", mean=(0, 0, 0), std=(1, 1, 1)))


def person(left: float, score: float) -> np.ndarray:
    """A row (57,): a box of 10x40 pixels, its points down its left side, the last ones unseen."""
    points = np.stack([np.full(17, left), 10 + 2 * np.arange(17.0), np.linspace(1, 0, 17)], 1)
    return np.array([left, 10, left + 10, 50, score, 0, *points.ravel()], np.float32)


def test_rows_become_people_with_coco_s_points_among_the_33() -> None:
    rows = np.stack([person(8, 0.9), person(40, 0.6), person(20, 0.4), np.zeros(57, np.float32)])
    found = WholePoseEstimator(Answers(rows), card())(np.zeros((128, 128, 3), np.uint8))
    assert isinstance(found, Poses)
    np.testing.assert_allclose(found.boxes, [[16, 20, 36, 100], [80, 20, 100, 100]])          # twice the network's
    np.testing.assert_allclose(found.presence, [0.9, 0.6])
    known = np.zeros(33, bool)
    known[list(COCO_ROWS)] = True
    np.testing.assert_allclose(found.points[0, COCO_ROWS, 0], 16)
    np.testing.assert_allclose(found.points[1, COCO_ROWS, 1], 20 + 4 * np.arange(17))
    np.testing.assert_allclose(found.scores[0, COCO_ROWS], np.linspace(1, 0, 17), atol=1e-6)
    assert not found.scores[:, ~known].any()
    assert not found.points[:, ~known].any()
    assert found.ids.tolist() == [0, 0]


def test_a_table_is_decoded_and_suppressed() -> None:
    rows = [person(8, 0.8), person(9, 0.9), person(40, 0.6), person(30, 0.3)]
    table = np.stack([np.concatenate([
        [(r[0] + r[2]) / 2, (r[1] + r[3]) / 2, r[2] - r[0], r[3] - r[1], r[4]], r[6:]]) for r in rows], 1)
    found = WholePoseEstimator(Answers(table), card("yolo_points", 0.5))(np.zeros((64, 64, 3), np.uint8))
    np.testing.assert_allclose(found.boxes[:, 0], [9, 40], atol=0.01)
    np.testing.assert_allclose(found.points[:, 0, 0], [9, 40], atol=0.01)
    with pytest.raises(UsageError, match="min_score and max_iou lie in"):
        WholePoseEstimator(Answers(table), card("yolo_points"))(np.zeros((64, 64, 3), np.uint8), min_score=2)


def test_people_on_a_film_keep_their_ids_until_it_cuts() -> None:
    """Two people walk past each other's height; at the cut somebody else stands where the first one did."""
    random = np.random.default_rng(0)
    scenes = [cv2.resize(random.integers(0, 255, (6, 6, 3), np.uint8), (64, 64)) for _ in range(2)]
    scenes[1] = 255 - scenes[0][::-1]
    tables = [np.stack([person(8 + i, 0.9), person(40 - i, 0.8)]) for i in range(8)]

    def step(of: list[np.ndarray]) -> TrackedPoses:
        model = WholePoseEstimator(Answers(*of), card())
        return TrackedPoses("pose", model)

    frames = [Frame(scenes[i >= 6], i, i / 25, "film") for i in range(8)]
    whole = step(tables)
    found = [whole.begin(frame, {})() for frame in frames]
    assert [one.ids.tolist() for one in found[2:]] == [[1, 2]] * 4 + [[0, 0], [3, 4]]
    assert abs(found[5].points[0, 0, 0] - 13) < 1.5                      # smoothed, and not behind by much
    first, second = step(tables[:4]), step(tables[4:])
    for frame in frames[:4]:
        first.begin(frame, {})()
    second.restore(first.state())
    for frame, expected in zip(frames[4:], found[4:], strict=True):
        again = second.begin(frame, {})()
        assert again.ids.tolist() == expected.ids.tolist()
        assert np.array_equal(again.points, expected.points)


def test_whoever_a_lower_threshold_shows_is_followed_too() -> None:
    model = WholePoseEstimator(Answers(*[person(8, 0.4)[None]] * 4), card())                # decides at 0.5
    info = Info("film", "video", (64, 64))
    step = EstimatePose(min_score=0.25).open(info, model)
    image = np.zeros((64, 64, 3), np.uint8)
    assert [step.begin(Frame(image, i, i / 25, "film"), {})().ids.tolist() for i in range(4)][-1] == [1]


def test_a_network_that_needs_no_detector_is_no_cascade() -> None:
    class People:
        names, name = ("person",), "people"

    with pytest.raises(ModelError, match="finds people by itself"):
        PoseEstimator(People(), Answers(), card())


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Path]) -> Path:
    """Four exports of random weights whose norms have seen a photograph, so that they find something."""
    import torch
    import yaml
    from ultralytics import YOLO
    from ultralytics.nn.tasks import PoseModel
    from ultralytics.utils.checks import check_yaml

    folder = tmp_path_factory.mktemp("pose")
    picture = cv2.resize(cv2.imread(str(photos["bus"])), (320, 320))
    batch = torch.from_numpy(picture[None, ..., ::-1].transpose(0, 3, 1, 2) / np.float32(255))
    for name, options in (("yolo11n-pose", {}), ("yolov8n-pose", {"nms": True}), ("yolo26n-pose", {}),
                          ("yolo11n-hand", {})):
        torch.manual_seed(0)
        kind = name.split("-")[0]
        said = yaml.safe_load(Path(check_yaml(f"{kind[:-1]}-pose.yaml")).read_text())
        model = YOLO(f"{kind}-pose.yaml")
        model.model = PoseModel(
            {**said, "scale": "n"}, nc=1, data_kpt_shape=(21 if name.endswith("hand") else 17, 3), verbose=False)
        model.model.names, model.model.task = {0: "person"}, "pose"
        enliven(model.model, batch, 0.995)
        model.save(folder / f"{name}.pt")
        YOLO(folder / f"{name}.pt").export(format="onnx", imgsz=320, simplify=False, conf=0.25, iou=0.7, **options)
    return folder


@pytest.mark.slow
@pytest.mark.yolo
@pytest.mark.parametrize("name", ["yolo11n-pose", "yolov8n-pose", "yolo26n-pose"])
def test_an_export_gives_the_people_that_ultralytics_gives(exports: Path, photos: dict[str, Path], name: str) -> None:
    from ultralytics import YOLO

    path, picture = exports / f"{name}.onnx", cv2.resize(cv2.imread(str(photos["bus"])), (320, 320))
    theirs = YOLO(path, task="pose").predict(picture, imgsz=320, conf=0.25, iou=0.7, verbose=False)[0]
    with WholePoseEstimator.load(path, backend="onnxruntime", precision="fp32") as model:
        found = model(picture)
    boxes, points = theirs.boxes.xyxy.numpy(), theirs.keypoints.data.numpy()
    assert len(boxes) >= 5
    assert len(found) == len(boxes)
    np.testing.assert_allclose(np.sort(found.presence), np.sort(theirs.boxes.conf.numpy()), atol=2e-3)
    far = np.abs(found.boxes[:, None] - boxes[None]).max(2)
    twin = far.argmin(1)
    assert far.min(1).max() < 1
    inside = found.points[:, COCO_ROWS].clip(0, 320)                    # theirs are moved to the picture's sides
    np.testing.assert_allclose(inside, points[twin, :, :2], atol=1.0)
    np.testing.assert_allclose(found.scores[:, COCO_ROWS], points[twin, :, 2], atol=5e-3)


@pytest.mark.slow
@pytest.mark.yolo
def test_the_command_opens_it_and_other_points_are_refused(exports: Path, photos: dict[str, Path]) -> None:
    with Run(read(photos["bus"]), EstimatePose(str(exports / "yolo11n-pose.onnx"))) as run:
        (item,) = run
    assert len(item["pose"]) > 0
    assert item.names("pose") == ("person",)
    with pytest.raises(ModelError, match=r"has points \(21, 3\); bodies here have COCO's 17"):
        EstimatePose(str(exports / "yolo11n-hand.onnx")).load(Pool())

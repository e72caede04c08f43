"""Body pose: boxes to points, following, and bad input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision.drawing import draw
from vision.engine import FakeEngine
from vision.errors import UsageError
from vision.people import body
from vision.people.body import Poses
from vision.people.pose import PoseEstimator, PoseTracker
from vision.record import record
from vision.tasks.detect import Detector
from vision.types import Detections, Frame, Image
from vision.zoo import CARDS, find

PEOPLE = np.array([[219, 385, 346, 862], [46, 393, 240, 905]], np.float32)         # the two in bus.jpg
AT = {name: i for i, name in enumerate(body.POINTS)}


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator.load()


def test_two_people_on_a_photograph(estimator: PoseEstimator, bus: Image):
    poses = estimator(bus, PEOPLE)
    assert len(poses) == 2
    assert (poses.presence > 0.9).all()
    # seen on the photograph, once: middle of the shoulders, right knee, left ankle of the man on the right
    points = poses.points[0]
    assert np.linalg.norm(points[[11, 12]].mean(axis=0) - [283, 487]) < 20
    assert points[AT["nose"]][1] < points[AT["left_hip"]][1] < points[AT["left_knee"]][1]
    assert points[AT["left_knee"]][1] < points[AT["left_ankle"]][1] < 880
    assert points[AT["right_shoulder"]][0] < points[AT["left_shoulder"]][0]      # they face the camera
    inside = (poses.points[0] > PEOPLE[0, :2] - 25) & (poses.points[0] < PEOPLE[0, 2:] + 25)
    assert inside.all(axis=1).mean() > 0.9


def test_a_patch_of_street_is_nobody(estimator: PoseEstimator, bus: Image):
    assert len(estimator(bus, np.array([[500, 850, 650, 1050]]))) == 0
    assert len(estimator(bus, np.empty((0, 4)))) == 0
    results = estimator.submit([bus, bus], [np.empty((0, 4)), PEOPLE])()
    assert [len(poses) for poses in results] == [0, 2]


def test_presence_out_of_range(estimator: PoseEstimator, bus: Image):
    with pytest.raises(UsageError):
        estimator(bus, PEOPLE, min_presence=2.0)


def test_the_record_fits_the_schema(estimator: PoseEstimator, bus: Image):
    poses = estimator(bus, PEOPLE)
    line = record(Frame(bus, 0, 0.0), {"pose": poses.to_dict(estimator.names)})
    check_record(line)
    assert [len(person["points"]) for person in line["pose"]["objects"]] == [33, 33]
    assert line["pose"]["objects"][0]["label"] == "person"
    assert line["pose"]["objects"][0]["score"] == pytest.approx(float(poses.presence[0]), abs=1e-3)
    check_record(record(Frame(bus, 0, 0.0), {"pose": Poses.empty().to_dict(("person",))}))


def test_drawing(estimator: PoseEstimator, bus: Image):
    drawn = draw(estimator(bus, PEOPLE), bus, estimator.names)
    changed = np.argwhere((drawn != bus).any(axis=2))
    assert len(changed) > 2000
    assert changed[:, 1].max() < 380                                     # nothing beside the two


def finding(look: Callable[[Image], np.ndarray], names: tuple[str, ...] = ("person",)) -> Detector:
    """A detector that finds people where `look` says."""

    class Fake(Detector):
        def __init__(self) -> None:
            super().__init__(FakeEngine(lambda b: ()), find("default", "detect"))
            self.names = names

        def submit(self, images: Sequence[Image], **options: Any) -> Callable[[], list[Detections]]:
            assert tuple(options["classes"]) == ("person",)
            found = [np.asarray(look(image), np.float32) for image in images]
            return lambda: [Detections(b, np.ones(len(b)), np.zeros(len(b), np.int64)) for b in found]

    return Fake()


def with_people(estimator: PoseEstimator, look: Callable[[Image], np.ndarray]) -> PoseEstimator:
    return PoseEstimator(finding(look), estimator.engine, estimator.card)


def fake(points: np.ndarray, presence: float = 1.0, score: float = 0.9) -> PoseEstimator:
    """Answers every crop with the same points (33,2) in crop pixels."""
    rows = np.concatenate([points, np.zeros((33, 1)), np.full((33, 2), score)], axis=1).astype(np.float32)
    return PoseEstimator(
        finding(lambda image: np.empty((0, 4), np.float32)),
        FakeEngine(lambda b: (np.repeat(rows[None], len(b), 0), np.full(len(b), presence, np.float32))),
        CARDS["blazepose-full"],
    )


def test_each_crop_is_asked_by_itself_and_all_before_the_first_answer():
    estimator, sizes, answers = fake(np.full((33, 2), 64.0)), [], []

    class Slow:
        input_wh, label, in_flight = None, "slow", 2

        def submit(self, batch: np.ndarray) -> Future:
            sizes.append(len(batch))
            answers.append(Future())
            return answers[-1]

    function, estimator.engine = estimator.engine.function, Slow()
    wait = estimator.submit([np.zeros((500, 500, 3), np.uint8)] * 2, [PEOPLE / 2, PEOPLE[:1] / 2])
    assert sizes == [1, 1, 1]
    for answer in answers:
        answer.set_result(function(np.zeros((1, 256, 256, 3), np.uint8)))
    assert [len(poses) for poses in wait()] == [2, 1]


def test_a_detector_of_no_people():
    with pytest.raises(UsageError, match="no class 'person'"):
        PoseEstimator(finding(lambda image: PEOPLE, ("cat",)), FakeEngine(lambda b: ()), CARDS["blazepose-full"])


def test_its_own_detector_finds_the_people(estimator: PoseEstimator, bus: Image):
    alone = estimator(bus, min_score=0.43)
    assert np.array_equal(alone.points, estimator(bus, estimator.find([bus], 0.43)()[0]).points)
    known = estimator(bus, PEOPLE).boxes
    assert (np.abs(alone.boxes[:, None] - known).max(axis=2).min(axis=0) < 60).all()      # of 500 pixels
    first, second = estimator.submit([bus, bus[:, ::-1]], min_score=0.43)()
    assert np.allclose(first.points, alone.points, atol=0.5)
    assert len(second) >= 2
    with pytest.raises(UsageError):
        estimator(bus, min_score=2.0)


def test_points_come_back_to_the_frame():
    """A square of 1.25 longer sides around the box, 256 pixels wide."""
    poses = fake(np.full((33, 2), 64.0))(np.zeros((500, 500, 3), np.uint8), np.array([[100, 100, 180, 260]]))
    side = 160 * 1.25
    assert np.allclose(poses.points, [140 - side / 4, 180 - side / 4], atol=0.01)


def test_hidden_points_do_not_stretch_the_box():
    points = np.linspace(60, 190, 66).reshape(33, 2)
    points[7] = [-500, -500]
    estimator = fake(points)
    table = estimator.engine.function(np.zeros((1, 256, 256, 3), np.uint8))
    table[0][0, 7, 3] = 0.1
    seen = PoseEstimator(estimator.detector, FakeEngine(lambda b: table), estimator.card)
    poses = seen(np.zeros((500, 500, 3), np.uint8), np.array([[100, 100, 356 - 51.2, 356 - 51.2]]))
    assert poses.boxes[0, 0] > 50
    assert poses.scores[0, 7] == pytest.approx(0.1)
    hidden = fake(points, score=0.1)(np.zeros((500, 500, 3), np.uint8), PEOPLE[:1])
    assert np.isfinite(hidden.boxes).all()                              # nothing visible: around all


def test_following(estimator: PoseEstimator, bus: Image):
    """The detector is asked at first; then the crops follow, and the ids stay."""
    asked = []

    def look(image: Image) -> np.ndarray:
        asked.append(1)
        return PEOPLE

    tracker = PoseTracker(with_people(estimator, look), detect_every=10.0)
    for i in range(8):
        shifted = cv2.warpAffine(bus, np.array([[1, 0, 3.0 * i], [0, 1, 0]]), (bus.shape[1], bus.shape[0]))
        poses = tracker(shifted, i / 25)
        assert poses.ids.tolist() == [1, 2]
    assert len(asked) == tracker.detections == 1
    still = estimator(bus, PEOPLE)
    moved = poses.points[:, 11:].mean(axis=1) - still.points[:, 11:].mean(axis=1)
    assert np.abs(moved - [21, 0]).max() < 12


def test_who_leaves_is_gone_and_comes_back_new(estimator: PoseEstimator, bus: Image):
    street = np.full_like(bus, 120)
    none = np.empty((0, 4), np.float32)
    people = with_people(estimator, lambda image: PEOPLE if image is bus else none)
    tracker = PoseTracker(people, forget_after=0.3)
    script = [bus] * 2 + [street] * 10 + [bus] * 2
    ids = [tracker(image, i / 25).ids.tolist() for i, image in enumerate(script)]
    assert ids == [[1, 2]] * 2 + [[]] * 10 + [[3, 4]] * 2


def test_nobody_twice(estimator: PoseEstimator, bus: Image):
    """Two boxes on one person give one."""
    tracker = PoseTracker(with_people(estimator, lambda image: np.concatenate([PEOPLE[:1], PEOPLE[:1] + 8])))
    assert tracker(bus, 0.0).ids.tolist() == [1]


def test_of_two_crops_that_drift_onto_one_person_that_stays_which_was_there():
    """The network answers the second crop surely, and the first, in whose box the person is, less so."""
    calls: list[int] = []

    def network(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of a body that fills its box; from the second frame on the second crop shows the first's."""
        calls.append(1)
        points = np.zeros((1, 33, 5), np.float32)
        points[..., :2] = np.linspace(25.6, 230.4, 33)[None, :, None]
        points[..., 3:] = 0.9
        drifted = len(calls) == 4
        points[..., 0] -= 102.4 if drifted else 0
        return points, np.array([0.99 if drifted else 0.8], np.float32)

    boxes = np.array([[100, 100, 200, 200], [150, 100, 250, 200]], np.float32)
    estimator = PoseEstimator(finding(lambda image: boxes), FakeEngine(network), CARDS["blazepose-full"])
    tracker = PoseTracker(estimator, detect_every=10.0)
    assert tracker(np.zeros((300, 400, 3), np.uint8), 0.0).ids.tolist() == [1, 2]
    assert tracker(np.zeros((300, 400, 3), np.uint8), 0.04).ids.tolist() == [1]


def test_a_restored_tracker_goes_on_as_the_first(
    estimator: PoseEstimator, bus: Image, through_json: Callable[[dict[str, Any]], dict[str, Any]]
):
    """Both have gone when the state is asked for, and come back with their ids."""
    street = np.full_like(bus, 120)
    people = with_people(estimator, lambda image: PEOPLE if image is bus else PEOPLE[:0])
    first, second = (PoseTracker(people, detect_every=0.2) for _ in range(2))
    for i, image in enumerate([bus, bus, bus, street]):
        first(image, i / 25)
    second.restore(through_json(first.state()))
    for i, image in enumerate([street, bus, bus, bus], 4):
        one, other = first(image, i / 25), second(image, i / 25)
        for name in Poses._layout:
            assert np.array_equal(getattr(one, name), getattr(other, name))
    assert sorted(other.ids.tolist()) == [1, 2]
    assert second.detections == first.detections

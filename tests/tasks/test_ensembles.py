"""Ensembles: fusion of boxes as the package `ensemble-boxes` does it, and models that answer as one."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision import zoo
from vision.boxes import iou, weighted_box_fusion
from vision.card import Card
from vision.card import Input as CardInput
from vision.engine import FakeEngine
from vision.errors import ModelError, UsageError
from vision.steps import Detect
from vision.tasks.classify import Classifier, ClassifierEnsemble
from vision.tasks.detect import Detector, DetectorEnsemble
from vision.tasks.segment import Segmenter, SegmenterEnsemble

GOLDEN = Path(__file__).parent / "data" / "fused.json"         # what ensemble-boxes 1.0.9 gives for `case`
IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def case(seed: int) -> dict[str, Any]:
    """Objects, seen with noise by two to four detectors of different worth; boxes in 0..1."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 0.6, (6, 2))
    objects = np.hstack([corner, corner + random.uniform(0.1, 0.35, (6, 2))])
    kinds = random.integers(0, 3, 6)
    boxes, scores, labels = [], [], []
    for _ in range(random.integers(2, 5)):
        seen = np.flatnonzero(random.random(6) < 0.8)
        noisy = np.clip(objects[seen] + random.normal(0, 0.02, (len(seen), 4)), 0, 1)
        boxes.append(noisy.astype(np.float32))
        scores.append(random.uniform(0.05, 1, len(seen)).astype(np.float32))
        labels.append(kinds[seen])
    return {"boxes": boxes, "scores": scores, "labels": labels,
            "weights": random.integers(1, 4, len(boxes)).tolist() if seed % 2 else None,
            "max_iou": [0.55, 0.4, 0.7][seed % 3]}


def by_package(wbf: Any, given: dict[str, Any]) -> list[list[float]]:
    """Rows of box, score and label."""
    boxes, scores, labels = wbf(
        [b.tolist() for b in given["boxes"]], [s.tolist() for s in given["scores"]],
        [k.tolist() for k in given["labels"]], weights=given["weights"], iou_thr=given["max_iou"])
    return np.column_stack([boxes, scores, labels]).tolist()


def assert_equal(given: dict[str, Any], rows: list[list[float]]) -> None:
    expected = np.array(rows)
    boxes, scores, labels = weighted_box_fusion(**given)
    ours, theirs = np.column_stack([boxes, scores, labels]), expected
    order = [np.lexsort(np.round(table, 5).T) for table in (ours, theirs)]       # those of one score come in any order
    assert np.allclose(ours[order[0]], theirs[order[1]], atol=1e-5)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_fusion_is_what_the_package_gave(seed: int) -> None:
    assert_equal(case(seed), json.loads(GOLDEN.read_text())[seed])


def test_fusion_is_what_the_package_gives() -> None:
    spec = importlib.util.find_spec("ensemble_boxes")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package ensemble-boxes")
    alone = importlib.util.spec_from_file_location("wbf", Path(spec.origin).parent / "ensemble_boxes_wbf.py")
    assert alone is not None
    assert alone.loader is not None
    module = importlib.util.module_from_spec(alone)            # without the rest of it, which wants numba
    sys.modules["wbf"] = module
    alone.loader.exec_module(module)
    for seed in range(100, 300):
        assert_equal(case(seed), by_package(module.weighted_boxes_fusion, case(seed)))


def test_fusion_by_hand() -> None:
    boxes, scores, labels = weighted_box_fusion(
        [np.float32([[0, 0, 10, 10], [50, 50, 60, 60]]), np.float32([[0, 0, 10, 12]])],
        [np.float32([0.9, 0.8]), np.float32([0.3])], [np.array([1, 2]), np.array([1])])
    assert np.allclose(boxes, [[0, 0, 10, 10.5], [50, 50, 60, 60]])       # (0.9 * 10 + 0.3 * 12) / 1.2
    assert np.allclose(scores, [0.6, 0.4])                                # a mean; one of two saw it: half
    assert labels.tolist() == [1, 2]
    twice = [np.float32([[0, 0, 10, 10], [0, 0, 10, 9]]), np.empty((0, 4), np.float32)]
    of_two = weighted_box_fusion(twice, [np.float32([0.9, 0.9]), np.empty(0, np.float32)],
                                 [np.zeros(2, int), np.zeros(0, int)], weights=[10, 1])
    assert of_two[1].tolist() == [1]                                      # 10 * 0.9 * 2 / 11 is more


def test_nothing_fuses_to_nothing() -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    boxes, scores, labels = weighted_box_fusion(*([one, one] for one in nothing))
    assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))
    zero = weighted_box_fusion([np.float32([[0, 0, 5, 5], [3, 3, 3, 9]])], [np.float32([0, 1])], [np.array([0, 0])])
    assert len(zero[0]) == 0                                              # neither score nor area


@given(st.integers(0, 10_000))
def test_one_detector_and_its_twin_are_that_detector(seed: int) -> None:
    given = case(seed)
    one = given["boxes"][0], given["scores"][0], given["labels"][0]
    alone = weighted_box_fusion(*([part] for part in one), max_iou=0.9)
    twins = weighted_box_fusion(*([part, part] for part in one), max_iou=0.9)
    assert np.allclose(alone[0], twins[0], atol=1e-5)
    assert np.allclose(alone[1], twins[1], atol=1e-5)
    assert (iou(alone[0], alone[0]) <= 1.0001).all()


def card(task: str, **more: Any) -> Card:
    return Card(**{"name": "mine", "task": task, "file": "", "licence": "mine", "source": "here", "names": ("a", "b"),
                   "input": CardInput((32, 32), "stretch", fixed=True), **more})


def classifier(*probs: float, **more: Any) -> Classifier:
    return Classifier(FakeEngine(lambda batch: (np.float32([probs] * len(batch)),)), card("classify", **more))


def test_the_probabilities_of_classifiers_are_averaged() -> None:
    both = ClassifierEnsemble([classifier(0.8, 0.2), classifier(0.4, 0.6, name="other")])
    assert both(IMAGE).probs == pytest.approx([0.6, 0.4])
    assert both.batch([IMAGE, IMAGE])[1].probs == pytest.approx([0.6, 0.4])
    assert both.name == "mine,other"
    with pytest.raises(ModelError, match=r"same classes in the same order.*'mine' has 2 .*'other' has 3"):
        ClassifierEnsemble([classifier(0.8, 0.2), classifier(0.1, 0.2, 0.7, name="other", names=("a", "b", "c"))])


def detector(rows: list[list[float]], names: tuple[str, ...], **more: Any) -> Detector:
    """It finds rows of box in the 32x32 of its input, score, label."""
    table = np.float32(rows)

    def run(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        return table[None, :, :4], table[None, :, 4], table[None, :, 5].astype(int)

    from vision.card import Boxes

    return Detector(FakeEngine(run), card("detect", names=names, boxes=Boxes("rows", 1.0), **more))


def test_detectors_are_judged_by_the_classes_that_they_know() -> None:
    one = detector([[0, 0, 16, 16, 0.9, 0], [16, 16, 32, 32, 0.7, 1]], ("aeroplane", "cat"))
    other = detector([[0, 0, 16, 16, 0.5, 1], [0, 16, 16, 32, 0.6, 0]], ("zebra", "airplane"), min_score=0.35)
    both = DetectorEnsemble([one, other])
    found = both(IMAGE)
    assert both.names == ("aeroplane", "cat", "zebra")
    assert both.card.min_score == pytest.approx(0.3)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.scores.tolist() == pytest.approx([0.7, 0.7, 0.6])        # a cat is nothing that the other could see
    assert found.boxes[0].tolist() == [0, 0, 40, 30]
    assert both(IMAGE, classes=["zebra"]).scores.tolist() == pytest.approx([0.6])
    kept = both(IMAGE, min_score=0.65, weak=0.1)
    assert (len(kept), len(kept.weak)) == (2, 1)
    assert both(IMAGE, max_detections=1).labels.tolist() == [0]


def test_members_that_disagree_leave_one_box_where_classes_do_not_count() -> None:
    car, truck = (detector([[0, 0, 16, 16, score, 0]], (name,)) for name, score in (("car", 0.9), ("truck", 0.8)))
    both = DetectorEnsemble([car, truck])
    assert both(IMAGE).labels.tolist() == [0, 1]
    assert both(IMAGE, agnostic=True).labels.tolist() == [0]
    assert both(IMAGE, agnostic=True, max_detections=2).scores.tolist() == pytest.approx([0.9])


def test_a_class_is_asked_for_once_however_often_it_is_named() -> None:
    one = detector([[0, 0, 16, 16, 0.9, 0], [16, 16, 32, 32, 0.7, 1]], ("car", "cat"))
    for model in (one, DetectorEnsemble([one, one])):
        for classes in (("car", "car"), ("car", "Car"), ("car",)):
            assert model(IMAGE, classes=classes).scores.tolist() == pytest.approx([0.9])
        assert model(IMAGE, classes=("cat", "car", "cat")).labels.tolist() == [0, 1]
        assert len(model(IMAGE, classes=())) == 0
        assert len(model(IMAGE, classes=(), weak=0.1).weak) == 0


def segmenter(left: float, size_wh: tuple[int, int]) -> Segmenter:
    """It is `left` sure of class 0 in every pixel."""
    def run(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        shares = np.float32([left, 1 - left]).reshape(1, 2, 1, 1)
        return (np.tile(shares, (len(batch), 1, *batch.shape[1:3])),)

    return Segmenter(FakeEngine(run), card("segment", input=CardInput(size_wh, "stretch", fixed=True)))


def test_the_probabilities_of_segmenters_are_averaged() -> None:
    two_to_one = SegmenterEnsemble([segmenter(0.9, (32, 32)), segmenter(0.3, (64, 32)), segmenter(0.4, (32, 32))])
    labels = two_to_one(IMAGE).labels
    assert labels.shape == (60, 80)
    assert (labels == 0).all()                                            # by votes it were 1
    with pytest.raises(UsageError, match="as a whole"):
        two_to_one(IMAGE, tiled=True)


def test_names_of_an_ensemble(tmp_path: Path) -> None:
    assert zoo.members("a, b,c") == ("a", "b", "c")
    assert zoo.members("gfl-voc") == ()
    (tmp_path / "a,b.onnx").write_bytes(b"")
    assert zoo.members(str(tmp_path / "a,b.onnx")) == ()
    with pytest.raises(ModelError, match="commas between"):
        zoo.members("a,,b")
    with pytest.raises(ModelError, match="no model 'gone'"):
        Classifier.load("mobilenet-v2,gone")


def test_other_tasks_take_one_model() -> None:
    from vision.tasks.instances import InstanceSegmenter

    with pytest.raises(ModelError, match="instances takes one model"):
        InstanceSegmenter.load("nanodet-g-masks,nanodet-g-masks")


@pytest.mark.slow
def test_detectors_that_ship_answer_as_one(tmp_path: Path) -> None:
    from importlib.resources import files

    from vision import Run, read

    picture = tmp_path / "cat.png"
    cv2.imwrite(str(picture), cv2.imread(str(files("skimage") / "data" / "chelsea.png")))
    with Run(read(str(picture)), [Detect(model="gfl-voc,gfl-voc-int8")]) as run:
        (item,) = list(run)
    found = item["detect"]
    assert {item.names("detect")[label] for label in found.labels} == {"cat"}
    assert item.record["detect"]["model"] == "gfl-voc,gfl-voc-int8"
    alone = Detector.load("gfl-voc-int8")(item.frame.image)
    assert iou(found.boxes[:1], alone.boxes).max() > 0.9


@pytest.mark.slow
def test_a_model_of_masks_is_a_member_by_its_boxes() -> None:
    """Its boxes are those that its masks have, and what only one of the two knows is found still."""
    from importlib.resources import files

    from vision.tasks.instances import InstanceSegmenter

    image = cv2.imread(str(files("skimage") / "data" / "chelsea.png"))
    with InstanceSegmenter.load("nanodet-g-masks") as masks, Detector.load("nanodet-g-masks") as boxes:
        np.testing.assert_array_equal(boxes(image, min_score=0.1).boxes, masks(image, min_score=0.1).boxes)
    with Detector.load("gfl-voc,nanodet-g-masks") as both:
        assert len(both.names) == 80                      # VOC's twenty are among COCO's
        found = both(image, min_score=0.2)
        assert both.names[found.labels[0]] == "cat"
        alone = np.concatenate([Detector.load(name)(image, min_score=0.2).boxes for name in both.name.split(",")])
        assert iou(found.boxes[:1], alone).max() > 0.8


@pytest.mark.slow
def test_segmenters_that_ship_answer_as_one() -> None:
    names = "fpn-lite0-camvid,fcn8s-mobilenetv2-camvid"
    with Segmenter.load(names, backend="torch") as both:
        assert isinstance(both, SegmenterEnsemble)
        assert both.card.use == "research"
        image = cv2.resize(IMAGE, (240, 180))
        mixed = both(image).labels
    singles = []
    for name in names.split(","):
        with Segmenter.load(name, backend="torch") as one:
            singles.append(one(image).labels)
    agreed = singles[0] == singles[1]
    assert agreed.mean() > 0.2
    assert (mixed == singles[0])[agreed].mean() > 0.97                    # where both say the same, so do both together

"""People's masks from boxes and what stands out in them, with networks that are functions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vision import FakeEngine, Frame, Instances, Run, SegmentInstances
from vision.card import Boxes, Card, Input
from vision.cli import app
from vision.errors import ModelError, UsageError
from vision.people.outlines import PersonSegmenter, apart
from vision.people.person import PersonMask
from vision.tasks.detect import Detector

CARD = Card(name="two", task="detect", file="", licence="", source="", names=("dog", "person"), min_score=0.5,
            input=Input((128, 64), "letterbox", fixed=True), boxes=Boxes("dense", 0.5))
MASK = Card(name="bright", task="person", file="", licence="", source="", input=Input((64, 64), "stretch"))


def segmenter(*boxes: tuple[float, float, float, float], dog: bool = False) -> PersonSegmenter:
    """Finds people, and maybe a dog in the first box; what is bright stands out."""
    scores = np.array([[0, 0.9 - 0.1 * i] for i in range(len(boxes))], np.float32)
    if dog:
        scores[0] = [0.9, 0]
    found = np.array(boxes, np.float32).reshape(-1, 4)
    detector = Detector(FakeEngine(lambda batch: (found[None], scores.reshape(1, -1, 2))), CARD)
    bright = FakeEngine(lambda batch: (np.float32(batch[..., 0] > 127),))
    return PersonSegmenter(detector, PersonMask(bright, MASK))


def _discs(*middles: tuple[int, int], radius: int = 12) -> np.ndarray:
    picture = np.zeros((64, 128, 3), np.uint8)
    ys, xs = np.mgrid[:64, :128] + 0.5
    for x, y in middles:
        picture[(xs - x) ** 2 + (ys - y) ** 2 < radius**2] = 255
    return picture


def test_what_stands_out_in_a_box_is_the_mask() -> None:
    found = segmenter((18, 18, 46, 46), (80, 18, 110, 46))(_discs((32, 32), (94, 32)))
    assert isinstance(found, Instances)
    assert found.labels.tolist() == [0, 0]
    np.testing.assert_allclose(found.area, np.pi * 12**2, rtol=0.06)
    assert not (found.paste(0) & found.paste(1)).any()


def test_a_point_of_two_is_of_the_nearer_middle() -> None:
    one, other = (10, 10, 50, 54), (30, 10, 90, 54)                # both are bright all over
    found = segmenter(one, other)(np.full((64, 128, 3), 255, np.uint8))
    first, second = found.paste(0), found.paste(1)
    assert (first & second).sum() <= 44                            # a column on the border
    assert (first | second).sum() >= 80 * 44 - 44
    # on the middle row: |x - 30| / 40 = |x - 60| / 60 at x = 42
    assert abs(int(first[32].sum()) - 32) <= 1
    assert abs(int(second[32].sum()) - 48) <= 1


def test_a_faint_box_takes_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 10, 10]], np.float32)
    full = np.ones((2, 10, 10), np.float32)
    for faint, left in ((0.6, 60), (0.3, 100)):                    # |x - 5| / 10 = |x - 7| / 6 at x = 5.75
        assert apart(full, boxes, np.array([0.9, faint]))[0].sum() == left


def test_masks_that_do_not_touch_stay_as_they_are() -> None:
    masks = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [50, 50, 60, 60]], np.float32)
    np.testing.assert_array_equal(apart(masks, boxes, np.ones(3)), masks)
    assert apart(masks[:0], boxes[:0], np.ones(0)).shape == (0, 8, 8)


def test_dogs_have_no_masks_and_nobody_is_no_rows() -> None:
    picture = _discs((32, 32))
    assert len(segmenter((18, 18, 46, 46), dog=True)(picture)) == 0
    assert segmenter()(picture).masks.shape == (0, 64, 64)
    assert len(segmenter((18, 18, 46, 46))(picture, classes=["person"])) == 1
    with pytest.raises(UsageError, match="no class 'dog'"):
        segmenter()(picture, classes=["dog"])
    with pytest.raises(ModelError, match="does not know people"):
        PersonSegmenter(Detector(FakeEngine(lambda batch: ()), replace(CARD, names=("dog",))), segmenter().people)


def test_a_step_takes_it_for_a_model() -> None:
    model = segmenter((18, 18, 46, 46))
    with Run([Frame(_discs((32, 32)), 0, 0.0)], SegmentInstances(model)) as run:
        found = [item["instances"] for item in run]
    np.testing.assert_allclose(found[0].area, np.pi * 12**2, rtol=0.06)


def test_the_shipped_networks_find_a_person() -> None:
    data = pytest.importorskip("skimage.data")
    image = np.ascontiguousarray(data.astronaut()[..., ::-1])
    with PersonSegmenter.load(precision="fp32") as model:
        found = model(image)
    assert len(found) == 1
    mask = found.paste(0)
    assert mask[120, 220]                                          # her face
    assert not mask[60, 400]                                       # the shuttle behind her
    assert 0.25 < mask.mean() < 0.6


def test_the_command_outlines_people(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    cv2.imwrite(str(tmp_path / "7.png"), np.ascontiguousarray(data.astronaut()[..., ::-1]))
    wanted = ["--model", "selfie", "--precision", "fp32", "--quiet"]
    outputs = ["--coco", str(tmp_path / "found.json"), "--jsonl", str(tmp_path / "found.jsonl")]
    ran = CliRunner().invoke(app, ["instances", str(tmp_path / "7.png"), *wanted, *outputs])
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads((tmp_path / "found.json").read_text())
    assert json.loads((tmp_path / "found-categories.json").read_text())["categories"] == [{"id": 0, "name": "person"}]
    assert json.loads((tmp_path / "found.jsonl").read_text())["instances"]["model"] == "nanodet-g+selfie"
    truth = {"images": [{"id": 7, "file_name": "7.png", "width": 512, "height": 512}],
             "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "rocket"}],
             "annotations": [{**row, "id": 1, "category_id": 1, "iscrowd": 0},
                             {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9]}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    ran = CliRunner().invoke(app, ["eval", "instances", "--data", str(tmp_path / "truth.json"), *wanted])
    assert ran.exit_code == 0, ran.output
    assert "that the model does not know, left out: rocket" in ran.output
    assert "objects without a mask that can be used, not judged: 1" in ran.output
    assert "masks    AP 1.0000" in ran.output
    for bare in ({}, {"width": 0, "height": 0}, {"width": None, "height": None}):        # as some tools write it
        truth["images"] = [{"id": 7, "file_name": "7.png", **bare}]
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        again = CliRunner().invoke(app, ["eval", "instances", "--data", str(tmp_path / "truth.json"), *wanted])
        assert again.output == ran.output

"""`vision instances`: every output of one run, read back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco
from record_schema import check_record

import vision
from vision import (
    Cutouts,
    Detect,
    Detector,
    FakeEngine,
    InstanceMaps,
    InstanceSegmenter,
    JsonLines,
    Run,
    SegmentInstances,
    Spec,
    Track,
    read,
)
from vision.card import Boxes, Card, Input
from vision.errors import UsageError
from vision.masks import filled
from vision.sinks import CocoResults
from vision.steps.plan import plan_of

CARD = Card(name="fake", task="instances", file="", licence="", source="", names=("disc", "bar"),
            input=Input((64, 64), "letterbox", fixed=True), boxes=Boxes("mask_rows", 1.0), min_score=0.5)


def _model() -> InstanceSegmenter:
    """A ring that fills its box, and a bar over the right of it; each on its own grid of 28."""
    ring = np.zeros((28, 28), np.uint8)
    cv2.circle(ring, (14, 14), 13, 1, -1)
    cv2.circle(ring, (14, 14), 6, 0, -1)
    masks = np.stack([ring, np.ones((28, 28), np.uint8)]).astype(np.float32)
    boxes = np.array([[8, 8, 56, 56], [40, 0, 48, 64]], np.float32)
    return InstanceSegmenter(FakeEngine(lambda batch: (
        boxes[None], np.array([[0.9, 0.8]], np.float32), np.array([[0, 1]]), masks[None])), CARD)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "000000000042.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8))
    return path


def test_every_output_has_the_same_pixels(picture: Path, tmp_path: Path) -> None:
    sinks = [JsonLines(tmp_path / "r.jsonl"), CocoResults(tmp_path / "r.json"), Cutouts(tmp_path / "cut"),
             InstanceMaps(tmp_path / "maps")]
    with Run(read(str(picture)), [SegmentInstances(_model())], sinks=sinks) as run:
        found = next(iter(run))["instances"]
        assert not list(run)
    record = json.loads((tmp_path / "r.jsonl").read_text())
    check_record(record)
    results = json.loads((tmp_path / "r.json").read_text())
    numbers = cv2.imread(str(tmp_path / "maps" / "000000000042.png"), cv2.IMREAD_UNCHANGED)
    assert numbers.dtype == np.uint16
    original = cv2.imread(str(picture))
    for i, name in enumerate(("disc", "bar")):
        whole = found.paste(i)
        np.testing.assert_array_equal(coco.decode(record["instances"]["objects"][i]["mask"]).astype(bool), whole)
        np.testing.assert_array_equal(coco.decode(results[i]["segmentation"]).astype(bool), whole)
        better = found.paste(0) if i else np.zeros_like(whole)
        np.testing.assert_array_equal(numbers == i + 1, whole & ~better)
        cut = cv2.imread(str(tmp_path / "cut" / f"000000000042-{i + 1}-{name}.png"), cv2.IMREAD_UNCHANGED)
        (left, top), mask = found.crop(i)
        np.testing.assert_array_equal(cut[..., 3] > 0, mask)
        np.testing.assert_array_equal(cut[..., :3], original[top: top + len(mask), left: left + mask.shape[1]])
    assert results[0]["image_id"] == 42


def test_tracks_of_instances_go_to_coco_with_their_masks(tmp_path: Path) -> None:
    frames = [vision.Frame(np.zeros((128, 128, 3), np.uint8), i, i / 10, "clip.mp4") for i in range(4)]
    plan = [SegmentInstances(_model()), Track(on="instances")]
    with Run(frames, plan, sinks=[CocoResults(tmp_path / "t.json")]) as run:
        items = list(run)
    rows = json.loads((tmp_path / "t.json").read_text())
    last = [row for row in rows if row["image_id"] == 3]
    assert sorted(row["track_id"] for row in last) == sorted(items[-1]["track"].ids.tolist()) != []
    for row in last:
        which = items[-1]["track"].ids.tolist().index(row["track_id"])
        seen = items[-1]["instances"].paste(int(items[-1]["track"].rows[which]))
        np.testing.assert_array_equal(coco.decode(row["segmentation"]).astype(bool), seen)


def test_outlines_in_records_have_the_hole(picture: Path, tmp_path: Path) -> None:
    with Run(read(str(picture)), [SegmentInstances(_model(), polygons=True)],
             sinks=[JsonLines(tmp_path / "r.jsonl")]) as run:
        found = next(iter(run))["instances"]
        run.finish()
    record = json.loads((tmp_path / "r.jsonl").read_text())
    check_record(record)
    parts = record["instances"]["objects"][0]["mask"]["polygons"]
    assert [len(part) for part in parts] == [2]
    np.testing.assert_array_equal(filled(parts[0], (128, 128)), found.paste(0))


@pytest.mark.parametrize("background", ["blur", "#102030", "picture"])
def test_the_background_changes_and_the_objects_stay(background: str, picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), np.full((20, 30, 3), (7, 8, 9), np.uint8))
    spec = SegmentInstances(_model(), background=str(other) if background == "picture" else background)
    with Run(read(str(picture)), [spec]) as run:
        item = next(iter(run))
    objects = item["instances"].paste(0) | item["instances"].paste(1)
    np.testing.assert_array_equal(item.drawn[objects], item.frame.image[objects])
    behind = {"#102030": (0x30, 0x20, 0x10), "picture": (7, 8, 9)}.get(background)
    if behind is not None:
        assert (item.drawn[~objects] == behind).all()
    else:
        assert item.drawn[~objects].std() < 0.6 * item.frame.image[~objects].std()


@pytest.mark.parametrize("first", ["detect", "instances"])
def test_a_background_lies_behind_all_that_is_drawn(first: str) -> None:
    """Also where a tracker draws the objects, and whichever step comes first."""
    detect = Detect(Detector.from_function(lambda image: ([[100, 100, 120, 120]], [0.9], [0]), names=("box",)))
    plan: list[Spec] = [detect, SegmentInstances(_model(), background="#ff0000"), Track(on="instances")]
    plan = plan if first == "detect" else [plan[1], plan[2], plan[0]]
    with Run([vision.Frame(np.full((128, 128, 3), 60, np.uint8), 0, 0.0, "clip.mp4")], plan) as run:
        drawn = next(iter(run)).drawn
    assert [drawn[corner].tolist() for corner in ((0, 0), (127, 127))] == [[0, 0, 255]] * 2
    assert drawn[110, 100].tolist() not in ([0, 0, 255], [60, 60, 60])               # the box's left side


def test_a_background_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="blur, a colour"):
        SegmentInstances(background="nothing.png").check()


def test_tracks_colour_the_masks_of_what_they_saw(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(4):
        cv2.imwrite(str(frames / f"{i}.png"), np.full((128, 128, 3), 60, np.uint8))
    with Run(read(str(frames), rate=10), [SegmentInstances(_model()), Track(on="instances")]) as run:
        items = list(run)
    tracks, found = items[-1]["track"], items[-1]["instances"]
    assert sorted(found.of(tracks).values()) == [0, 1]
    shades = {tuple(items[-1].drawn[64, 30].tolist()), tuple(items[-1].drawn[70, 88].tolist())}
    assert len(shades) == 2
    assert (60, 60, 60) not in shades


def test_a_tracker_takes_the_boxes_of_instances_where_there_are_no_others() -> None:
    assert [(one.key, getattr(one, "on", None)) for one in plan_of(["instances", "track"])] == [
        ("instances", None), ("track", "instances")]
    assert [one.key for one in plan_of(["detect", "instances", "track"])] == ["detect", "instances", "track"]
    assert plan_of(["detect", "instances", "track"])[2].on == "detect"
    assert [one.key for one in plan_of(["track", "instances"])] == ["detect", "track", "instances"]

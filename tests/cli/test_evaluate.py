"""`vision eval`: the figures of a fake model on pictures made here, and of the shipped ones on real data."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.train.labelled import NAMES, write_coco, write_voc, write_yolo
from vision.card import Input
from vision.cli import eval as evaluate
from vision.data.detection import read_detection
from vision.data.truth import Truth
from vision.engine import FakeEngine
from vision.errors import DataError, MissingExtra, SinkError, SourceError, UsageError
from vision.people.identity import FaceEmbedder
from vision.people.landmarks import FaceLandmarker
from vision.tasks.classify import Classifier
from vision.tasks.detect import Detector
from vision.zoo import CARDS

app = typer.Typer()
evaluate.register(app)


@app.command()
def other() -> None:
    """A second command, so that `eval` stays a group of its own."""


def run(*arguments: object, fails: type[Exception] | None = None) -> str:
    """What `vision eval ...` prints on standard output."""
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    if fails is not None:
        assert isinstance(result.exception, fails)
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.stdout


def white_part(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """A detector of white rectangles: one box a picture, class 1, score 0.8."""
    boxes = []
    for image in batch:
        ys, xs = np.nonzero(image[..., 0] > 128)
        boxes.append([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]])
    scores = np.tile(np.float32([0, 0.8]), (len(batch), 1, 1))
    return np.float32(boxes), scores


@pytest.fixture
def rectangles(tmp_path: Path) -> Path:
    """Three pictures of 200x100 with a white rectangle each; the last one's label is elsewhere."""
    (tmp_path / "images").mkdir()
    boxes = [[20, 30, 60, 40], [100, 10, 50, 80], [0, 0, 30, 30]]
    for i, (x, y, w, h) in enumerate(boxes):
        image = np.zeros((100, 200, 3), np.uint8)
        image[y : y + h, x : x + w] = 255
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
    boxes[2] = [120, 50, 30, 30]
    data = {
        "images": [{"id": 10 + i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [{"image_id": 10 + i, "category_id": 7, "bbox": box} for i, box in enumerate(boxes)],
        "categories": [{"id": 7, "name": "box"}, {"id": 8, "name": "circle"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(data))
    return tmp_path


def test_detection_figures_of_a_known_case(rectangles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(
        CARDS["gfl-voc"], name="white", names=("nothing", "box"), input=Input((200, 100), "stretch")
    )
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(white_part), card))
    report, shown = rectangles / "report.json", rectangles / "page.html"
    printed = run("detect", "--data", rectangles / "truth.json", "--report", report, "--html", shown)
    assert "2.png: 1.80 faults" in shown.read_text()         # one missed, one at 0.8 on nothing
    assert "white (fake) on" in printed
    assert "3 pictures, 3 objects" in printed
    assert "left out: circle" in printed
    # two of three found at the same score, among one wrong: precision 2/3 up to a recall of 2/3
    assert 0.3 < json.loads(report.read_text())["ap"] < 0.7
    assert re.search(r"box +AP 0\.\d{4}  AP50 0\.\d{4}", printed)
    (rectangles / "images" / "1.png").unlink()
    assert "1.png" in run("detect", "--data", rectangles / "truth.json", fails=SourceError)
    assert "none.json' cannot be read" in run("detect", "--data", rectangles / "none.json", fails=DataError)


def test_what_average_precision_needs_is_asked_for_before_pictures_are_looked_at(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    monkeypatch.setattr(Detector, "load", lambda *args: pytest.fail("a model was loaded"))
    told = run("detect", "--data", rectangles / "truth.json", fails=MissingExtra)
    assert told.startswith("average precision needs the package 'faster-coco-eval'")


def test_faces_are_found_where_the_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ann").mkdir()
    cv2.imwrite(str(tmp_path / "ann/1.png"), np.zeros((30, 40, 3), np.uint8))

    def asked(*how: str) -> None:
        raise DataError(" ".join(how))

    monkeypatch.setattr(FaceEmbedder, "load", lambda *how: None)
    monkeypatch.setattr(FaceLandmarker, "load", asked)
    where = ("--device", "cpu", "--precision", "fp32", "--backend", "onnxruntime")
    assert run("identity", "--data", tmp_path, *where, fails=DataError) == "default cpu fp32 onnxruntime"


@pytest.mark.parametrize(("file", "folder"), [
    ("val.json", "val"), ("val.json", "."), ("val.json", "images/val"), ("annotations/val.json", "val"),
    ("annotations/instances_val.json", "images"),
])
def test_the_pictures_of_an_annotation_file_are_found_where_training_finds_them(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch, file: str, folder: str
) -> None:
    card = replace(
        CARDS["gfl-voc"], name="white", names=("nothing", "box"), input=Input((200, 100), "stretch")
    )
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(white_part), card))
    data, pictures = rectangles / "det" / file, rectangles / "det" / folder
    data.parent.mkdir(parents=True)
    (rectangles / "truth.json").rename(data)
    told = run("detect", "--data", data, fails=DataError)
    assert "looked for '0.png' in " in told
    assert "Name their folder: --images FOLDER" in told
    assert "3 pictures, 3 objects" in run("detect", "--data", data, "--images", rectangles / "images")
    pictures.mkdir(parents=True, exist_ok=True)
    for picture in (rectangles / "images").iterdir():
        picture.rename(pictures / picture.name)
    assert "3 pictures, 3 objects" in run("detect", "--data", data)


@pytest.mark.parametrize("write", [write_coco, write_yolo, write_voc])
def test_detection_is_judged_on_data_as_people_have_it(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the three objects of `val`, a dog, is found where it is, one dog where it is not."""
    def two_dogs(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        scores = np.tile(np.float32([[0, 0.9, 0], [0, 0.8, 0]]), (len(batch), 1, 1))
        return np.tile(np.float32([[10, 10, 20, 30], [50, 0, 70, 9]]), (len(batch), 1, 1)), scores

    card = replace(CARDS["gfl-voc"], name="dogs", names=NAMES, input=Input((80, 40), "stretch"))
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(two_dogs), card))
    data, shown = write(tmp_path / "data"), tmp_path / "page.html"
    printed = run("detect", "--data", data, "--html", shown)
    assert "1 picture, 3 objects\n" in printed
    # of two dogs one is found, by the best box: 51 of the 101 steps of recall; the cat is missed
    assert re.search(r"dog +AP 0\.5050  AP50 0\.5050", printed)
    assert re.search(r"cat +AP 0\.0000  AP50 0\.0000", printed)
    assert "d.png: " in shown.read_text()
    missing = run("detect", "--data", data, "--split", "test", fails=DataError)
    assert re.search("has no (split )?'test'", missing)


def test_classification_figures_of_a_known_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, grey in (("a", 20), ("b", 220), ("c", 230)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((30, 40, 3), grey, np.uint8))
    (tmp_path / "labels.csv").write_text("file,label\na.png,dark\nb.png,light\nc.png,dark\nd.png,dark\n")

    def brightness(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        light = batch.mean(axis=(1, 2, 3)) / 255
        return (np.stack([1 - light, light], axis=1).astype(np.float32),)

    card = replace(CARDS["mobilenet-v2"], name="lamp", names=("dark", "light"), input=Input((8, 8), "crop"))
    monkeypatch.setattr(Classifier, "load", lambda *args: Classifier(FakeEngine(brightness), card))
    monkeypatch.setitem(CARDS, "lamp", card)
    printed = run("classify", "--data", tmp_path / "labels.csv", "--model", "lamp")
    assert "3 pictures\nrows without a file, left out: 1\n" in printed
    assert "top-1 0.6667\n" in printed                                    # of two classes the five best are all
    for name, label in (("a", "dark"), ("b", "light"), ("c", "dark")):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.png").rename(tmp_path / "set" / label / f"{name}.png")
    printed = run("classify", "--data", tmp_path / "set", "--model", "lamp")
    assert "3 pictures\ntop-1 0.6667\n" in printed
    report, shown = tmp_path / "report.json", tmp_path / "page.html"
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    run("classify", "--data", tmp_path / "set", "--model", "lamp", "--report", report)
    assert json.loads(report.read_text())["top1"] == pytest.approx(2 / 3)
    monkeypatch.setattr(Classifier, "load", lambda *args: pytest.fail("a model was loaded"))
    told = run("classify", "--data", tmp_path / "set", "--model", "lamp", "--html", shown, fails=MissingExtra)
    assert told.startswith("the page needs the package 'torchmetrics'")
    monkeypatch.setitem(CARDS, "lamp", replace(card, config={"multilabel": True}))
    told = run("classify", "--data", tmp_path / "labels.csv", "--model", "lamp", fails=MissingExtra)
    assert told.startswith("the mean average precision needs the package 'torchmetrics'")


def test_names_of_voc_measure_a_model_of_coco_and_the_other_way(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All six that the two call otherwise; and what is called by neither is left out."""
    voc = ("aeroplane", "diningtable", "motorbike", "pottedplant", "sofa", "tvmonitor", "Person", "box")
    coco = ("airplane", "dining table", "motorcycle", "potted plant", "couch", "tv", "person", "crate")
    data = json.loads((rectangles / "truth.json").read_text())
    for theirs, ours in ((voc, coco), (coco, voc)):
        truth = Truth([], [], [{"id": 40 + i, "name": name} for i, name in enumerate(theirs)])
        kept, category_of, unknown = truth.restricted(ours)
        assert category_of == {i: 40 + i for i in range(7)}
        assert unknown == [theirs[7]]
        assert kept.names == list(theirs[:7])
    both = Truth([], [], [{"id": 1, "name": "sofa"}, {"id": 2, "name": "couch"}])      # a set that has both
    assert both.restricted(("couch", "sofa"))[1] == {0: 2, 1: 1}
    data["categories"] = [{"id": 7, "name": "sofa"}]
    (rectangles / "truth.json").write_text(json.dumps(data))
    card = replace(CARDS["gfl-voc"], name="white", names=("nothing", "couch"), input=Input((200, 100), "stretch"))
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(white_part), card))
    printed = run("detect", "--data", rectangles / "truth.json")
    assert re.search(r"sofa +AP 0\.[3-7]\d{3}", printed)
    assert "left out" not in printed
    data["annotations"][1]["difficult"] = 1
    (rectangles / "truth.json").write_text(json.dumps(data))
    assert "3 pictures, 2 objects and 1 difficult or crowded, not judged" in run(
        "detect", "--data", rectangles / "truth.json")


def test_labels_of_larger_pictures_are_told(rectangles: Path) -> None:
    data = json.loads((rectangles / "truth.json").read_text())
    data["images"][0] |= {"width": 100, "height": 200}                    # lies on its side: some tools write it so
    data["images"][1] |= {"width": 400, "height": 200}
    (rectangles / "truth.json").write_text(json.dumps(data))
    told = run("detect", "--data", rectangles / "truth.json", fails=DataError)
    assert told.startswith("'1.png' has 200x100 pixels, and its labels are for 400x200")


def test_two_sequences_of_one_name_are_told(tmp_path: Path) -> None:
    for parent in "ab":
        folder = tmp_path / parent / "seq"
        (folder / "gt").mkdir(parents=True)
        (folder / "det").mkdir()
        facts = ("name=seq", "frameRate=10", "seqLength=2", "imWidth=64", "imHeight=48")
        (folder / "seqinfo.ini").write_text("\n".join(("[Sequence]", *facts)))
        for kind in ("gt", "det"):
            (folder / kind / f"{kind}.txt").write_text("1,1,2,2,10,10,1,-1,-1,-1\n")
    told = run("track", tmp_path / "a" / "seq", tmp_path / "b" / "seq", fails=UsageError)
    assert told.startswith("two sequences are called 'seq'")


def test_sizes_are_those_of_the_data_however_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of a large box and a small mask is small for the file and for the folder that it lies in."""
    data = write_coco(tmp_path / "data")
    content = json.loads((data / "val.json").read_text())
    for n, annotation in enumerate(content["annotations"]):
        annotation["area"] = (100, 2000, 0)[n % 3]                        # 0: some tools write it; then the box's
    (data / "val.json").write_text(json.dumps(content))
    one, other = Truth.load(data / "val.json"), read_detection(data, "val").truth()
    sizes = [[round(a["area"]) for a in truth.annotations] for truth in (one, other)]
    assert sizes[0] == sizes[1]
    assert sizes[0][:2] == [100, 2000]
    assert sizes[0][2] > 0


def test_reports_are_checked_before_the_work_and_written_whole(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*arguments: object) -> None:
        raise AssertionError("nothing is loaded before a report can be written")

    monkeypatch.setattr(Detector, "load", loaded)
    for option in ("--html", "--report"):
        told = run("detect", "--data", rectangles / "truth.json", option, rectangles / "none" / "x", fails=SinkError)
        assert "cannot be written" in told


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(("model", "labels", "precision", "ap", "ap50"), [
    ("default", "coco_instances", "fp32", 0.2961, 0.4634), ("default", "coco_instances", "int8", 0.2968, 0.4558),
    ("gfl-voc", "voc2007", "fp32", 0.4311, 0.6855), ("gfl-voc", "voc2007", "int8", 0.4227, 0.6738),
])
def test_the_shipped_detector_has_the_accuracy_that_its_readme_states(
    data: Path, tmp_path: Path, model: str, labels: str, precision: str, ap: float, ap50: float
) -> None:
    report = tmp_path / "report.json"
    run("detect", "--data", data / labels / "val.json", "--model", model, "--precision", precision, "--report", report)
    figures = json.loads(report.read_text())
    assert figures["engine"].endswith(precision)
    assert figures["ap"] == pytest.approx(ap, abs=0.005)
    assert figures["ap50"] == pytest.approx(ap50, abs=0.005)

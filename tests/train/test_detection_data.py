"""Labelled pictures in three layouts: the same boxes, and everything that is wrong named and counted."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pil

from vision.card import name_list
from vision.data.detection import DetectionData, read_detection
from vision.data.layouts import Problem
from vision.data.truth import Truth
from vision.errors import DataError
from vision.metrics.detection import average_precision

from .labelled import NAMES, SPLITS, Thing, voc_xml, write_coco, write_voc, write_yolo

WRITERS = (write_coco, write_yolo, write_voc)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A JSON file after `change`."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def counts(data: DetectionData) -> dict[Problem, int]:
    return {kind: len(places) for kind, places in data.problems.items()}


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_pictures_in_every_layout(write: Callable[[Path], Path], tmp_path: Path) -> None:
    root = write(tmp_path)
    for split, pictures in SPLITS.items():
        data = read_detection(root, split, NAMES)
        assert data.names == NAMES
        assert [p.path.stem for p in data.pictures] == list(pictures)
        for found, (size_wh, things) in zip(data.pictures, pictures.values(), strict=True):
            assert found.size_wh == size_wh
            assert found.boxes.dtype == np.float32
            np.testing.assert_allclose(found.boxes, np.reshape([t.box for t in things], (-1, 4)), atol=1e-3)
            assert found.labels.tolist() == [t.label for t in things]
            marked = [t.difficult and write is not write_yolo for t in things]
            assert found.difficult.tolist() == marked
            assert not found.crowd.any()
        assert counts(data) == ({Problem.UNLABELLED: 1} if split == "train" else {})


def test_what_is_wrong_in_a_coco_file_is_counted(tmp_path: Path) -> None:
    root = write_coco(tmp_path)

    def spoil(content: dict[str, Any]) -> None:
        def box(image: int, category: int, *bbox: Any) -> dict[str, Any]:
            return {"image_id": image, "category_id": category, "bbox": list(bbox)}

        content["annotations"] += [
            box(7, 10, -5, 10, 20, 10),                                  # reaches outside, to the left
            box(7, 10, 60, 40, 10, 20),                                  # and at the other corner
            box(7, 10, 60.3, 0, 4, 4),                                   # by a rounding: no problem
            box(7, 10, 100, 100, 5, 5), box(7, 10, 0, 0, 0, 5), box(7, 10, 3, 3, 4, -2),
            box(7, 10, 0, 0, float("nan"), 5),                           # NaN, which Python's JSON knows
            box(7, 99, 0, 0, 5, 5), box(55, 10, 0, 0, 5, 5), box(8, 10, 0, 0, 5), box(8, 10, "x", 0, 1, 2),
            {"image_id": 8, "category_id": 10}, {**box(8, 10, 0, 0, 30, 30), "iscrowd": 1},
        ]
        content["images"] += [
            {"id": 100 + i, "file_name": name, "width": 64, "height": 48}
            for i, name in enumerate(("none.png", "text.png", "b.png"))
        ]

    changed(root / "train.json", spoil)
    (root / "images" / "text.png").write_text("no picture")
    data = read_detection(root, "train")
    assert counts(data) == {
        Problem.OUTSIDE: 2, Problem.BEYOND: 1, Problem.NO_AREA: 2, Problem.UNKNOWN: 1, Problem.STRAY: 1,
        Problem.UNREADABLE_ROW: 4, Problem.UNLABELLED: 1, Problem.MISSING: 1, Problem.BROKEN: 1,
        Problem.OTHER_SIZE: 1,
    }
    first = data.pictures[0]
    assert first.boxes[2:].tolist() == [[0, 10, 15, 20], [60, 40, 64, 48], [pytest.approx(60.3), 0, 64, 4]]
    assert data.pictures[1].crowd.tolist() == [False, True]
    assert data.problems[Problem.OTHER_SIZE] == ["b.png, 40x60 for 64x48"]
    assert "boxes of an unknown class, dropped: 1 (first: a.png, box 8 of category 99)" in data.summary()


def test_what_is_wrong_in_a_yolo_folder_is_counted(tmp_path: Path) -> None:
    root = write_yolo(tmp_path)
    with (root / "labels/train/a.txt").open("a") as labels:
        labels.write("0 0.05 0.5 0.2 0.1\n7 0.5 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n0 0.5 0.5 0.1\n\n0 a b c d\n")
        labels.write("1.5 0.5 0.5 0.1 0.1\n0 2.5 0.5 0.1 0.1\n0 0.5 0.5 nan 0.1\n")
    (root / "images/train/b.png").write_bytes((root / "images/train/b.png").read_bytes()[:20])
    data = read_detection(root, "train")
    assert counts(data) == {
        Problem.OUTSIDE: 1, Problem.UNKNOWN: 1, Problem.NO_AREA: 1, Problem.UNREADABLE_ROW: 4,
        Problem.BEYOND: 1, Problem.BROKEN: 1, Problem.UNLABELLED: 1,
    }
    assert data.problems[Problem.UNREADABLE_ROW][0] == "a.txt, line 6"
    np.testing.assert_allclose(data.pictures[0].boxes[2], [0, 21.6, 9.6, 26.4], atol=1e-4)


def test_what_is_wrong_in_a_voc_folder_is_counted(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    with (root / "ImageSets/Main/train.txt").open("a") as listed:
        listed.write("e  1\n\nf -1\ng\nh\n")                               # as the lists of a class have them
    for stem in "efg":
        cv2.imwrite(str(root / f"JPEGImages/{stem}.jpg"), np.zeros((20, 30, 3), np.uint8))
    (root / "Annotations/e.xml").write_text("<annotation><object>")
    text = voc_xml((30, 20), [Thing(0, (1, 1, 40, 5)), Thing(1, (5, 5, 5, 9))])
    (root / "Annotations/f.xml").write_text(text.replace("<size><width>30", "<size><width>0"))
    (root / "Annotations/g.xml").write_text(text.replace("<ymax>9", "<ymax>?"))
    data = read_detection(root, "train")
    assert counts(data) == {
        Problem.UNLABELLED: 1, Problem.UNREADABLE_LABELS: 2, Problem.OUTSIDE: 1, Problem.NO_AREA: 1,
        Problem.MISSING: 1,
    }
    assert data.problems[Problem.MISSING] == ["h.jpg"]
    assert data.pictures[3].boxes.tolist() == [[1, 1, 30, 5]]
    assert data.names == NAMES


def test_voc_s_names_may_have_odd_spaces_and_flags(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    names = (root / "ImageSets" / "Main" / "train.txt").read_text().split()
    for folder, suffix in (("JPEGImages", "png"), ("Annotations", "xml")):
        (root / folder / f"{names[0]}.{suffix}").rename(root / folder / f"my \u2028{names[0]}.{suffix}")
    lines = [f"my \u2028{names[0]}", f"{names[1]}  1", *names[2:]]
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(lines) + "\n")
    found = read_detection(root, "train")
    assert [picture.path.stem for picture in found.pictures] == [f"my \u2028{names[0]}", *names[1:]]


def test_voc_s_own_classes_keep_their_order_where_some_are_not_there(tmp_path: Path) -> None:
    root = write_voc(tmp_path)
    for path in (root / "Annotations").glob("*.xml"):
        path.write_text(path.read_text().replace("mouse", "person"))
    data = read_detection(root, "train")
    assert data.names == name_list("voc")
    assert [data.names[i] for i in data.pictures[0].labels] == ["cat", "person"]


def test_classes_that_differ_between_splits_are_named(tmp_path: Path) -> None:
    root = write_coco(tmp_path)

    def rename(content: dict[str, Any]) -> None:
        content["categories"][0]["name"] = "rat"

    changed(root / "val.json", rename)
    names = read_detection(root, "train").names
    with pytest.raises(DataError, match=r"'val' .* only here rat; only there mouse"):
        read_detection(root, "val", names)


def test_the_same_classes_in_another_order_get_the_same_labels(tmp_path: Path) -> None:
    root = write_coco(tmp_path)

    def renumber(content: dict[str, Any]) -> None:
        for entry, key in ((c, "id") for c in content["categories"]):
            entry[key] = -entry[key]
        for a in content["annotations"]:
            a["category_id"] = -a["category_id"]

    changed(root / "val.json", renumber)
    assert read_detection(root, "val").names == NAMES[::-1]
    data = read_detection(root, "val", NAMES)
    assert data.names == NAMES
    assert data.pictures[0].labels.tolist() == [t.label for t in SPLITS["val"]["d"][1]]


def test_coco_s_own_folders_and_roboflow_s(tmp_path: Path) -> None:
    made = write_coco(tmp_path / "made")
    own, other = tmp_path / "own", tmp_path / "roboflow"
    for split, stems in (("train", "abc"), ("val", "d")):
        (own / "annotations").mkdir(parents=True, exist_ok=True)
        os.link(made / f"{split}.json", own / "annotations" / f"instances_{split}2017.json")
        beside = other / {"train": "train", "val": "valid"}[split]
        for folder in (own / f"{split}2017", beside):
            folder.mkdir(parents=True)
            for stem in stems:
                os.link(made / "images" / f"{stem}.png", folder / f"{stem}.png")
        os.link(made / f"{split}.json", beside / "_annotations.coco.json")
    for root in (own, other):
        assert [len(p.boxes) for p in read_detection(root, "train").pictures] == [2, 1, 0]
        assert [len(p.boxes) for p in read_detection(root, "val").pictures] == [3]
    os.link(made / "val.json", own / "annotations" / "instances_val2014.json")
    with pytest.raises(DataError, match=r"2 files for val: instances_val2014\.json, instances_val2017\.json"):
        read_detection(own, "val")


@pytest.mark.parametrize("entry", [
    "images/train", "../images/train", "[images/train]", "[images/train/a.png, images/train/b.png]",
    "list.txt", "deep/list.txt",
])
def test_what_data_yaml_may_name(entry: str, tmp_path: Path) -> None:
    root = write_yolo(tmp_path)
    (root / "deep").mkdir()
    (root / "list.txt").write_text("./images/train/a.png\nimages/train/b.png\n")
    (root / "deep/list.txt").write_text(f"../images/train/a.png\n{root}/images/train/b.png\n")
    names = "names:\n  0: cat\n  2: mouse\n  1: dog\n"
    (root / "data.yaml").write_text(f"path: .\ntrain: {entry}\nval: x\n{names}")
    data = read_detection(root, "train")
    assert data.names == NAMES
    assert [p.labels.tolist() for p in data.pictures][:2] == [[0, 2], [1]]
    assert len(read_detection(root / "data.yaml", "train").pictures) == len(data.pictures)


def test_ids_with_gaps_polygons_and_poses(tmp_path: Path) -> None:
    root = write_yolo(tmp_path)
    (root / "labels/train/a.txt").write_text("90 0.25 0.5 0.75 0.25 0.5 1.0\n17 0.5 0.5 0.5 0.5\n")
    (root / "labels/train/b.txt").unlink()
    text = "train: images/train\nval: images/val\nnames: {17: cat, 90: toothbrush}\n"
    (root / "data.yaml").write_text(text)
    data = read_detection(root, "train")
    assert data.names == ("cat", "toothbrush")
    assert data.pictures[0].labels.tolist() == [1, 0]
    assert data.pictures[0].boxes.tolist() == [[16, 12, 48, 48], [16, 12, 48, 36]]
    (root / "data.yaml").write_text(text + "kpt_shape: [1, 2]\n")
    (root / "labels/train/a.txt").write_text("17 0.5 0.5 0.5 0.5 0.1 0.9\n")
    posed = read_detection(root, "train").pictures[0]
    assert posed.boxes.tolist() == [[16, 12, 48, 36]]
    np.testing.assert_allclose(posed.points, [[[6.4, 43.2]]], rtol=1e-6)       # of 64x48 pixels
    (root / "data.yaml").write_text(text + "kpt_shape: [2, 3]\n")
    (root / "labels/train/a.txt").write_text("17 0.5 0.5 0.5 0.5 0.1 0.9 2 0 0 0\n90 0.5 0.5 0.5 0.25\n")
    posed = read_detection(root, "train").pictures[0]
    np.testing.assert_allclose(posed.points, [[[6.4, 43.2], [np.nan] * 2], [[np.nan] * 2] * 2], rtol=1e-6)


def test_labels_lie_beside_pictures_that_are_in_no_images_folder(tmp_path: Path) -> None:
    root = write_yolo(tmp_path)
    (root / "images/train").rename(root / "mine")
    (root / "labels/train/a.txt").rename(root / "mine/a.txt")
    (root / "data.yaml").write_text("train: mine\nval: images/val\nnames: [cat, dog, mouse]\n")
    assert [len(p.boxes) for p in read_detection(root, "train").pictures] == [2, 0, 0]


def test_what_cannot_be_a_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'val'. Looked for val\.json, .*ImageSets/Main/val\.txt"):
        read_detection(tmp_path, "val")
    root = write_coco(tmp_path / "coco")
    changed(root / "train.json", lambda content: content["categories"].clear())
    with pytest.raises(DataError, match="names no class"):
        read_detection(root, "train")
    changed(root / "val.json", lambda content: content["annotations"].clear())
    with pytest.raises(DataError, match=r"1 pictures for 'val' and no box .*: pictures without"):
        read_detection(root, "val")
    for kind, key in (("images", 8), ("categories", 13)):        # one would have got the other's boxes
        root = write_coco(tmp_path / kind)
        changed(root / "train.json", lambda content, kind=kind, key=key: content[kind][0].update(id=key))
        with pytest.raises(DataError, match=f"has 2 {kind} with the id {key}. Give each its own"):
            read_detection(root, "train")
    for text in ("[1]", "{", '{"images": [{"id": 1}], "annotations": [], "categories": []}'):
        (root / "train.json").write_text(text)
        with pytest.raises(DataError, match="is not a COCO annotation file"):
            read_detection(root, "train")
    root = write_coco(tmp_path / "moved")
    (root / "images").rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"are not there: looked for 'a.png' in .*images,"):
        read_detection(root, "train")
    root = write_yolo(tmp_path / "yolo")
    for text, message in (
        ("names: [a]\ntrain: images/train\n", "has no 'val'"), ("names: [a\n", "is not a YOLO data file"),
        ("train: x\nval: y\n", "is not a YOLO data file"), ("names: [a]\nval: gone\n", "names 'gone'"),
    ):
        (root / "data.yaml").write_text(text)
        with pytest.raises(DataError, match=message):
            read_detection(root, "val")


numbers = st.floats() | st.integers(-(10**400), 10**400) | st.integers(-3, 99)
words = numbers.map(str) | st.sampled_from(["", "0", "1", "0.5", "x", "1e400", "\x00", "-"])


@settings(max_examples=60)
@given(st.lists(st.lists(words, max_size=12).map(" ".join), max_size=6))
def test_no_label_file_can_spoil_the_others(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write_yolo(Path(folder))
        (root / "labels/train/a.txt").write_text("\n".join(lines), encoding="utf-8-sig")
        data = read_detection(root, "train")
    for found in data.pictures:
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert ((found.boxes >= 0) & (found.boxes <= np.tile(found.size_wh, 2))).all()
        assert set(found.labels) <= {0, 1, 2}
    assert data.pictures[1].boxes.tolist() == [[0, 0, 40, 60]]
    dropped = Problem.UNKNOWN, Problem.NO_AREA, Problem.BEYOND, Problem.UNREADABLE_ROW
    told = sum(len(data.problems.get(kind, [])) for kind in dropped)
    rows = [line for line in "\n".join(lines).splitlines() if line.strip()]
    assert told + len(data.pictures[0].boxes) == len(rows)


def test_one_class_and_ten_thousand_boxes(tmp_path: Path) -> None:
    things = [Thing(0, (x, y, x + 3, y + 2)) for y in range(0, 300, 3) for x in range(0, 500, 5)]
    data = read_detection(write_coco(tmp_path, {"train": {"a": ((640, 480), things)}}, ["ant"]), "train")
    assert data.names == ("ant",)
    assert data.problems == {}
    assert data.pictures[0].boxes.tolist() == [list(t.box) for t in things]


def test_a_picture_is_as_large_as_it_is_upright(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    turned = pil.Exif()
    turned[0x0112] = 6
    pil.new("RGB", (48, 64)).save(root / "images/a.png", exif=turned)
    assert read_detection(root, "train").pictures[0].size_wh == (64, 48)
    pil.new("RGB", (64, 48)).save(root / "images/a.png", exif=turned)
    assert read_detection(root, "train").problems[Problem.OTHER_SIZE] == ["a.png, 48x64 for 64x48"]


def test_the_truth_to_score_against(tmp_path: Path) -> None:
    data = read_detection(write_coco(tmp_path), "train")
    truth = data.truth()
    assert [a["iscrowd"] for a in truth.annotations] == [0, 1, 0]
    assert truth.annotations[0]["bbox"] == [4, 6, 26, 34]
    assert truth.annotations[0]["area"] == 26 * 34
    rows = [{**a, "score": 0.9} for a in truth.annotations]
    assert average_precision(truth, rows).classes["cat"] == (pytest.approx(1), pytest.approx(1))
    assert np.isnan(average_precision(truth, rows).classes["mouse"][0])            # difficult: not scored
    assert {i["id"] for i in data.truth(without=[1]).images} == {0, 2}
    assert {a["image_id"] for a in data.truth(without=[1]).annotations} == {0}


@pytest.mark.realdata
def test_voc2007_is_read_whole(data: Path) -> None:
    train = read_detection(data / "voc2007", "train")
    val = read_detection(data / "voc2007", "val", train.names)
    assert (len(train.pictures), len(val.pictures)) == (3461, 501)
    assert [sum(len(p.boxes) for p in part.pictures) for part in (train, val)] == [10426, 1574]
    assert train.names == name_list("voc")
    assert train.problems == val.problems == {}
    assert int(sum(p.difficult.sum() for p in val.pictures)) == sum(
        a["difficult"] for a in json.loads((data / "voc2007/val.json").read_text())["annotations"]
    )


@pytest.mark.realdata
def test_scores_are_those_of_the_annotation_file(data: Path) -> None:
    """Boxes that are read, cut and turned into a truth again give the figures of the file itself."""
    val, truth = read_detection(data / "voc2007", "val"), Truth.load(data / "voc2007/val.json")
    random = np.random.default_rng(0)
    rows = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "score": float(random.random()),
         "bbox": [v * f for v, f in zip(a["bbox"], random.uniform(0.9, 1.1, 4), strict=True)]}
        for a in truth.annotations for _ in range(2)
    ]
    place = {image["id"]: i for i, image in enumerate(truth.images)}
    ours = average_precision(val.truth(), [{**row, "image_id": place[row["image_id"]]} for row in rows])
    theirs = average_precision(truth, rows)
    assert ours.ap == pytest.approx(theirs.ap, abs=1e-4)
    assert ours.small == pytest.approx(theirs.small, abs=2e-3)
    assert 0.2 < ours.ap < 0.9


@pytest.mark.realdata
def test_coco128_as_a_yolo_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(data / "coco128/images")
    (tmp_path / "labels").symlink_to(data / "coco128/object_detection")
    names = dict(enumerate(name_list("coco")))
    (tmp_path / "data.yaml").write_text(f"train: images\nval: images\nnames: {names}\n")
    found = read_detection(tmp_path, "val")
    files = sorted((data / "coco128/object_detection").glob("*.txt"))
    lines = sum(len(f.read_text().splitlines()) for f in files)
    assert len(found.pictures) == 40
    assert sum(len(p.boxes) for p in found.pictures) == lines - len(found.problems.get(Problem.NO_AREA, []))
    assert set(found.problems) <= {Problem.NO_AREA, Problem.UNLABELLED}

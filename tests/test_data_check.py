"""`vision data check`, `vision augment`, `vision curves`: what they find, draw and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from vision.cli import app
from vision.data.check import alike, check, examples, look
from vision.errors import DataError, UsageError

RUNNER = CliRunner()


def scene(seed: int, size: tuple[int, int] = (80, 60)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """train/ and val/ of two classes, with a copy, one that looks the same, a broken and a long one."""
    for split, names in (("train", "abcd"), ("val", "ef")):
        for kind in ("cat", "dog"):
            (tmp_path / split / kind).mkdir(parents=True)
            for name in names:
                cv2.imwrite(str(tmp_path / split / kind / f"{name}.png"), scene(ord(name) + 50 * (kind == "dog")))
    copy = (tmp_path / "train" / "cat" / "a.png").read_bytes()
    (tmp_path / "val" / "cat" / "copy.png").write_bytes(copy)
    smaller = cv2.resize(cv2.imread(str(tmp_path / "train" / "dog" / "b.png")), (64, 48), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "train" / "cat" / "smaller.jpg"), smaller)
    (tmp_path / "train" / "dog" / "broken.png").write_bytes(b"not a picture")
    cv2.imwrite(str(tmp_path / "train" / "dog" / "long.png"), scene(5, (400, 20)))
    return tmp_path


def test_what_is_wrong_is_named_with_its_place(folders: Path) -> None:
    found = check(folders)
    assert (found.task, len(found.entries)) == ("classify", 16)
    assert found.objects == {"train": {"cat": 5, "dog": 6}, "val": {"cat": 3, "dog": 2}}
    assert found.problems["the same file in two splits"] == ["cat/a.png = cat/copy.png"]
    (pair,) = found.problems["the same by its look within a split, labelled differently"]
    assert set(pair.split(" = ")) == {"cat/smaller.jpg", "dog/b.png"}
    assert len(found.problems["broken"]) == 1
    assert "broken.png" in found.problems["broken"][0]
    assert found.problems["very long and narrow"] == ["dog/long.png"]
    assert found.sizes[80, 60] == 13
    assert [entry.path.name for entry in examples(found, 2)["cat"]] == ["a.png", "b.png"]


def test_the_command_prints_it_and_writes_a_page(folders: Path) -> None:
    page, report = folders / "page.html", folders / "report.json"
    done = RUNNER.invoke(app, ["data", "check", str(folders), "--html", str(page), "--report", str(report)])
    assert done.exit_code == 0, done.output
    assert "for classify, 16 pictures" in done.output
    assert "the same file in two splits: 1 (first: cat/a.png = cat/copy.png)" in done.output
    assert page.read_text().count("data:image/jpeg") == 11            # six at most of a class, the broken one never
    assert json.loads(report.read_text())["classes"]["val"] == {"cat": 3, "dog": 2}


def test_looks_against_every_pair() -> None:
    looks = np.array([look(scene(i)) for i in range(12)] + [look(scene(3, (160, 120))), 0, 0], np.uint64)
    brute = []
    for j in range(1, len(looks)):
        near = [i for i in range(j) if bin(int(looks[i]) ^ int(looks[j])).count("1") <= 3
                and bin(int(looks[i])).count("1") > 8 and bin(int(looks[j])).count("1") > 8]
        brute += [(near[0], j)] if near else []
    assert list(alike(looks)) == brute == [(3, 12)]


def test_masks_and_boxes_out_of_place(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / "maps" / "train" / part).mkdir(parents=True)
    (tmp_path / "maps" / "classes.txt").write_text("ground\nblock\n")
    for name, size in (("good", (30, 20)), ("bad", (31, 20))):
        cv2.imwrite(str(tmp_path / "maps" / "train" / "images" / f"{name}.png"), scene(1, (30, 20)))
        cv2.imwrite(str(tmp_path / "maps" / "train" / "labels" / f"{name}.png"), np.ones(size[::-1], np.uint8))
    found = check(tmp_path / "maps")
    assert (found.task, found.objects["train"]) == ("segment", {"block": 1})
    assert "They must have one size" in found.problems["masks out of place"][0]
    coco = tmp_path / "boxes"
    (coco / "images").mkdir(parents=True)
    cv2.imwrite(str(coco / "images" / "a.png"), scene(2, (40, 30)))
    (coco / "train.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 10, 10], "area": 100, "iscrowd": 0},
                        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [90, 5, 10, 10], "area": 100, "iscrowd": 0}],
    }))
    found = check(coco)
    assert (found.task, found.objects["train"]) == ("detect", {"thing": 1})
    assert any(kind.startswith("train: ") for kind in found.problems)
    with pytest.raises(DataError, match="is no data set that is known here"):
        check(coco / "images")
    yolo = tmp_path / "yolo"
    for part in ("images", "labels"):
        (yolo / part).mkdir(parents=True)
    cv2.imwrite(str(yolo / "images" / "a.png"), scene(2, (40, 30)))
    (yolo / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (yolo / "data.yaml").write_text("train: images\nnames: [thing]\n")
    for data in (yolo, yolo / "data.yaml"):              # the folder, or the file that `vision eval` takes, too
        found = check(data)
        assert (found.task, found.objects["train"]) == ("detect", {"thing": 1})


def test_augmentation_on_a_sheet(folders: Path) -> None:
    pytest.importorskip("lightning")
    out = folders / "sheet.png"
    one = str(folders / "train" / "cat" / "a.png")
    done = RUNNER.invoke(app, ["augment", one, "--out", str(out), "--set", "side=48", "--variants", "3"])
    assert done.exit_code == 0, done.output
    sheet = cv2.imread(str(out))
    assert sheet.shape == (52, 152, 3)
    tiles = [sheet[2:50, 2 + 50 * i : 50 + 50 * i] for i in range(3)]
    assert not np.array_equal(tiles[0], tiles[1])
    refused = RUNNER.invoke(app, ["augment", one, "--out", str(out), "--set", "polcy=augmix"])
    assert isinstance(refused.exception, UsageError)
    assert "has no such setting. Nearest: policy" in str(refused.exception)
    refused = RUNNER.invoke(app, ["augment", one, "--out", str(out), "--task", "text"])
    assert "what can be shown is classify, detect, instances, segment" in str(refused.exception)


def test_points_and_masks_are_drawn_where_they_are(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    (tmp_path / "images").mkdir()
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:24, 40:44] = (0, 255, 0)                     # what the point marks: its middle is 42.0, 22.0
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    square = [36, 16, 48, 16, 48, 28, 36, 28]
    for split in ("train", "val"):
        (tmp_path / f"{split}.json").write_text(json.dumps({
            "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [36, 16, 12, 12], "segmentation": [square],
                             "keypoints": [42, 22, 2, 0, 0, 0]}],
            "categories": [{"id": 1, "name": "person"}]}))
    still = ["--set", "crop=64x64", "--set", "scale=1,1", "--set", "ratio=1", "--set", "mosaic=0", "--set", "colour=0",
             "--rows", "1", "--variants", "6", "--out", str(tmp_path / "sheet.png")]
    points = sheet_of_task("detect", tmp_path, still)
    assert {tuple(tile[22, x]) for tile in points for x in (42, 21) if tile[22, x, 2] > 200} == {(60, 20, 220)}
    sides = {("right" if tile[22, 42, 2] > 200 else "left") for tile in points}
    assert sides == {"left", "right"}                     # mirrored ones are among them
    for tile in points:
        x = 42 if tile[22, 42, 2] > 200 else 21
        assert tile[22, x].tolist() == [60, 20, 220]
        assert (np.abs(tile.astype(int) - (60, 20, 220)).sum(2) < 9).sum() < 12   # one point: the other has no label
    for tile in sheet_of_task("instances", tmp_path, still):
        blue = tile[18:27, 38:46] if tile[18, 40].any() else tile[18:27, 18:26]
        assert blue.reshape(-1, 3).any(1).all()           # the mask is where the box is


def sheet_of_task(task: str, data: Path, options: list[str]) -> list[np.ndarray]:
    done = RUNNER.invoke(app, ["augment", str(data), "--task", task, *options])
    assert done.exit_code == 0, done.output
    sheet = cv2.imread(str(data / "sheet.png"))
    return [sheet[2:66, 2 + 66 * i : 66 + 66 * i] for i in range(6)]


def test_curves_of_two_runs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from vision.inspect.curves import named, panels, read_curve

    for run, more in (("a", {"val/top1": 0.5, "val/top5": None}), ("b", {"val/top1": 0.25})):
        (tmp_path / run).mkdir()
        lines = [{"epoch": e, "train/loss": 2.0 / (e + 1), **more} for e in range(3)]
        (tmp_path / run / "curve.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    curves = [read_curve(tmp_path / run) for run in "ab"]
    assert curves[0]["train/loss"] == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert panels(curves) == ["train/loss", "val/top1"]
    done = RUNNER.invoke(app, ["curves", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "c.png")])
    assert done.exit_code == 0, done.output
    assert (cv2.imread(str(tmp_path / "c.png")) < 100).any()
    assert named([Path("a/run"), Path("b/run")]) == ["a/run", "b/run"]
    assert named([Path("a/one"), Path("b/two")]) == ["one", "two"]
    curve = tmp_path / "a" / "curve.jsonl"
    before = curve.read_bytes()
    done = RUNNER.invoke(app, ["curves", str(tmp_path / "a"), "-o", str(curve)])
    assert f"the output {str(curve)!r} would overwrite the input {str(curve)!r}." in str(done.exception)
    assert curve.read_bytes() == before
    with pytest.raises(DataError, match=r"has no curve\.jsonl"):
        read_curve(tmp_path)
    (tmp_path / "b" / "curve.jsonl").write_text("nonsense\n")
    with pytest.raises(DataError, match="line 1 is no line of a curve"):
        read_curve(tmp_path / "b")


@pytest.mark.parametrize(("yaml", "said"), [
    ("train: images/train\nval: images/train\n", "names"), ("names: [a, a]\ntrain: images/train\n", "2 times"),
    ("names: [a\ntrain: x", "is not a YOLO data file"),
])
def test_what_is_wrong_in_a_set_of_boxes_is_said(yaml: str, said: str, tmp_path: Path) -> None:
    boxes(tmp_path, yaml)
    with pytest.raises(DataError, match=said):
        check(tmp_path)


def test_a_set_of_boxes_needs_no_test_part(tmp_path: Path) -> None:
    boxes(tmp_path, "names: [a]\ntrain: images/train\nval: images/val\n")
    assert not check(tmp_path).problems


def boxes(root: Path, yaml: str) -> None:
    """A YOLO folder of two pictures a part."""
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    for number, split in enumerate(("train", "val")):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for name in "ab":
            cv2.imwrite(str(root / "images" / split / f"{name}.png"), scene(ord(name) + 7 * number))
            (root / "labels" / split / f"{name}.txt").write_text("0 0.5 0.5 0.4 0.4\n", encoding="utf-8")

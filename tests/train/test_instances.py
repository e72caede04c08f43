"""Masks: read in every layout, right through every change of their pictures, and learnt on a detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as pil

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.boarded import board_lacks
from vision.card import Boxes, Input, card_of
from vision.data.detection import DetectionData
from vision.data.instances import read_instances
from vision.data.layouts import Problem
from vision.data.masks import mask_of, reduced_mask
from vision.data.truth import Truth
from vision.engine import FakeEngine
from vision.engine.program import state_dict
from vision.errors import DataError, ModelError, VisionError
from vision.masks import packed, run_lengths
from vision.nets import build
from vision.people.person import PersonMask
from vision.tasks.instances import InstanceSegmenter
from vision.tasks.prompted import PromptedSegmenter
from vision.train.detection_transforms import ScaledCrop
from vision.train.fit import save_weights
from vision.train.instance_masks import InstanceSet, mask_targets, responsible, start
from vision.train.instances import InstanceSettings
from vision.train.masks_taught import masks_taught
from vision.train.recipe import Trained
from vision.train.training import Training
from vision.weights import resolve
from vision.zoo import find

from .conftest import card

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
NAMES = ("cat", "dog")
WH = (96, 80)
# an L, and a triangle with a second part: nothing here looks the same when it is mirrored
ELL = [[10, 8, 42, 8, 42, 20, 24, 20, 24, 50, 10, 50]]
PAIR = [[50, 30, 88, 70, 50, 70], [70, 10, 90, 10, 90, 28]]
SHAPES = ((0, ELL), (1, PAIR))


def mask(polygons: list[list[float]], size_wh: tuple[int, int] = WH, reduced: int = 1) -> np.ndarray:
    """(H,W) bool at the centres of pixels, of a picture `reduced` times smaller, by OpenCV at 16 times the size."""
    fine = 16
    canvas = np.zeros((size_wh[1] * fine, size_wh[0] * fine), np.uint8)
    for ring in polygons:
        cv2.fillPoly(canvas, [np.round(np.reshape(ring, (-1, 2)) * fine - 0.5).astype(np.int32)], 1)
    rows, columns = (np.minimum(((np.arange(-(-n // reduced)) + 0.5) * reduced * fine).astype(int), n * fine - 1)
                     for n in size_wh[::-1])
    return canvas[np.ix_(rows, columns)] > 0


def box(polygons: list[list[float]]) -> list[float]:
    points = np.concatenate([np.reshape(ring, (-1, 2)) for ring in polygons])
    return [*points.min(0).tolist(), *np.ptp(points, axis=0).tolist()]


def paint() -> np.ndarray:
    picture = np.full((WH[1], WH[0], 3), 60, np.uint8)
    for label, polygons in SHAPES:
        picture[mask(polygons)] = ((40, 40, 230), (230, 200, 40))[label]
    return picture


def pictures(folder: Path, count: int, suffix: str = ".png") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:02d}{suffix}" for i in range(count)]
    for name in names:
        cv2.imwrite(str(folder / name), paint())
    return names


def write_coco(
    root: Path, change: Callable[[dict[str, Any]], object] = lambda annotation: None, count: int = 4
) -> Path:
    """`train.json` with `count` pictures, `val.json` with two. change: of an annotation, which may add to it."""
    for split, of_split in (("train", count), ("val", 2)):
        files = pictures(root / "images", of_split)
        content: dict[str, Any] = {
            "images": [{"id": i, "file_name": f, "width": WH[0], "height": WH[1]} for i, f in enumerate(files)],
            "categories": [{"id": 5 + i, "name": name} for i, name in enumerate(NAMES)],
            "annotations": [
                {"id": 10 * i + label, "image_id": i, "category_id": 5 + label, "iscrowd": 0, "bbox": box(polygons),
                 "segmentation": polygons}
                for i in range(of_split) for label, polygons in SHAPES
            ],
        }
        for annotation in content["annotations"]:
            change(annotation)
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def write_coco_runs(root: Path, text: bool = True) -> Path:
    """The same as run lengths, packed or not."""
    def change(annotation: dict[str, Any]) -> None:
        runs = run_lengths(mask(annotation["segmentation"]))
        annotation["segmentation"] = {"size": [WH[1], WH[0]], "counts": packed(runs) if text else runs}
    return write_coco(root, change)


def write_yolo(root: Path) -> Path:
    """The two parts of the pair as one polygon: they meet nowhere, so a line goes there and back."""
    for split, count in (("train", 4), ("val", 2)):
        (root / "labels" / split).mkdir(parents=True)
        for name in pictures(root / "images" / split, count):
            joined = [[*PAIR[0], *PAIR[0][:2], *PAIR[1], *PAIR[1][:2]]]
            lines = [f"{label} " + " ".join(f"{v:.6f}" for v in (np.reshape(p[0], (-1, 2)) / WH).ravel())
                     for label, p in ((0, ELL), (1, joined))]
            (root / "labels" / split / name).with_suffix(".txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/val\n")
    return root


def numbered(values: tuple[int, int], void: int = 0) -> np.ndarray:
    """A map of the objects; with `void` around them."""
    numbers = np.zeros((WH[1], WH[0]), np.uint16)
    for (_, polygons), value in zip(SHAPES, values, strict=True):
        if void:
            numbers[cv2.dilate(mask(polygons).astype(np.uint8), np.ones((3, 3))) > 0] = void
        numbers[mask(polygons)] = value
    return numbers


def write_voc(root: Path) -> Path:
    for folder in ("Annotations", "SegmentationObject", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    stems = [Path(f).stem for f in pictures(root / "JPEGImages", 6, ".jpg")]
    objects = [(NAMES[label], box(p)) for label, p in SHAPES]
    for stem in stems:
        rows = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
            f"<ymax>{y + h}</ymax></bndbox></object>" for name, (x, y, w, h) in objects)
        size = f"<size><width>{WH[0]}</width><height>{WH[1]}</height></size>"
        (root / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{rows}</annotation>")
        picture = pil.fromarray(numbered((1, 2), 255).astype(np.uint8), "P")
        picture.putpalette(list(range(256)) * 3)
        picture.save(root / "SegmentationObject" / f"{stem}.png")
    for split, part in (("train", stems[:4]), ("val", stems[4:])):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(part))
    return root


def write_maps(root: Path) -> Path:
    for split, count in (("train", 4), ("val", 2)):
        (root / split / "instances").mkdir(parents=True)
        for name in pictures(root / split / "images", count):
            cv2.imwrite(str(root / split / "instances" / name), numbered((1001, 2001)))
    (root / "classes.txt").write_text("cat\ndog\n")
    return root


def counts(data: DetectionData) -> dict[Problem, int]:
    return {kind: len(places) for kind, places in data.problems.items()}


@pytest.mark.parametrize("write", [
    write_coco, write_coco_runs, lambda root: write_coco_runs(root, text=False), write_yolo, write_voc, write_maps,
], ids=["polygons", "packed", "runs", "yolo", "voc", "maps"])
def test_the_same_masks_in_every_layout(write: Callable[[Path], Path], tmp_path: Path) -> None:
    train, val = read_instances(write(tmp_path), ("person", "dog", "cat"))
    assert train.names == ("person", "dog", "cat")
    assert (len(train), len(val)) == (4, 2)
    assert counts(train) == {}
    for one in (*train.pictures, *val.pictures):
        assert one.labels.tolist() == [2, 1]
        for found, (left, top, right, bottom), (_, polygons) in zip(one.masks, one.boxes, SHAPES, strict=True):
            assert found is not None
            wrong = mask_of(found, WH) ^ mask(polygons)
            assert wrong.sum() <= 0.01 * mask(polygons).sum()          # on slanted edges
            x, y, w, h = box(polygons)
            np.testing.assert_allclose([left, top, right, bottom], [x, y, x + w, y + h], atol=1.01)
    truth = val.truth().with_masks()
    assert not any(a["iscrowd"] for a in truth.annotations)


def test_numbers_alone_are_of_the_one_class(tmp_path: Path) -> None:
    """As `--instance-maps` writes them."""
    root = write_maps(tmp_path)
    for path in root.glob("*/instances/*.png"):
        cv2.imwrite(str(path), numbered((1, 700)))
    (root / "classes.txt").write_text("dog\n")
    assert read_instances(root, NAMES)[0].pictures[0].labels.tolist() == [1, 1]
    (root / "classes.txt").write_text("cat\ndog\n")                              # 1 and 700 are of no line then
    with pytest.raises(DataError, match="of an unknown class, dropped: 8"):
        read_instances(root, NAMES)
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"has no classes\.txt: the names of the objects' classes, one a line"):
        read_instances(root, NAMES)


# what is wrong

def test_what_is_wrong_is_named_and_counted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    ill: dict[int, dict[str, Any]] = {
        0: {"segmentation": [[10, 10, 40, 40]]},                                 # two points
        1: {"segmentation": {"size": [9, 9], "counts": [81]}},                   # of another picture
        10: {"segmentation": None},
        11: {"bbox": None},
        20: {"segmentation": [[10, 8, 42, 50, 42, 8, 10, 50]]},                  # crosses itself
        21: {"segmentation": [[500, 500, 600, 500, 600, 600]], "bbox": [500, 500, 100, 100]},
        30: {"iscrowd": 1, "segmentation": {"size": [WH[1], WH[0]], "counts": [0, WH[0] * WH[1]]}},
        31: {"category_id": 6, "bbox": [], "segmentation": [[1, 2, 3]]},         # nothing to go by
    }
    train, _ = read_instances(write_coco(tmp_path, lambda one: one.update(ill.get(one["id"], {}))), NAMES)
    assert counts(train) == {
        Problem.UNREADABLE_MASK: 3, Problem.NO_MASK: 1, Problem.MADE: 1, Problem.BEYOND: 1, Problem.NO_AREA: 1,
    }
    masks = [[m is not None for m in one.masks] for one in train.pictures]
    assert masks == [[False, False], [False, True], [True], [True]]
    crossed = mask_of(train.pictures[2].masks[0] or [], WH)
    assert abs(int(crossed.sum()) - 32 * 42 // 2) <= 42                          # a bow tie: half of its box
    assert train.pictures[1].boxes[1].tolist() == [50, 10, 90, 70]               # around both parts
    settings = InstanceSettings(crop=(64, 64), scale=(1.0, 1.0))
    learnt = InstanceSet(train, replace(settings, box_loss=0.0))
    assert [len(learnt[i, 0][1]) for i in (0, 3)] == [0, 0]                      # without masks; a crowd
    *_, drawn, masked = InstanceSet(train, settings)[0, 0]                       # the two boxes are learnt alone
    assert masked.tolist() == [False, False]
    assert drawn.sum() == 0
    crowds = [a["iscrowd"] for a in train.truth().with_masks().annotations]
    assert crowds == [1, 1, 1, 0, 0, 1]                                          # what has no mask is not judged


@pytest.mark.parametrize("given", [
    [[500, 500, 600, 500, 600, 600]], [[-90, 5, -10, 5, -10, 60]], {"size": [WH[1], WH[0]], "counts": [WH[0] * WH[1]]},
], ids=["beyond", "before", "off"])
def test_a_mask_that_is_not_in_its_picture_is_none(given: Any, tmp_path: Path) -> None:
    """Its box stays, to be learnt from by itself."""
    def change(one: dict[str, Any]) -> None:
        one.update({"segmentation": given} if one["id"] == 10 else {})

    train, val = read_instances(write_coco(tmp_path, change), NAMES)
    assert counts(train) == counts(val) == {Problem.UNREADABLE_MASK: 1}
    assert [mask is not None for mask in train.pictures[1].masks] == [False, True]
    assert [one["iscrowd"] for one in Truth.load(tmp_path / "val.json").with_masks().annotations] == [0, 0, 1, 0]


def test_a_truth_of_masks_alone_has_the_boxes_around_them(tmp_path: Path) -> None:
    """As in training; and what is not to be judged by is said as what it is."""
    write_coco_runs(tmp_path)
    whole = Truth.load(tmp_path / "val.json")
    content = json.loads((tmp_path / "val.json").read_text())
    for annotation in content["annotations"]:
        del annotation["bbox"]
    (tmp_path / "val.json").write_text(json.dumps(content))
    made = Truth.load(tmp_path / "val.json")
    for one, other in zip(made.annotations, whole.annotations, strict=True):
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1.01)
    content["images"][0]["width"] = "wide"
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="whose width or height is no number"):
        Truth.load(tmp_path / "val.json")
    content["images"][0].update(width=10**6, height=10**6)
    content["annotations"][0]["segmentation"] = {"size": [10**6, 10**6], "counts": [10**12]}
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="has more than the 200000000 pixels"):
        Truth.load(tmp_path / "val.json")
    crowds = replace(whole, annotations=[{**one, "iscrowd": 1} for one in whole.annotations])
    with pytest.raises(DataError, match="there are crowds alone, which are not judged"):
        crowds.with_masks()


@pytest.mark.parametrize(("change", "line"), [
    (lambda one: one.pop("segmentation"), "learnt from by --box-loss or --teacher alone, not judged: 4"),
    (lambda one: one.update(iscrowd=1), "no mask to use: they hold crowds alone"),
])
def test_no_mask_at_all_is_refused(change: Callable[[dict[str, Any]], object], line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=line):
        read_instances(write_coco(tmp_path, change), NAMES, boxes=True)


def test_boxes_alone_are_enough_to_learn_from_and_not_to_be_judged_by(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = json.loads((root / "train.json").read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (root / "train.json").write_text(json.dumps(content))
    train, _ = read_instances(root, NAMES, boxes=True)
    assert counts(train) == {Problem.NO_MASK: 8}
    with pytest.raises(DataError, match="for 'train' and no mask to use"):
        read_instances(root, NAMES)
    (root / "val.json").write_text((root / "train.json").read_text())
    with pytest.raises(DataError, match="for 'val' and no mask to use"):
        read_instances(root, NAMES, boxes=True)


def test_classes_that_the_detector_lacks_are_named(tmp_path: Path) -> None:
    train, _ = read_instances(write_coco(tmp_path), ("cat", "horse"))
    assert counts(train) == {Problem.STRANGE: 4}
    assert train.problems[Problem.STRANGE][0] == "00.png, dog"
    assert [one.labels.tolist() for one in train.pictures] == [[0]] * 4


def test_only_a_nanodet_gets_a_head(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'gfl-voc' is a 'gfl'; masks are learnt on a nanodet"):
        Training("instances", write_coco(tmp_path), tmp_path / "run", InstanceSettings(model="gfl-voc"))


# masks stay with what is seen

def moved(polygons: list[list[float]], params: dict[str, Any], tile: tuple[int, int], flip: bool, canvas: int,
          fine: int) -> np.ndarray:
    """The polygons where a `ScaledCrop` at `tile` (top, left) of a square canvas puts them, rasterised `fine` times
    finer than its pixels; what the crop cuts off is off."""
    (top, left, height, width), (h, w), border = params["cut"], params["size"], params["border"]
    raster = np.zeros((canvas * fine, canvas * fine), np.uint8)
    for ring in polygons:
        points = (np.reshape(ring, (-1, 2)) - (left, top)) * (w / width, h / height) + (border[0], border[1])
        points += (tile[1], tile[0])
        cv2.fillPoly(raster, [np.round((points * fine - 0.5) * 16).astype(np.int32)], 1, shift=4)
    first_y, first_x = (tile[0] + border[1]) * fine, (tile[1] + border[0]) * fine
    inside = np.zeros_like(raster)
    inside[first_y: first_y + h * fine, first_x: first_x + w * fine] = 1
    raster *= inside
    return raster[:, ::-1] if flip else raster


@pytest.mark.parametrize("mosaic", [0.0, 1.0], ids=["alone", "mosaic"])
def test_masks_are_where_a_finer_rasteriser_puts_their_polygons(
    mosaic: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pixel that is not on a border: within a pixel of the picture or of the canvas."""
    canvas, fine, seen = 128, 4, 0
    data, _ = read_instances(write_coco(tmp_path), NAMES)
    crops: list[tuple[tuple[int, int], dict[str, Any]]] = []
    drawn = ScaledCrop.make_params

    def kept(self: ScaledCrop, flat: list[Any]) -> dict[str, Any]:
        crops.append((self.size_hw, drawn(self, flat)))
        return crops[-1][1]

    monkeypatch.setattr(ScaledCrop, "make_params", kept)
    settings = InstanceSettings(crop=(canvas, canvas), mosaic=mosaic, mosaic_scale=(0.4, 1.2), visible=0.0, closing=0)
    items = InstanceSet(data, settings)
    for seed in range(12):
        crops.clear()
        _, _, labels, masks, _ = items[seed % 4, seed]
        (y, x) = crops[0][0]
        tiles = ((0, 0), (0, x), (y, 0), (y, x))[: len(crops)]
        scale = max(max(p["size"][0] / p["cut"][2], p["size"][1] / p["cut"][3]) for _, p in crops)
        reach = 2 * int(np.ceil(max(scale, 1.0) * fine)) + 1
        fits = []
        for flip in (False, True):
            wrong = 0
            for label, polygons in SHAPES:
                found = masks[labels == label].amax(0).numpy() if (labels == label).any() else np.zeros((canvas,) * 2)
                parts = [moved(polygons, p, tile, flip, canvas, fine)
                         for (_, p), tile in zip(crops, tiles, strict=True)]
                centre = slice(fine // 2, None, fine)
                sure = np.maximum.reduce([cv2.erode(part, np.ones((reach, reach))) for part in parts])[centre, centre]
                maybe = cv2.dilate(np.maximum.reduce(parts), np.ones((reach, reach)))[centre, centre]
                wrong += int((found < sure).sum() + (found > maybe).sum())
                seen += int(sure.sum())
            fits.append(wrong == 0)
        assert fits.count(True) == 1, (seed, fits)
    assert seen > 10_000


def test_a_mask_of_a_reduced_picture_is_the_one_at_its_pixels_centres() -> None:
    off = [(np.array(ring) + 0.3).tolist() for ring in PAIR]                     # no centre lies on an edge
    whole = mask_of(off, WH)
    runs = {"size": [WH[1], WH[0]], "counts": run_lengths(whole)}
    low, high = (change(whole.astype(np.uint8), np.ones((3, 3))) > 0 for change in (cv2.erode, cv2.dilate))
    for reduced in (1, 2, 3, 4, 8):
        twin, found, of_runs = mask(off, WH, reduced), reduced_mask(off, WH, reduced), reduced_mask(runs, WH, reduced)
        assert found.shape == of_runs.shape == twin.shape
        assert (found ^ twin).sum() <= max(1, 0.01 * twin.sum())
        rows, columns = (np.minimum((np.arange(n) * reduced + reduced // 2), side - 1)
                         for n, side in zip(twin.shape, WH[::-1], strict=True))
        assert (of_runs >= low[np.ix_(rows, columns)]).all()                     # run lengths know whole pixels alone
        assert (of_runs <= high[np.ix_(rows, columns)]).all()


def test_targets_are_the_shares_around_the_points() -> None:
    masks = torch.zeros(2, 40, 60, dtype=torch.uint8)
    masks[0, 10:30, 10:30] = 1
    masks[1, :, 30:] = 1
    boxes = torch.tensor([[10.0, 10, 30, 30], [0, 0, 60, 40], [20, 10, 40, 30], [50, 0, 90, 40]])
    found = mask_targets(masks, torch.tensor([0, 0, 1, 1]), boxes, 4)
    np.testing.assert_allclose(found.mean((1, 2)), [1, 4 / 16, 0.5, 1], atol=0.08)
    assert found[2, :, :2].sum() == 0
    assert (found[2, :, 2:] == 1).all()
    assert (found[3] == 1).all()                                                 # beyond the picture: as its edge


def test_an_object_is_answered_for_by_its_best_cells() -> None:
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 18, 20], [0, 0, 9, 20], [50, 50, 80, 80]])
    scores = torch.tensor([[0.1, 0.9], [0.9, 0.1], [0.9, 0.9], [0.5, 0.5]])
    objects = torch.tensor([[0.0, 0, 20, 20], [50, 50, 80, 80], [100, 100, 107, 107]])
    cells, owners = responsible(boxes, scores, objects, torch.tensor([0, 1, 1]))
    assert list(zip(cells.tolist(), owners.tolist(), strict=True)) == [(1, 0), (0, 0), (3, 1)]


# the run

SETTINGS = InstanceSettings(crop=(96, 96), scale=(0.8, 1.2), batch=2, epochs=2, warmup=0.5, lr=2e-3, threads=1, seed=3)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NanoDet that says everywhere that there is a box of four strides around."""
    torch.manual_seed(0)
    net = build("nanodet", classes=2, levels=3)
    for place in net.place:
        torch.nn.init.zeros_(place.weight)
        place.bias.data = torch.where(torch.arange(44) % 11 == 2, 20.0, 0.0)
    path = tmp_path_factory.mktemp("detector") / "detector.safetensors"
    save_weights(path, net, card(net="nanodet", config={"classes": 2, "levels": 3}, names=NAMES,
                                 input=Input((96, 96), "letterbox"), boxes=Boxes("dense", 0.6)), {})
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("masks"), count=12)


def train(data: Path, folder: Path, detector: Path, *, resume: bool = False, **settings: Any) -> Trained:
    return Training("instances", data, folder, replace(SETTINGS, model=str(detector), **settings), resume=resume).run()


@pytest.fixture(scope="module")
def whole(data: Path, detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(data, folder, detector)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    return state


def test_two_epochs_lower_the_loss_and_leave_a_model_that_opens(whole: Path) -> None:
    first, second = (json.loads(line) for line in (whole / "curve.jsonl").read_text().splitlines())
    assert board_lacks(whole) == set()
    for term in ("dice", "cross_entropy"):
        assert 0 < second[f"train/{term}"] < first[f"train/{term}"]
    assert 0 <= second["val/ap50"] <= 1
    found_card = card_of(whole / "best.safetensors")
    assert (found_card.task, found_card.net, found_card.boxes.layout) == ("instances", "nanodet-masks", "condinst")
    assert found_card.classes == NAMES
    with InstanceSegmenter.load(whole / "best.safetensors", backend="torch") as segmenter:
        found = segmenter(paint(), min_score=0.0)
    assert found.masks.shape[0] == len(found) > 0
    assert found.frame_wh == WH


def test_the_detector_keeps_its_bits_and_every_part_of_the_head_learns(whole: Path, detector: Path) -> None:
    trained, before = weights_of(whole), state_dict(detector)
    for name, value in before.items():
        assert trained[f"net.{name}"].equal(value), name
    torch.manual_seed(SETTINGS.seed)
    new = build("nanodet-masks", classes=2, levels=3).state_dict()
    same = [n for n, v in new.items() if n.startswith("masks.") and trained[f"net.{n}"].equal(v)]
    assert same == []


def test_the_shipped_detector_without_its_masks_gets_a_new_head() -> None:
    new, head = start(InstanceSettings(model="nanodet-g"))[0].state_dict(), state_dict(resolve(find("nanodet-g-masks")))
    same = [name for name, value in new.items() if value.equal(head[name])]
    assert "masks.weights.1.bias" not in same
    assert all(name in same for name in new if not name.startswith("masks."))


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(data: Path, detector: Path, whole: Path, tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    settings = replace(SETTINGS, model=str(detector))
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        Training("instances", data, tmp_path / "run", settings).run(stop)
    train(data, tmp_path / "run", detector, resume=True)
    first, second = weights_of(whole), weights_of(tmp_path / "run")
    assert [n for n in first if not first[n].equal(second[n])] == []


@pytest.mark.slow
def test_a_run_goes_on_from_a_head_that_there_is(data: Path, whole: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", whole / "best.safetensors", epochs=1)
    first, *_ = (json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines())
    start, *_ = (json.loads(line) for line in (whole / "curve.jsonl").read_text().splitlines())
    assert first["train/cross_entropy"] < start["train/cross_entropy"]


def test_boxes_without_masks_lower_their_own_losses(data: Path, detector: Path, tmp_path: Path) -> None:
    """Of every second object the mask is taken away."""
    for split in ("train", "val"):
        content = json.loads((data / f"{split}.json").read_text())
        for annotation in content["annotations"]:
            if split == "train" and annotation["id"] % 2:
                del annotation["segmentation"]
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(data / "images")
    train(tmp_path, tmp_path / "run", detector, epochs=3)
    first, *_, last = (json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines())
    for term in ("dice", "projection", "affinity"):
        assert 0 < last[f"train/{term}"] < first[f"train/{term}"], term
    train(tmp_path, tmp_path / "none", detector, epochs=1, box_loss=0.0)
    assert "train/projection" not in json.loads((tmp_path / "none" / "curve.jsonl").read_text())


@pytest.mark.slow
def test_mask_rcnn_learns_on_an_encoder_of_its_own(data: Path, tmp_path: Path) -> None:
    """From the shipped MobileNetV2: all five losses fall, what is written opens, and another run goes on from it."""
    train(data, tmp_path / "run", Path("mask_rcnn"), epochs=4, lr=4e-4)
    first, *_, last = (json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines())
    terms = {name: first[name] - last[name] for name in first if name.startswith("train/")}
    assert len(terms) == 5
    assert min(terms.values()) > 0, terms
    found_card = card_of(tmp_path / "run" / "best.safetensors")
    assert (found_card.net, found_card.boxes.layout, found_card.classes) == ("mask_rcnn", "mask_rows", NAMES)
    with InstanceSegmenter.load(tmp_path / "run" / "best.safetensors", "cpu") as segmenter:
        found = segmenter(paint(), min_score=0.0)
    assert found.masks.shape[0] == len(found) > 0
    train(data, tmp_path / "more", tmp_path / "run" / "best.safetensors", epochs=1, lr=4e-4)
    (more,) = (json.loads(line) for line in (tmp_path / "more" / "curve.jsonl").read_text().splitlines())
    assert more["train/loss_mask"] < first["train/loss_mask"]


@pytest.mark.parametrize(("settings", "said"), [
    ({"model": "mask_rcnn", "mask_head": "yolact"}, "--mask-head is for a nanodet"),
    ({"model": "nanodet-g", "options": {"encoder": "resnet18"}}, "options are of a new network"),
    ({"model": "mask_rcnn", "encoder_weights": "nowhere.pth"}, "no encoder weights at 'nowhere.pth'"),
    ({"model": "gfl-voc"}, "or take --model mask_rcnn"),
])
def test_options_of_another_network_are_refused(
    data: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(VisionError, match=said):
        Training("instances", data, tmp_path / "run", replace(SETTINGS, **settings))


# masks by a teacher

def without_masks(data: Path, root: Path, change: Callable[[dict[str, Any]], object] = lambda one: None) -> Path:
    """The data, its `train` with boxes alone and a person for a cat. change: of an annotation."""
    for split in ("train", "val"):
        content = json.loads((data / f"{split}.json").read_text())
        content["categories"][0]["name"] = "person"
        for annotation in content["annotations"]:
            if split == "train":
                del annotation["segmentation"]
                change(annotation)
        (root / f"{split}.json").write_text(json.dumps(content))
    (root / "images").symlink_to(data / "images")
    return root


def bright(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A network for people to which all that is red is one; how many crops it was asked for each time."""
    asked: list[int] = []

    def run(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        asked.append(len(batch))
        return (np.float32(batch[..., 2] > 150),)

    made = card(task="person", input=Input((64, 64), "stretch"))
    monkeypatch.setattr(PersonMask, "load", lambda model: PersonMask(FakeEngine(run), made))
    return asked


def test_a_teacher_outlines_people_that_have_a_box_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = bright(monkeypatch)
    root = without_masks(data, tmp_path, lambda one: one.update(iscrowd=int(one["id"] == 10)))
    train, _ = read_instances(root, ("person", "dog"), boxes=True)
    for again in (False, True):                                                  # as a run that goes on
        taught = masks_taught(train, find("selfie"), tmp_path / "run")
        assert asked == [1] * 11                                                 # twelve pictures; one is of a crowd
        masks = [dict(zip(one.labels.tolist(), one.masks, strict=True)) for one in taught.pictures]
        assert [of[1] for of in masks] == [None] * 12, again                     # no dog
        assert masks[1][0] is None
        for of in (masks[0], *masks[2:]):
            found = mask_of(of[0], WH)
            assert (found & mask(ELL)).sum() / (found | mask(ELL)).sum() > 0.9
    with (tmp_path / "run" / "masks.jsonl").open("a") as file:
        file.write('{"picture": "cut')
    assert masks_taught(train, find("selfie"), tmp_path / "run").pictures[0].masks[0] == masks[0][0]


def test_a_teacher_of_what_is_pointed_at_outlines_every_class(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network for masks of boxes, which fills the left half of each."""
    def run(picture: np.ndarray, points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.full((len(points), 1, *picture.shape[2:]), -9, np.float32)
        for mask, (left, right) in zip(logits[:, 0], points[:, :, 0], strict=True):
            mask[:, : round(float(left + right) / 2)] = 9
        return logits, np.ones((len(points), 1), np.float32)

    engine = Mock(side_effect=run, input_wh=WH, most=(8, 6))
    monkeypatch.setattr(PromptedSegmenter, "load", lambda model: PromptedSegmenter(engine, model))
    train, _ = read_instances(without_masks(data, tmp_path), ("person", "dog"), boxes=True)
    taught = masks_taught(train, find("efficientsam-ti"), tmp_path / "run")
    for one in taught.pictures:
        for segmentation, (left, top, right, bottom) in zip(one.masks, one.boxes, strict=True):
            assert segmentation is not None
            ys, xs = np.nonzero(mask_of(segmentation, WH))
            assert (xs.min(), ys.min(), ys.max() + 1) == (left, top, bottom)
            assert abs(xs.max() + 1 - (left + right) / 2) <= 1


def test_what_a_teacher_outlined_is_learnt(
    data: Path, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures with boxes alone, masks by the teacher, two epochs: the loss of masks falls."""
    bright(monkeypatch)
    net = build("nanodet", classes=2, levels=3)
    net.load_state_dict(state_dict(detector))
    save_weights(tmp_path / "people.safetensors", net, replace(card_of(detector), names=("person", "dog")), {})
    root = tmp_path / "boxes"
    root.mkdir()
    train(without_masks(data, root), tmp_path / "run", tmp_path / "people.safetensors", teacher="selfie", box_loss=0.0,
          lr=5e-3)
    first, second = (json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines())
    for term in ("dice", "cross_entropy"):
        assert 0 < second[f"train/{term}"] < first[f"train/{term}"]
    assert "train/projection" not in first


def test_a_teacher_gives_masks_for_boxes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'gfl-voc' is a model for detect, which gives no masks for boxes"):
        Training("instances", write_coco(tmp_path), tmp_path / "run", InstanceSettings(teacher="gfl-voc"))


# heads

@pytest.mark.parametrize("head", ["yolact", "rtmdet-ins"])
def test_another_head_learns_and_opens(head: str, data: Path, detector: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", detector, mask_head=head)
    first, second = (json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines())
    assert 0 < second["train/dice"] < first["train/dice"]
    assert ("train/cross_entropy" in first) == (head == "yolact")
    best = tmp_path / "run" / "best.safetensors"
    assert (card_of(best).config["mask"], card_of(best).boxes.layout) == (head, head)
    masks = []
    for backend in ("torch", "openvino"):
        with InstanceSegmenter.load(best, precision="fp32", backend=backend) as segmenter:
            masks.append(segmenter(paint(), min_score=0.0).masks)
    np.testing.assert_allclose(*masks, atol=1e-3)
    goes_on = start(InstanceSettings(model=str(best)))
    assert goes_on[1].boxes.layout == head                                       # the head that it has
    assert all(value.equal(state_dict(best)[name]) for name, value in goes_on[0].state_dict().items())
    new = start(InstanceSettings(model=str(best), mask_head="condinst"))
    assert (new[1].boxes.layout, new[1].config) == ("condinst", {"classes": 2, "levels": 3})


def test_a_head_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no head 'solo' for masks\. There are: condinst, yolact, rtmdet-ins"):
        build("nanodet-masks", classes=2, mask="solo")

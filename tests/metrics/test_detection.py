"""Average precision: known cases, and pycocotools' figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vision.data.truth import Truth
from vision.errors import DataError
from vision.masks import packed, run_lengths
from vision.metrics.detection import average_precision, coco_rows, precision_table, summary
from vision.types import Detections

NAMES = ["cat", "dog", "bird"]


def random_truth(rng: np.random.Generator, pictures: int = 20) -> dict:
    """Boxes of three sizes; some crowds, some difficult, a class with nothing to find."""
    boxes = []
    for image in range(pictures):
        for _ in range(int(rng.integers(0, 7))):
            side = float(rng.choice([20, 60, 150]))
            x, y, w, h = (*rng.uniform(0, 300, 2), *(side * rng.uniform(0.7, 1.3, 2)))
            boxes.append({
                "id": len(boxes) + 1, "image_id": image, "category_id": int(rng.integers(0, 2)),
                "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "difficult": int(rng.random() < 0.2),
            })
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 500, "height": 500} for i in range(pictures)],
        "annotations": boxes,
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
    }


def shaken(data: dict, rng: np.random.Generator) -> list[dict]:
    """Results near the truth, some of the wrong class, and noise."""
    rows = []
    for a in data["annotations"]:
        if rng.random() < 0.85:
            box = np.array(a["bbox"]) * rng.uniform(0.85, 1.15, 4)
            category = a["category_id"] if rng.random() < 0.9 else int(rng.integers(0, 3))
            rows.append({"image_id": a["image_id"], "category_id": category, "bbox": box.tolist(),
                         "score": float(rng.random())})
    for _ in range(60):
        box = [*rng.uniform(0, 300, 2), *rng.uniform(10, 120, 2)]
        rows.append({"image_id": int(rng.integers(0, 20)), "category_id": int(rng.integers(0, 3)),
                     "bbox": [float(v) for v in box], "score": float(rng.random())})
    return rows


def written(data: dict, folder: Path) -> Path:
    path = folder / "truth.json"
    path.write_text(json.dumps(data))
    return path


def test_the_figures_are_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(11)
    data = random_truth(rng)
    truth, rows = Truth.load(written(data, tmp_path)), shaken(data, rng)
    found = average_precision(truth, rows)
    assert capsys.readouterr().out == ""

    gold = coco.COCO()
    gold.dataset = {"images": truth.images, "annotations": truth.annotations, "categories": truth.categories}
    gold.createIndex()
    judge = cocoeval.COCOeval(gold, gold.loadRes(rows), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    ours = [found.ap, found.ap50, found.ap75, found.small, found.medium, found.large]
    np.testing.assert_allclose(ours, judge.stats[:6], atol=1e-6)
    for k, name in enumerate(NAMES[:2]):
        precision = judge.eval["precision"][:, :, k, 0, -1]
        assert found.classes[name][0] == pytest.approx(precision[precision > -1].mean(), abs=1e-6)
    assert math.isnan(found.classes["bird"][0])
    assert 0.05 < found.ap < found.ap50 < 0.95                                # a case that can fail


def test_the_figures_of_masks_are_pycocotools(tmp_path: Path) -> None:
    """Of the same results: ellipses in the boxes, as run lengths."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(5)
    data = random_truth(rng)
    ys, xs = np.mgrid[:500, :500] + 0.5

    def ellipse(box: list[float]) -> dict:
        x, y, w, h = box
        mask = ((xs - x - w / 2) / w) ** 2 + ((ys - y - h / 2) / h) ** 2 < 0.25
        return {"size": [500, 500], "counts": packed(run_lengths(mask))}

    for annotation in data["annotations"]:
        annotation["segmentation"] = ellipse(annotation["bbox"])
    rows = [{**row, "segmentation": ellipse(row["bbox"])} for row in shaken(data, rng)]
    truth = Truth.load(written(data, tmp_path)).with_masks()
    found = summary(precision_table(truth, rows, "segm"), truth.names)

    gold = coco.COCO()
    gold.dataset = {"images": truth.images, "annotations": truth.annotations, "categories": truth.categories}
    gold.createIndex()
    masks = [{key: value for key, value in row.items() if key != "bbox"} for row in rows]       # sizes are the masks'
    judge = cocoeval.COCOeval(gold, gold.loadRes(masks), "segm")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    ours = [found.ap, found.ap50, found.ap75, found.small, found.medium, found.large]
    np.testing.assert_allclose(ours, judge.stats[:6], atol=1e-6)
    assert 0.05 < found.ap < found.ap50 < 0.95                                # a case that can fail


def test_perfect_and_empty_results(tmp_path: Path) -> None:
    data = random_truth(np.random.default_rng(2))
    truth = Truth.load(written(data, tmp_path))
    perfect = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in data["annotations"] if not a["difficult"]
    ]
    assert average_precision(truth, perfect).ap == pytest.approx(1)
    assert average_precision(truth, []).ap == 0


def test_a_difficult_object_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    data = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [
            {"image_id": 1, "category_id": 0, "bbox": [0, 0, 50, 50], "difficult": 0},
            {"image_id": 1, "category_id": 0, "bbox": [100, 100, 50, 50], "difficult": 1},
        ],
        "categories": [{"id": 0, "name": "cat"}],
    }
    truth = Truth.load(written(data, tmp_path))
    easy = {"image_id": 1, "category_id": 0, "bbox": [0, 0, 50, 50], "score": 0.5}
    hard = {"image_id": 1, "category_id": 0, "bbox": [100, 100, 50, 50], "score": 0.9}
    assert average_precision(truth, [easy]).ap == pytest.approx(1)
    assert average_precision(truth, [easy, hard]).ap == pytest.approx(1)
    wrong = {**hard, "bbox": [300, 300, 50, 50]}
    assert average_precision(truth, [easy, wrong]).ap == pytest.approx(0.5)


def test_classes_meet_by_name(tmp_path: Path) -> None:
    truth = Truth.load(written(random_truth(np.random.default_rng(3)), tmp_path))
    kept, category_of, unknown = truth.restricted(["dog", "horse", "cat"])
    assert category_of == {0: 1, 2: 0}
    assert unknown == ["bird"]
    assert {c["name"] for c in kept.categories} == {"cat", "dog"}
    found = Detections([[1, 2, 11, 22], [0, 0, 5, 5]], [0.5, 0.25], [0, 1])
    assert coco_rows(7, found, category_of) == [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.5}
    ]
    with pytest.raises(DataError, match="no name in common"):
        truth.restricted(["horse"])


@pytest.mark.parametrize(("change", "message"), [
    (lambda d: d.pop("images"), "is not a COCO annotation file.*KeyError: 'images'"),
    (lambda d: d["annotations"][0].pop("bbox"), "has a box that is not four numbers.*KeyError"),
    (lambda d: d["annotations"][0].update(image_id=999), "has 1 boxes of a picture or category"),
    (lambda d: d["annotations"][0].update(bbox=[0, 0, 1e12, 1]), "has a box that is not four numbers"),
    (lambda d: d["images"][0].update(id=10**30), "id .* of one of its images is no whole number"),
    (lambda d: d["images"][0].update(id=d["images"][1]["id"]), "has 2 images with the id"),
    (lambda d: d["categories"][0].update(id=d["categories"][1]["id"]), "has 2 categories with the id"),
])
def test_a_file_that_is_no_coco_file_is_named(tmp_path: Path, change: object, message: str) -> None:
    data = random_truth(np.random.default_rng(4))
    change(data)
    with pytest.raises(DataError, match=message):
        Truth.load(written(data, tmp_path))
    with pytest.raises(DataError, match=r"none\.json"):
        Truth.load(tmp_path / "none.json")


def test_the_summary_reads_the_table_of_precisions() -> None:
    table = np.full((10, 101, 1, 4, 3), -1.0)
    table[:, :, 0, 0, -1] = np.linspace(1, 0.1, 10)[:, None]
    table[:, :, 0, 3, -1] = 0.25
    found = summary(table, ["cat"])
    assert (found.ap, found.ap50, found.ap75, found.large) == pytest.approx((0.55, 1.0, 0.5, 0.25))
    assert math.isnan(found.small)
    assert found.classes["cat"] == pytest.approx((0.55, 1.0))

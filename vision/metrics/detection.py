"""Average precision of detections as COCO defines it, by faster-coco-eval."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.boxes import xyxy_to_xywh
from vision.errors import DataError, MissingExtra
from vision.types import Detections, Floats, Names


@dataclass(frozen=True)
class Truth:
    """Labelled boxes: the lists of a COCO file. Difficult objects count as crowd: finding one is
    neither right nor wrong, as in VOC's own scoring."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read a COCO annotation file. Raises DataError where it is not one."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            truth = cls(data["images"], data["annotations"], data["categories"])
            pictures, classes = {i["id"] for i in truth.images}, {c["id"] for c in truth.categories}
            twice = len(pictures) < len(truth.images) or len(classes) < len(truth.categories)
            boxes = [
                {"iscrowd": 0, "area": a["bbox"][2] * a["bbox"][3], **a, "id": i}
                for i, a in enumerate(truth.annotations, start=1)
            ]
            stray = sum(a["image_id"] not in pictures or a["category_id"] not in classes for a in boxes)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{str(path)!r} is not a COCO annotation file with images, annotations and categories "
                f"({type(error).__name__}: {error})."
            ) from error
        if twice:
            raise DataError(f"{str(path)!r} gives two images or categories one id. Give each its own.")
        if stray:
            raise DataError(f"{str(path)!r} has {stray} boxes of a picture or category that it does not list")
        crowd = [{**a, "iscrowd": int(bool(a["iscrowd"] or a.get("difficult")))} for a in boxes]
        return replace(truth, annotations=crowd)

    @property
    def names(self) -> list[str]:
        """The classes, in the order of their ids: that of every table of figures."""
        return [str(c["name"]) for c in sorted(self.categories, key=lambda c: int(c["id"]))]

    def restricted(self, names: Names) -> tuple[Truth, dict[int, int], list[str]]:
        """The truth about the classes in `names`; the category id for each of the names' indices; and
        the classes that are not in `names`. Raises DataError where no class is left."""
        ids = {c["name"]: c["id"] for c in self.categories}
        category_of = {i: ids[name] for i, name in enumerate(names) if name in ids}
        unknown = sorted(set(ids) - set(names))
        if not category_of:
            raise DataError(
                f"the data's classes ({', '.join(list(ids)[:5])}, ...) and the model's "
                f"({', '.join(names[:5])}, ...) have no name in common."
            )
        left = set(category_of.values())
        kept = [a for a in self.annotations if a["category_id"] in left]
        return Truth(self.images, kept, [c for c in self.categories if c["id"] in left]), category_of, unknown


def coco_rows(image_id: int, found: Detections, category_of: dict[int, int]) -> list[dict[str, Any]]:
    """Detections as COCO results; those of a class without a category are left out."""
    rows = zip(
        xyxy_to_xywh(found.boxes).tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
    )
    return [
        {"image_id": image_id, "category_id": category_of[label], "bbox": box, "score": score}
        for box, score, label in rows
        if label in category_of
    ]


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's figures in 0..1: ap over IoU 0.50 to 0.95, at 0.50, at 0.75; of objects under 32^2,
    under 96^2 and larger; and ap and ap50 of each class. NaN where there is nothing to find."""

    ap: float
    ap50: float
    ap75: float
    small: float
    medium: float
    large: float
    classes: dict[str, tuple[float, float]]


def average_precision(truth: Truth, results: Iterable[dict[str, Any]]) -> AveragePrecision:
    """Score COCO results (`coco_rows`), at most 100 a picture, against the truth."""
    return summary(precision_table(truth, results), truth.names)


def precision_table(truth: Truth, results: Iterable[dict[str, Any]]) -> Floats:
    """COCO's table of precisions, (T,R,K,A,M): IoU 0.50 to 0.95, recall 0 to 1 in 101 steps, class,
    size, limit of boxes; -1 where there is nothing to find."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtra("faster-coco-eval", "train", "average precision") from error

    def quiet(text: str) -> None:
        """The library reports its progress; a figure that is printed here is printed once."""

    gold = COCO({"images": truth.images, "annotations": truth.annotations, "categories": truth.categories})
    rows = list(results)
    found = gold.loadRes(rows) if rows else COCO({**gold.dataset, "annotations": []})
    evaluation = COCOeval_faster(gold, found, iouType="bbox", print_function=quiet)
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])


def summary(precision: Floats, names: Names) -> AveragePrecision:
    """The figures from a `precision_table`."""
    table = np.where(precision[..., -1] < 0, np.nan, precision[..., -1])           # (T,R,K,A)

    def mean(part: np.ndarray) -> float:
        return float(np.nanmean(part)) if np.isfinite(part).any() else float("nan")

    return AveragePrecision(
        ap=mean(table[..., 0]), ap50=mean(table[0, ..., 0]), ap75=mean(table[5, ..., 0]),
        small=mean(table[..., 1]), medium=mean(table[..., 2]), large=mean(table[..., 3]),
        classes={n: (mean(table[:, :, k, 0]), mean(table[0, :, k, 0])) for k, n in enumerate(names)},
    )

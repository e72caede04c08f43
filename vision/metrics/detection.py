"""Average precision of detections as COCO defines it, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vision.boxes import xyxy_to_xywh
from vision.data.truth import Truth
from vision.errors import MissingExtra
from vision.instances import Instances
from vision.types import Detections, Floats, Names


def coco_rows(image_id: int, found: Detections, category_of: dict[int, int]) -> list[dict[str, Any]]:
    """Detections as COCO results, instances with their masks; those of a class without a category are left out."""
    columns = xyxy_to_xywh(found.boxes).tolist(), found.scores.tolist(), found.labels.tolist()
    return [
        {"image_id": image_id, "category_id": category_of[label], "bbox": box, "score": score,
         **({"segmentation": found.rle(i)} if isinstance(found, Instances) else {})}
        for i, (box, score, label) in enumerate(zip(*columns, strict=True)) if label in category_of
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


def precision_table(
    truth: Truth, results: Iterable[dict[str, Any]], of: Literal["bbox", "segm", "boundary"] = "bbox"
) -> Floats:
    """COCO's table of precisions, (T,R,K,A,M): IoU 0.50 to 0.95, recall 0 to 1 in 101 steps, class,
    size, limit of boxes; -1 where there is nothing to find. of: whose IoU: boxes, masks or their borders (Cheng et
    al. 2021, "Boundary IoU")."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtra("faster-coco-eval", "train", "average precision") from error

    def quiet(text: str) -> None:
        """The library reports its progress; a figure that is printed here is printed once."""

    gold = COCO({"images": truth.images, "annotations": truth.annotations, "categories": truth.categories})
    rows = list(results)
    if of != "bbox":                                     # else an object's size would be its box's, and not its mask's
        rows = [{key: value for key, value in row.items() if key != "bbox"} for row in rows]
    found = gold.loadRes(rows) if rows else COCO({**gold.dataset, "annotations": []})
    evaluation = COCOeval_faster(gold, found, iouType=of, print_function=quiet)
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


def mask_fit(
    truth: Truth, results: Iterable[dict[str, Any]], min_score: float, min_area: float = 96.0 ** 2
) -> tuple[float, int]:
    """How well the masks of found objects lie: the mean IoU with the truth's, and of how many objects.

    An object larger than `min_area` pixels counts as found by the surest box of its class that scores `min_score` or
    more and overlaps its own by an IoU of 0.5 or more. NaN where none is found.
    """
    from faster_coco_eval import COCO
    from faster_coco_eval.core import mask

    gold = COCO({"images": truth.images, "annotations": truth.annotations, "categories": truth.categories})
    rows: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in sorted(results, key=lambda row: -float(row["score"])):
        if row["score"] >= min_score:
            rows.setdefault((row["image_id"], row["category_id"]), []).append(row)
    fits: list[float] = []
    for one in truth.annotations:
        some = rows.get((one["image_id"], one["category_id"]), [])
        if one.get("iscrowd") or one["area"] <= min_area or not some:
            continue
        near = np.asarray(mask.iou([row["bbox"] for row in some], [one["bbox"]], [0]))[:, 0]
        if (near >= 0.5).any():
            found = some[int(np.argmax(near >= 0.5))]["segmentation"]
            fits.append(float(mask.iou([found], [gold.annToRLE(one)], [0])[0, 0]))
    return (float(np.mean(fits)) if fits else float("nan")), len(fits)

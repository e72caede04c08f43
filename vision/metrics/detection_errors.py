"""What a detector gets wrong at one threshold: found against labelled boxes, picture by picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vision.boxes import iou, xywh_to_xyxy
from vision.data.truth import Truth
from vision.types import Detections, Floats, Ints

MIN_IOU = 0.5                      # from here on a box is on an object


@dataclass(frozen=True)
class Judged:
    """A picture's labelled objects and found boxes, and how they go together one to one: pairs of the
    same class first, then of different ones, the largest overlap first.

    file_name: of the picture, as the data has it. boxes (N,4) xyxy, labels (N,), difficult (N,): the
    objects. found: what was found; its labels and `labels` count the data's classes.
    """

    file_name: str
    boxes: Floats
    labels: Ints
    difficult: npt.NDArray[np.bool_]
    found: Detections

    @cached_property
    def pairs(self) -> Ints:
        """(P,2) int64: an object that is not difficult, and the box that is on it."""
        overlap = iou(self.boxes, self.found.boxes) * ~self.difficult[:, None]
        objects, boxes = np.nonzero(overlap >= MIN_IOU)
        same = self.labels[objects] == self.found.labels[boxes]
        pairs: list[tuple[int, int]] = []
        for k in np.lexsort((-overlap[objects, boxes], ~same)):
            if all(objects[k] != i and boxes[k] != j for i, j in pairs):
                pairs.append((int(objects[k]), int(boxes[k])))
        return np.array(pairs, np.int64).reshape(-1, 2)

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """(P,): whether a pair is of one class."""
        return np.asarray(self.labels[self.pairs[:, 0]] == self.found.labels[self.pairs[:, 1]])

    @cached_property
    def missed(self) -> Ints:
        """Objects with no box on them."""
        wanted = np.flatnonzero(~self.difficult)
        return np.setdiff1d(wanted, self.pairs[:, 0])

    @cached_property
    def false(self) -> Ints:
        """Boxes on no object; those on a difficult one do not count."""
        on_difficult = (iou(self.boxes[self.difficult], self.found.boxes) >= MIN_IOU).any(axis=0)
        return np.setdiff1d(np.flatnonzero(~on_difficult), self.pairs[:, 1])

    @cached_property
    def faults(self) -> float:
        """How bad it is: one for each object that is not found as what it is, and the score of each
        box that is not right."""
        confused = self.pairs[~self.right, 1]
        wrong = np.concatenate([self.false, confused])
        return float(len(self.missed) + len(confused) + self.found.scores[wrong].sum())


def judge(
    truth: Truth, found: Sequence[Detections], category_of: Mapping[int, int], min_score: float
) -> list[Judged]:
    """Each picture of `truth` with what was found in it, in the same order, from `min_score` up.

    category_of: the category id for each of the model's classes; found boxes of others are left out.
    """
    index = {category: k for k, category in enumerate(sorted(c["id"] for c in truth.categories))}
    label_of = {label: index[category] for label, category in category_of.items()}
    objects: dict[int, list[tuple[list[float], int, bool]]] = {image["id"]: [] for image in truth.images}
    for a in truth.annotations:
        objects[a["image_id"]].append((a["bbox"], index[a["category_id"]], bool(a["iscrowd"])))
    judged = []
    for image, everything in zip(truth.images, found, strict=True):
        there = objects[image["id"]]
        known = np.isin(everything.labels, list(label_of))
        kept = everything[known & (everything.scores >= min_score)]
        labels = np.array([label_of[int(label)] for label in kept.labels], np.int64)
        judged.append(Judged(
            image["file_name"], xywh_to_xyxy([box for box, _, _ in there]),
            np.array([k for _, k, _ in there], np.int64), np.array([d for _, _, d in there], bool),
            Detections(kept.boxes, kept.scores, labels),
        ))
    return judged


def confusion(pictures: Sequence[Judged], classes: int) -> npt.NDArray[np.int64]:
    """(C+1,C+1): a row a true class, a column a found one; the last of each is background, so that the
    last column counts the missed objects and the last row the boxes on nothing."""
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for p in pictures:
        for there, found in p.pairs:
            counts[p.labels[there], p.found.labels[found]] += 1
        for there in p.missed:
            counts[p.labels[there], classes] += 1
        for found in p.false:
            counts[classes, p.found.labels[found]] += 1
    return counts

"""Accuracy of face landmarks on the iBUG 68 points (300-W, Sagonas et al. 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision.boxes import iou
from vision.types import Floats

JAW, INNER = slice(0, 17), slice(17, 68)
_RIGHT, _LEFT = slice(36, 42), slice(42, 48)           # the eyes, corner first
_SAME = 0.3                                            # of a labelled face and a found one: overlap of boxes
FAILED = 0.1                                           # a face whose mean error is larger


@dataclass(frozen=True)
class FaceErrors:
    """The error of every labelled face: mean distance of the points over a length of that face.

    ocular: over the distance of the outer eye corners, of all 68 points; inner: of the 51 that are not
    the jaw; jaw: of the 17. pupil: all 68 over the distance of the eyes' centres. Each (N,), NaN
    for a face that was not found. surplus: faces found where none is labelled.
    """

    ocular: Floats
    inner: Floats
    jaw: Floats
    pupil: Floats
    surplus: int

    @property
    def found(self) -> int:
        """How many of the labelled faces were found."""
        return int(np.isfinite(self.ocular).sum())

    @property
    def failure_rate(self) -> float:
        """The share of labelled faces with an error above 0.1, or not found."""
        return float(1 - (self.ocular <= FAILED).mean())

    def summary(self) -> dict[str, float]:
        """The figures in plain values: means of found faces, `p90` of `ocular` too."""
        some = self.found > 0
        means = {name: getattr(self, name) for name in ("ocular", "inner", "jaw", "pupil")}
        return {
            "faces": len(self.ocular),
            "found": self.found,
            "surplus": self.surplus,
            **{f"nme_{name}": float(np.nanmean(v)) if some else float("nan") for name, v in means.items()},
            "p90": float(np.nanquantile(self.ocular, 0.9)) if some else float("nan"),
            "failure_rate": self.failure_rate,
        }


def compare(truth: Sequence[Floats], found: Sequence[Floats]) -> FaceErrors:
    """The errors over pictures: labelled points (N,68,2) and found points (M,68,2) of each."""
    rows: list[tuple[float, ...]] = []
    surplus = 0
    for labelled, seen in zip(truth, found, strict=True):
        matches = _matched(labelled, seen)
        surplus += len(seen) - sum(m >= 0 for m in matches)
        rows += [
            _errors(face, seen[m]) if m >= 0 else (np.nan,) * 4
            for face, m in zip(labelled, matches, strict=True)
        ]
    ocular, inner, jaw, pupil = np.array(rows, np.float32).reshape(-1, 4).T
    return FaceErrors(ocular, inner, jaw, pupil, surplus)


def _matched(labelled: Floats, seen: Floats) -> list[int]:
    """For each labelled face the found one, greedily by overlap, or -1."""
    matches = [-1] * len(labelled)
    overlaps = iou(_boxes(labelled), _boxes(seen))
    while overlaps.size and overlaps.max() > _SAME:
        face, other = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        matches[int(face)] = int(other)
        overlaps[face], overlaps[:, other] = 0, 0
    return matches


def _boxes(points: Floats) -> Floats:
    corners = [points.min(axis=1), points.max(axis=1)] if len(points) else [points[:, 0], points[:, 0]]
    return np.concatenate(corners, axis=1)


def _errors(face: Floats, seen: Floats) -> tuple[float, ...]:
    away = np.linalg.norm(face - seen, axis=1)
    ocular = np.linalg.norm(face[_RIGHT.start] - face[45])
    pupil = np.linalg.norm(face[_RIGHT].mean(axis=0) - face[_LEFT].mean(axis=0))
    parts = (away / ocular, away[INNER] / ocular, away[JAW] / ocular, away / pupil)
    return tuple(float(part.mean()) for part in parts)

"""Top-k accuracy of a classifier on labelled pictures."""

from __future__ import annotations

from collections.abc import Sequence

from vision.errors import DataError
from vision.types import Scores


def accuracy(results: Sequence[Scores], labels: Sequence[int], k: int = 1) -> float:
    """The share, 0..1, of pictures whose label is among the k best. Raises DataError for none."""
    if not labels:
        raise DataError("accuracy needs at least one picture")
    hits = (label in [i for i, _ in r.top(k)] for r, label in zip(results, labels, strict=True))
    return sum(hits) / len(labels)

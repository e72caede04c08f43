"""How well text is read: whole words, characters, and where it is (ICDAR's protocol of 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Read(NamedTuple):
    """Of words that were read: the share that is right, case ignored and case kept, and the character error rate:
    edits over characters, case ignored. words: how many."""

    accuracy: float
    accuracy_cased: float
    cer: float
    words: int


def edits(one: str, other: str) -> int:
    """The fewest insertions, deletions and replacements that turn one text into the other (Levenshtein 1966)."""
    row = np.arange(len(other) + 1)
    letters = np.array(list(other), dtype="U1")
    for i, character in enumerate(one, start=1):
        without = np.minimum(row[1:] + 1, row[:-1] + (letters != character))          # deleted, or replaced
        row = np.concatenate([[i], without])
        row = np.minimum.accumulate(row - np.arange(len(row))) + np.arange(len(row))  # inserted
    return int(row[-1])


def read_figures(read: Sequence[str], truth: Sequence[str]) -> Read:
    """Compare what was read with what stands there, word by word."""
    pairs = list(zip(read, truth, strict=True))
    right = sum(one.casefold() == other.casefold() for one, other in pairs)
    wrong = sum(edits(one.casefold(), other.casefold()) for one, other in pairs)
    characters = sum(len(other) for _, other in pairs)
    count = max(1, len(pairs))
    cased = sum(one == other for one, other in pairs)
    return Read(right / count, cased / count, wrong / max(1, characters), len(pairs))

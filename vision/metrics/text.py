"""How well text is read: whole words, characters, and where it is (ICDAR's protocol of 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vision.text import quads
from vision.text.found import Place
from vision.types import Floats


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


class Located(NamedTuple):
    """Words that were found, against those that are there: precision, recall and their harmonic mean, 0..1."""

    precision: float
    recall: float
    hmean: float


class Icdar:
    """ICDAR's protocol of 2015 for words in scenes: a word is found where a quad overlaps its own with an IoU above
    `overlap`, each counted once; quads that lie by more than half on words that are ignored count nothing. End to end
    a word must also be read right, case ignored."""

    def __init__(self, overlap: float = 0.5) -> None:
        self.overlap = overlap
        self.right = self.read = self.found = self.there = 0

    def add(self, found: Floats, texts: Sequence[str], truth: Sequence[Place]) -> None:
        """Take a picture in. found: (N,4,2) quads. texts: what each says, or empty texts. truth: its words."""
        wanted = [place for place in truth if not place.ignored]
        nobodys = [place.quad for place in truth if place.ignored]
        counted = [i for i, quad in enumerate(found) if not any(
            quads.intersection(quad, other) > 0.5 * quads.area(quad) for other in nobodys)]
        table = quads.ious(found[counted], np.array([p.quad for p in wanted], np.float32).reshape(-1, 4, 2))
        self.found += len(counted)
        self.there += len(wanted)
        while table.size and table.max() > self.overlap:
            i, k = np.unravel_index(int(table.argmax()), table.shape)
            self.right += 1
            self.read += texts[counted[i]].casefold() == wanted[k].text.casefold()
            table[i], table[:, k] = 0, 0

    @property
    def detection(self) -> Located:
        """How well words were found."""
        return _located(self.right, self.found, self.there)

    @property
    def end_to_end(self) -> Located:
        """How well they were found and read."""
        return _located(self.read, self.found, self.there)


def _located(right: int, found: int, there: int) -> Located:
    precision, recall = right / max(1, found), right / max(1, there)
    return Located(precision, recall, 2 * precision * recall / max(1e-9, precision + recall))

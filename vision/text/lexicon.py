"""Words that are likely: a reading that is none of them may become one that is nearly as probable (the transcription
with a lexicon of Shi et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from vision.errors import DataError
from vision.text.ctc import Reading, classes_of
from vision.types import Floats

_EDITS = 2                             # a word that is further away is no candidate
_LIKELIER = 5.0                        # nats: how much likelier a word of the lexicon is than one that is not
_SHORTEST = 3                          # characters: too much is near a word of two
_NEAREST = 60                          # candidates that are weighed
_MOST = 1_000_000                      # words, of at most as many characters as these
_LONGEST = 24


class Lexicon:
    """Words that are likely, case ignored.

    words: any number up to a million; those with more than 24 characters are left out. Raises DataError for none.
    """

    def __init__(self, words: Iterable[str]) -> None:
        known = sorted({word.casefold() for word in words if 0 < len(word.strip()) <= _LONGEST and " " not in word})
        if not known or len(known) > _MOST:
            raise DataError(f"a lexicon has 1 to {_MOST} words; got {len(known)}.")
        self._known = frozenset(known)
        self._words = np.array(known)
        self._codes = self._words.view(np.uint32).reshape(len(known), -1)           # (W,L), 0 behind a word's end
        self._lengths = (self._codes > 0).sum(axis=1)

    def __contains__(self, word: str) -> bool:
        return word.casefold() in self._known

    def near(self, word: str) -> list[str]:
        """The words that are at most two edits away, the nearest first."""
        codes = np.array(list(word.casefold()), "U1").view(np.uint32)
        rows = np.flatnonzero(np.abs(self._lengths - len(codes)) <= _EDITS)
        table, lengths = self._codes[rows], self._lengths[rows]
        width = min(int(lengths.max(initial=0)), table.shape[1])
        row = np.broadcast_to(np.arange(width + 1), (len(rows), width + 1)).copy()
        for i, code in enumerate(codes, start=1):                                   # Levenshtein, all words at once
            best = np.minimum(row[:, 1:] + 1, row[:, :-1] + (table[:, :width] != code))
            row[:, 0] = i
            for k in range(width):
                row[:, k + 1] = np.minimum(best[:, k], row[:, k] + 1)
        distance = row[np.arange(len(rows)), lengths]
        order = np.argsort(distance, kind="stable")[:_NEAREST]
        return [str(self._words[rows[i]]) for i in order.tolist() if distance[i] <= _EDITS]

    def corrected(self, probs: Floats, reading: Reading, characters: Sequence[str]) -> Reading:
        """A reading whose words, where they are none of these, have become the most probable of those near them, if
        that is likely enough. probs: (T,C) float32, which was read."""
        gaps = [i for i, character in enumerate(reading.text) if character.isspace()]
        text, steps = "", []
        for begin, end in zip([-1, *gaps], [*gaps, len(reading.text)], strict=True):
            first = reading.steps[begin] + 1 if begin >= 0 else 0
            last = reading.steps[end] if end < len(reading.text) else len(probs)
            word, places = reading.text[begin + 1 : end], reading.steps[begin + 1 : end]
            better = self._better(probs[first:last], word, characters)
            if better != word:
                places = tuple(np.linspace(places[0], places[-1], len(better)).round().astype(int).tolist())
            text += better + reading.text[end : end + 1]
            steps += [*places, *reading.steps[end : end + 1]]
        return Reading(text, reading.score, tuple(steps))

    def _better(self, probs: Floats, word: str, characters: Sequence[str]) -> str:
        core = word.strip("!\"#$%&'()*+,-./:;?@ ")
        if len(core) < _SHORTEST or core in self or sum(c.isdigit() for c in core) * 2 > len(core):
            return word
        before, behind = word.split(core, 1)
        shape = str.upper if core.isupper() else str.capitalize if core[:1].isupper() else str.lower
        candidates = [before + shape(one) + behind for one in self.near(core)]
        if not candidates:
            return word
        likely = log_likelihoods(probs, [classes_of(one, characters) for one in [word, *candidates]])
        best = int(likely[1:].argmax())
        return candidates[best] if likely[1 + best] > likely[0] - _LIKELIER else word


def log_likelihoods(probs: Floats, texts: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """The logarithm of the probability of each text (classes, the blank being 0), over all paths that read so: the
    forward recursion of CTC for all texts at once. probs: (T,C). Returns (N,)."""
    lengths = np.array([len(one) for one in texts])
    states = np.zeros((len(texts), 2 * int(lengths.max(initial=0)) + 1), np.int64)       # blanks between characters
    for row, text in zip(states, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    skips = np.zeros(states.shape, bool)
    skips[:, 2:] = (states[:, 2:] > 0) & (states[:, 2:] != states[:, :-2])
    logs = np.log(np.maximum(probs, 1e-12).astype(np.float64))
    alpha = np.full(states.shape, -np.inf)
    alpha[:, 0] = 0.0
    for t, row in enumerate(logs):
        came = alpha.copy()
        if t:
            came[:, 1:] = np.logaddexp(came[:, 1:], alpha[:, :-1])
            came[:, 2:] = np.where(skips[:, 2:], np.logaddexp(came[:, 2:], alpha[:, :-2]), came[:, 2:])
        else:
            came[:, 1:2] = 0.0                             # a path begins with a blank or with the first character
        alpha = came + row[states]
    ends = np.arange(len(texts))
    return np.asarray(np.logaddexp(alpha[ends, 2 * lengths], alpha[ends, np.maximum(2 * lengths - 1, 0)]))

"""What a network of connectionist temporal classification has read (CTC, Graves et al. 2006): the likeliest class of
each step, repeats merged, blanks left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.types import Floats

if TYPE_CHECKING:
    from vision.text.lexicon import Lexicon

CASELESS = "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;?@"
CASED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + CASELESS


class Reading(NamedTuple):
    """A text, how sure of it, 0..1, and the step of the sequence at which each character stands."""

    text: str
    score: float
    steps: tuple[int, ...] = ()


class Characters(NamedTuple):
    """What a network can read.

    names: a character each. allowed: (C,) bool, which classes, the blank first, may be read; None: all. lexicon: words
    that are likely; None: all are alike.
    """

    names: Sequence[str]
    allowed: npt.NDArray[np.bool_] | None = None
    lexicon: Lexicon | None = None

    def read(self, probs: Floats) -> Reading:
        """The reading of one strip, probs (T,C) float32."""
        probs = probs if self.allowed is None else probs * self.allowed
        reading = read_steps(probs, self.names)
        return reading if self.lexicon is None else self.lexicon.corrected(probs, reading, self.names)

    def only(self, wanted: str) -> Characters:
        """Those of `wanted` alone, and the space. Raises UsageError, with what is lacking, where the network cannot
        read one of them."""
        lacking = sorted(set(wanted) - {*self.names, " "})
        if lacking:
            scripts = sorted({unicodedata.name(one, "?").split()[0].capitalize() for one in lacking})
            raise UsageError(
                f"this model cannot read {len(lacking)} of the characters asked for: {''.join(lacking)[:40]} "
                f"({', '.join(scripts)[:60]}). Leave them out of --alphabet, or give another --model."
            )
        return self._replace(allowed=np.array([True, *(name in wanted or name == " " for name in self.names)]))


ALPHABETS = {"latin": CASED, "capitals": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "digits": "0123456789"}


def read_steps(probs: Floats, characters: Sequence[str]) -> Reading:
    """The reading of one strip.

    probs: (T,C) float32, the probability of each class at each step; class 0 is the blank, class i + 1 the i-th of
    `characters`. The score is the mean of the probabilities of the steps at which the characters begin.
    """
    best = probs.argmax(axis=1)
    begins = np.flatnonzero((best > 0) & (best != np.concatenate([[0], best[:-1]])))
    if not len(begins):
        return Reading("", 0.0)
    text = "".join(characters[label - 1] for label in best[begins].tolist())
    return Reading(text, float(probs[begins, best[begins]].mean()), tuple(begins.tolist()))


def classes_of(text: str, characters: Sequence[str]) -> list[int]:
    """The classes of a text's characters for training; those that the alphabet lacks are left out, and an alphabet
    without capitals has them as small letters."""
    known = {character: i + 1 for i, character in enumerate(characters)}
    return [known[one] for one in (c if c in known else c.lower() for c in text) if one in known]

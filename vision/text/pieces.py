"""A piece of text over time: what was read of it, how surely, and whether other text has taken its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from typing import Any, Self

import numpy as np

from vision.text.ctc import Reading
from vision.text.looks import likeness
from vision.text.reader import Piece
from vision.types import Floats, Image

_LARGER = 1.2                          # a piece that has grown by that is read again
_AGAIN, _LATER = 0.25, 1.0             # seconds between two readings: of the first eight, of those that follow
_MOST = 8
_ALIKE = 0.5                           # likeness of a look that shows the same letters
_OTHER = 0.5                           # share of characters in common: of other text there are fewer
_SURE, _SURER = 0.8, 0.9               # scores of readings: of other text that is believed at once, of other digits
_CONFUSED = str.maketrans("0oIi|", "OOlll")                  # a reading that takes one for the other is the same


@dataclass
class Followed:
    """A piece of text that is followed.

    id: its own, as in `Texts.ids`. start, end: when it was first and last seen, seconds. quad: (4,2) where, in pixels.
    height: of the letters, as large as they were read, in pixels. looked, looks: when it was read last, and how often.
    votes: the summed scores of each text that was read. best: of each its best score, and where its characters stand.
    turn: at which corner of the quad the text begins. look: (16,w) uint8, as it was when it was read last.
    unchanged: when it last looked like that. changed: since when it does not, seconds; None: it does.
    rival: what is read in its place since then, as long as that is in doubt.
    sought: what it said when it was last shown as part of what is looked for; None: it never was.
    """

    id: int
    start: float
    end: float
    quad: Floats
    height: float = 0.0
    looked: float = -1e9
    looks: int = 0
    votes: dict[str, float] = field(default_factory=dict)
    best: dict[str, tuple[float, list[float]]] = field(default_factory=dict)
    turn: int = 0
    look: Image | None = None
    unchanged: float = -1e9
    changed: float | None = None
    rival: Followed | None = None
    sought: str | None = None

    def see(self, quad: Floats, look: Image, time: float) -> None:
        """It is there. quad: (4,2) in pixels. look: (16,w) uint8. time: seconds."""
        self.end, self.quad = time, quad
        if self.look is None or (self.rival is None and likeness(self.look, look) >= _ALIKE):
            self.unchanged, self.changed = time, None
        elif self.changed is None:
            self.changed, self.looked = time, -1e9                   # read at once

    def wants(self, height: float, time: float) -> bool:
        """Whether to read it now. height: of the letters, in pixels."""
        wait = _AGAIN if self.looks < _MOST or self.changed is not None else _LATER
        return height > _LARGER * self.height or time - self.looked >= wait

    def heard(self, piece: Piece, look: Image, height: float, time: float, min_text: float) -> Followed | None:
        """Take a reading in; returns the other text that has taken its place, which ends it.

        Text that has little in common with what stood there is believed at once where it is surely read; else it has to
        be read twice, as have other digits in text that looks the same. min_text: a reading that scores less is no sign
        of other text.
        """
        self.looked = time
        read, said = piece.reading, self.read().reading
        if self.changed is None and _counted(read, said):
            self.changed = time
        if self.changed is None or not said.text or same(read.text, said.text):
            self._take(piece, look, height, time)
            return None
        if read.score < min_text or not read.text.strip():
            return None
        again = self.rival is not None and same(self.rival.read().reading.text, read.text)
        if self.rival is None or not again:
            self.rival = Followed(0, self.changed, time, self.quad)
        self.rival.end, self.rival.quad = time, self.quad
        self.rival._take(piece, look, height, time)
        alike = SequenceMatcher(None, _plain(read.text), _plain(said.text)).ratio()
        if not again and (alike >= _OTHER or read.score < _SURE):
            return None
        self.end = min(self.unchanged, self.rival.start)
        return self.rival

    def _take(self, piece: Piece, look: Image, height: float, time: float) -> None:
        text, score = piece.reading.text, piece.reading.score
        self.height, self.looked, self.looks = max(height, self.height), time, self.looks + 1
        self.look, self.unchanged, self.changed, self.rival = look, time, None, None
        self.votes[text] = self.votes.get(text, 0.0) + score
        if score >= self.best.get(text, (0.0, []))[0]:
            self.best[text] = (score, piece.places.tolist())
            begins = [float(np.abs(np.roll(self.quad, turn, axis=0) - piece.quad).max()) for turn in range(4)]
            self.turn = int(np.argmin(begins))

    def read(self) -> Piece:
        """What it says: the text with the most votes, as it was read best."""
        text = max(self.votes, key=lambda one: (self.votes[one], one)) if self.votes else ""
        score, places = self.best.get(text, (0.0, []))
        return Piece(Reading(text, score), np.array(places, np.float32), np.roll(self.quad, self.turn, axis=0))

    def state(self) -> dict[str, Any]:
        """All of it, in plain values and arrays."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The piece of a `state()`."""
        values = dict(state)
        values["quad"] = np.asarray(values["quad"], np.float32)
        values["best"] = {text: (score, list(places)) for text, (score, places) in values["best"].items()}
        values["look"] = None if values["look"] is None else np.asarray(values["look"], np.uint8)
        values["rival"] = None if values["rival"] is None else cls.of(values["rival"])
        return cls(**values)


def _counted(one: Reading, other: Reading) -> bool:
    """Whether two sure readings have as many digits, and others."""
    digits = ["".join(filter(str.isdigit, reading.text)) for reading in (one, other)]
    return min(one.score, other.score) >= _SURER and len(digits[0]) == len(digits[1]) and digits[0] != digits[1]


def same(one: str, other: str) -> bool:
    """Whether two readings may be of one text: alike but for case, spaces, punctuation, and letters that look alike."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    letters = "".join(c for c in text if c.isalnum() or c == "|") or text.strip()
    return letters.translate(_CONFUSED).casefold()

"""Text on a video: each piece is followed, read when it is seen better than before, and told of once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from vision.text import quads
from vision.text.ctc import Reading
from vision.text.lexicon import Lexicon
from vision.text.lines import TextEvent, Texts
from vision.text.reader import Piece, TextReader, laid_out
from vision.tracking.tracker import Method, Tracker
from vision.types import Detections, Floats, Image

_METHOD = Method(hits=1, start=0.5, min_iou=0.2, reach=1.0)          # text does not turn into other text
_LARGER = 1.2                          # a piece that has grown by that is read again
_AGAIN = 0.25                          # seconds between two readings of a piece that stays as it is
_MOST = 8                              # of these


@dataclass
class _Piece:
    """A piece of text over time. votes: the summed scores of each text that was read."""

    start: float
    end: float
    quad: Floats
    height: float = 0.0
    looked: float = -1e9
    looks: int = 0
    votes: dict[str, float] = field(default_factory=dict)
    best: dict[str, tuple[float, list[float]]] = field(default_factory=dict)

    def wants(self, height: float, time: float) -> bool:
        """Whether to read it now."""
        return height > _LARGER * self.height or (self.looks < _MOST and time - self.looked >= _AGAIN)

    def heard(self, piece: Piece, height: float, time: float) -> None:
        """Take a reading in."""
        text, score = piece.reading.text, piece.reading.score
        self.height, self.looked, self.looks = max(height, self.height), time, self.looks + 1
        self.votes[text] = self.votes.get(text, 0.0) + score
        if score >= self.best.get(text, (0.0, []))[0]:
            self.best[text] = (score, piece.places.tolist())

    def read(self) -> Piece:
        """What it says: the text with the most votes, as it was read best."""
        text = max(self.votes, key=lambda one: (self.votes[one], one)) if self.votes else ""
        score, places = self.best.get(text, (0.0, []))
        return Piece(Reading(text, score), np.array(places, np.float32), self.quad)


class TextTracker:
    """Follows the text of one video. It remembers: one tracker a stream.

    Text is looked for in every frame. A piece is read when it is new, when it has grown, and a few times more; what
    it says is what most of these readings, weighed by their scores, say. When it has not been seen for `lost_after`
    seconds it is over, and where it was there for `stable` seconds it becomes an event.

    reader: finds and reads; several trackers may share one, and none closes it.
    find: only texts like these, with * and ? as in names of files, case ignored; all unless given.
    cover: give the quads that are to be made unreadable: of what is shown, and of what was there up to
        `lost_after` seconds ago.
    min_score, min_text, turned, alphabet, lexicon: as in `TextReader.submit`.
    """

    def __init__(
        self, reader: TextReader, *, lost_after: float = 1.0, stable: float = 0.5, find: Sequence[str] = (),
        cover: bool = False, min_score: float | None = None, min_text: float | None = None, turned: bool = False,
        alphabet: str | None = None, lexicon: Lexicon | None = None,
    ) -> None:
        self.reader, self.stable, self.find, self.cover = reader, stable, find, cover
        self.min_score, self.turned, self.characters = min_score, turned, reader.characters(alphabet, lexicon)
        self.min_text = reader.card.min_score if min_text is None else min_text
        self.lost_after = lost_after
        self._tracker = Tracker(_METHOD, lost_after, reader.detector.card.min_score)
        self._pieces: dict[int, _Piece] = {}

    def __call__(self, image: Image, time: float) -> Texts:
        """The text in the next frame. image: (H,W,3) uint8 BGR. time: seconds."""
        found = self.reader.detector(image, min_score=self.min_score)
        seen = Detections(quads.boxes_of(found.quads), found.scores, np.zeros(len(found), np.int64))
        tracks = self._tracker(seen, time)
        ids = [i for i, row in zip(tracks.ids.tolist(), tracks.rows.tolist(), strict=True) if row >= 0]
        rows = [row for row in tracks.rows.tolist() if row >= 0]
        for i, row in zip(ids, rows, strict=True):
            piece = self._pieces.setdefault(i, _Piece(time, time, found.quads[row]))
            piece.end, piece.quad = time, found.quads[row]
        self._look(image, ids, time)
        shown = laid_out([self._pieces[i].read() for i in ids], self.min_text, ids)
        events = self._over(time - self.lost_after)
        covered = self._covered(found.quads) if self.cover else None
        return replace(matching(shown, self.find), events=events, covered=covered)

    def close(self) -> tuple[TextEvent, ...]:
        """The stream is over: what was still there."""
        return self._over(float("inf"))

    def _look(self, image: Image, ids: Sequence[int], time: float) -> None:
        heights = {i: float(quads.sides(self._pieces[i].quad[None]).min()) for i in ids}
        asked = [i for i in ids if self._pieces[i].wants(heights[i], time)]
        if asked:
            pieces = np.array([self._pieces[i].quad for i in asked], np.float32)
            read = self.reader.read(image, pieces, turned=self.turned, characters=self.characters)
            for i, piece in zip(asked, read, strict=True):
                self._pieces[i].heard(piece, heights[i], time)

    def _over(self, before: float) -> tuple[TextEvent, ...]:
        """Forget the pieces that were last seen before then, and tell of those that were there long enough."""
        gone = [i for i, piece in self._pieces.items() if piece.end < before]
        events = []
        for i in gone:
            piece = self._pieces.pop(i)
            text, score, _ = (read := piece.read()).reading
            long_enough = piece.end - piece.start >= self.stable and score >= self.min_text
            if text.strip() and long_enough and (not self.find or len(matching(laid_out([read], 0.0), self.find))):
                x, y = piece.quad.mean(axis=0).tolist()
                events.append(TextEvent(text.strip(), score, piece.start, piece.end, i, (x, y)))
        return tuple(sorted(events, key=lambda event: (event.start, event.id)))

    def _covered(self, found: Floats) -> Floats:
        """What must not be read: without `find` all that was found now or a moment ago; with it, what is like that."""
        if not self.find:
            return np.concatenate([found, *(piece.quad[None] for piece in self._pieces.values())])
        held = [piece.read() for piece in self._pieces.values()]
        kept = [piece.quad for piece in held if len(matching(laid_out([piece], 0.0), self.find))]
        return np.array(kept, np.float32).reshape(-1, 4, 2)

    def state(self) -> dict[str, Any]:
        """All that it remembers of the stream, in plain values and arrays."""
        return {
            "tracker": self._tracker.state(),
            "pieces": [{"id": i, **asdict(piece)} for i, piece in self._pieces.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a tracker with the same settings."""
        self._tracker.restore(state["tracker"])
        self._pieces = {}
        for one in state["pieces"]:
            values = {key: value for key, value in one.items() if key != "id"}
            values["quad"] = np.asarray(values["quad"], np.float32)
            values["best"] = {text: (score, list(places)) for text, (score, places) in values["best"].items()}
            self._pieces[one["id"]] = _Piece(**values)


def matching(texts: Texts, patterns: Sequence[str]) -> Texts:
    """The words that are like one of `patterns` (* and ? as in names of files, case ignored), and the words of lines
    that are; all of them where there is no pattern."""
    if not patterns or not len(texts):
        return texts
    wanted = [pattern.casefold() for pattern in patterns]

    def like(text: str) -> bool:
        return any(fnmatchcase(text.casefold(), pattern) for pattern in wanted)

    lines = {int(line.lines[0]) for line in texts.by_line() if like(line.line)}
    return texts[[i for i, word in enumerate(texts.texts.tolist()) if int(texts.lines[i]) in lines or like(word)]]

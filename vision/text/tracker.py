"""Text on a video: each piece is followed, read when it is seen better than before, and told of once."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from vision.text import quads
from vision.text.lexicon import Lexicon
from vision.text.lines import TextEvent, Texts
from vision.text.looks import look_of
from vision.text.pieces import Followed, same
from vision.text.reader import Piece, TextReader, laid_out
from vision.tracking.tracker import Method, Tracker
from vision.types import Detections, Floats, Image

_METHOD = Method(hits=1, start=0.5, min_iou=0.2, reach=1.0)          # other text is told by how it looks


class TextTracker:
    """Follows the text of one video. It remembers: one tracker a stream.

    Text is looked for in every frame. A piece is read when it is new, when it has grown, and a few times more; what
    it says is what most of these readings, weighed by their scores, say. Where it looks otherwise than when it was
    read, it is read again, and other text is a piece of its own, from then on. When it has not been seen for
    `lost_after` seconds it is over, and where it was there for `stable` seconds it becomes an event.

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
        decides = reader.detector.card.min_score if min_score is None else min_score
        self._tracker = Tracker(_METHOD, lost_after, min(max(decides, 0.01), 0.99))
        self._pieces: dict[int, Followed] = {}                       # by track
        self._gone: list[Followed] = []                              # whose place other text has taken
        self._next = 1

    def __call__(self, image: Image, time: float) -> Texts:
        """The text in the next frame. image: (H,W,3) uint8 BGR. time: seconds."""
        found = self.reader.detector(image, min_score=self.min_score)
        seen = Detections(quads.boxes_of(found.quads), found.scores, np.zeros(len(found), np.int64))
        tracks = self._tracker(seen, time)
        rows = {i: row for i, row in zip(tracks.ids.tolist(), tracks.rows.tolist(), strict=True) if row >= 0}
        self._look(image, {i: found.quads[row] for i, row in rows.items()}, time)
        here = [self._pieces[i] for i in rows]
        laid = laid_out([piece.read() for piece in here], self.min_text, [piece.id for piece in here])
        shown = matching(laid, self.find)
        for piece in here:
            if self.find and piece.id in shown.ids:
                piece.sought = piece.read().reading.text
        events = self._over(time - self.lost_after)
        covered = self._covered(found.quads) if self.cover else None
        return replace(shown, events=events, covered=covered)

    def close(self) -> tuple[TextEvent, ...]:
        """The stream is over: what was still there."""
        return self._over(float("inf"))

    def _look(self, image: Image, places: Mapping[int, Floats], time: float) -> None:
        """Take in where the pieces of these tracks are, and read those that ask for it."""
        looks = {i: look_of(image, quad) for i, quad in places.items()}
        heights = {i: float(quads.sides(quad[None]).min()) for i, quad in places.items()}
        for i, quad in places.items():
            if i not in self._pieces:
                self._pieces[i] = self._new(Followed(0, time, time, quad))
            self._pieces[i].see(quad, looks[i], time)
        asked = [i for i in places if self._pieces[i].wants(heights[i], time)]
        if not asked:
            return
        read = self.reader.read(
            image, np.array([places[i] for i in asked], np.float32), turned=self.turned, characters=self.characters)
        for i, piece in zip(asked, read, strict=True):
            other = self._pieces[i].heard(piece, looks[i], heights[i], time, self.min_text)
            if other is not None:
                self._gone.append(self._pieces[i])
                self._pieces[i] = self._new(other)

    def _new(self, piece: Followed) -> Followed:
        piece.id, self._next = self._next, self._next + 1
        return piece

    def _over(self, before: float) -> tuple[TextEvent, ...]:
        """Forget the pieces that were last seen before then, and those whose place was taken; tell of those that were
        there long enough."""
        over = [self._pieces.pop(i) for i, piece in list(self._pieces.items()) if piece.end < before]
        told = [self._told(piece) for piece in [*self._gone, *over]]
        self._gone = []
        return tuple(sorted(filter(None, told), key=lambda event: (event.start, event.id)))

    def _told(self, piece: Followed) -> TextEvent | None:
        """What a piece was; None for one that was there too shortly, cannot be read, or was not looked for."""
        text, score, _ = (read := piece.read()).reading
        if not text.strip() or score < self.min_text or piece.end - piece.start < self.stable:
            return None
        if self.find and not self._sought(piece, read):
            return None
        x, y = piece.quad.mean(axis=0).tolist()
        return TextEvent(text.strip(), score, piece.start, piece.end, piece.id, (x, y))

    def _covered(self, found: Floats) -> Floats:
        """What must not be read: without `find` all that was found now or a moment ago; with it, what is like that."""
        if not self.find:
            return np.concatenate([found, *(piece.quad[None] for piece in self._pieces.values())])
        pieces = self._pieces.values()
        held = [(one, one.read()) for piece in pieces for one in (piece, piece.rival) if one is not None]
        lines = matching(laid_out([read for _, read in held], 0.0, range(len(held))), self.find).ids
        kept = [read.quad for i, (one, read) in enumerate(held) if i in lines or self._sought(one, read)]
        return np.array(kept, np.float32).reshape(-1, 4, 2)

    def _sought(self, piece: Followed, read: Piece) -> bool:
        """Whether a piece is like what is looked for, by itself or as part of a line in which it was shown."""
        once = piece.sought is not None and same(piece.sought, read.reading.text)
        return once or len(matching(laid_out([read], 0.0), self.find)) > 0

    def state(self) -> dict[str, Any]:
        """All that it remembers of the stream, in plain values and arrays."""
        pieces = [{"track": i, **piece.state()} for i, piece in self._pieces.items()]
        return {"tracker": self._tracker.state(), "pieces": pieces, "next": self._next}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`, of a tracker with the same settings."""
        self._tracker.restore(state["tracker"])
        self._next = int(state["next"])
        self._pieces = {
            one["track"]: Followed.of({key: value for key, value in one.items() if key != "track"})
            for one in state["pieces"]
        }


def matching(texts: Texts, patterns: Sequence[str]) -> Texts:
    """The words that are like one of `patterns` (* and ? as in names of files, case ignored), and the words of lines
    that are; all of them where there is no pattern."""
    if not patterns or not len(texts):
        return texts
    wanted = [_folded(pattern).replace("[", "[[]") for pattern in patterns]      # a bracket is one, and no class

    def like(text: str) -> bool:
        return any(fnmatchcase(_folded(text), pattern) for pattern in wanted)

    lines = {int(line.lines[0]) for line in texts.by_line() if like(line.line)}
    return texts[[i for i, word in enumerate(texts.texts.tolist()) if int(texts.lines[i]) in lines or like(word)]]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())                    # an accent may be a character of its own

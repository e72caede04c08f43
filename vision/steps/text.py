"""What is written in frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.drawing import Canvas
from vision.errors import UsageError
from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import ModelStep, Named, Pending, Pool, Spec, Step
from vision.steps.faces import FollowedPeople
from vision.text.lines import TextEvent, Texts, clock, cover
from vision.types import Frame, Image, Result

if TYPE_CHECKING:
    from vision.io import Info
    from vision.text.lexicon import Lexicon


@spec
class ReadText(Spec):
    """Read text: words and lines with their places, in the order of reading."""

    task = "text"
    result = Texts

    model: Annotated[Named, Option(
        "the model that reads: a name of `vision models`, a path to weights, or an .onnx file of PP-OCR")] = "default"
    detector: Annotated[Named, Option(
        "the model that finds text: a name, or an .onnx file of DB or EAST")] = "default"
    min_score: Annotated[float | None, Option(
        "the lowest score of a place where text is; the detector's own unless given", "0..1", min=0, max=1,
        remote=True)] = None
    min_text: Annotated[float | None, Option(
        "the lowest score of what is read; the model's own unless given", "0..1", min=0, max=1, remote=True)] = None
    alphabet: Annotated[str | None, Option(
        "the characters that may be read: latin (letters without accents, digits and signs), capitals, digits, or "
        "themselves; all unless given",
        remote=True)] = None
    lexicon: Annotated[Path | str | None, Option(
        "file of likely words, one a line: a word that is none of them becomes one that is nearly as probable")] = None
    turned: Annotated[bool, Option("also read upside down", remote=True)] = False
    find: Annotated[tuple[str, ...], Option(
        'only texts like this one, as often as you like: "ABC*", ? is one character; case is ignored',
        remote=True)] = ()
    blur: Annotated[bool, Option("make the text unreadable in all that is shown, instead of marking it",
                                 remote=True)] = False
    lost_after: Annotated[float, Option(
        "a text that is not seen for so long is over", "seconds", min=1e-3, remote=True)] = 1.0
    stable: Annotated[float, Option(
        "a text that was there for less is no event", "seconds", min=0, remote=True)] = 0.5

    @cached_property
    def likely(self) -> Lexicon | None:
        """The words of `lexicon`. Raises DataError."""
        from vision.data.words import read_lexicon

        return None if self.lexicon is None else read_lexicon(Path(self.lexicon))

    def check(self) -> None:
        """Read the lexicon, and refuse an empty pattern, and frames in which text would be left open."""
        _ = self.likely
        if self.blur and self.every != 1:
            raise UsageError(f"text is made unreadable in every frame; got every={self.every}.")
        if any(not pattern.strip() for pattern in self.find):
            raise UsageError('--find is a text such as "ABC*"; got an empty one.')

    def load(self, pool: Pool) -> Any:
        """The reader with its detector. Raises as `TextReader.load` does, UsageError for characters that it lacks."""
        from vision.text.reader import TextReader

        reader = pool.load(TextReader.load, self.model, detector=self.detector)
        reader.characters(self.alphabet)
        return reader

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream: text is followed on a video, and found anew on each picture."""
        how: dict[str, Any] = {
            "min_score": self.min_score, "min_text": self.min_text, "turned": self.turned, "alphabet": self.alphabet,
            "lexicon": self.likely,
        }
        if info.kind in ("picture", "pictures"):
            return ReadPictures(self, model, partial(model.submit, cover=self.blur, **how))
        from vision.text.tracker import TextTracker

        tracker = TextTracker(model, lost_after=self.lost_after, stable=self.stable, find=self.find, cover=self.blur,
                              **how)
        return ReadVideo(self, model, tracker)


class Hiding(Step):
    """Text that is made unreadable where its result says so, before anybody sees the picture."""

    def shown(self, frame: Frame, result: Any) -> Image:
        """The picture; where text is to be hidden, a copy without it."""
        if result.covered is None or not len(result.covered):
            return frame.image
        image = frame.image.copy()
        for quad in result.covered:
            cover(image, quad)
        return image

    def paint(self, result: Any, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Draw the words, unless they are hidden: then nothing."""
        if result.covered is None:
            super().paint(result, canvas, others)


class ReadPictures(Hiding, ModelStep):
    """Text on pictures, each by itself."""

    def __init__(self, spec: ReadText, model: Any, submit: Any) -> None:
        super().__init__(spec.key, model, submit)
        self.find, self.blur = spec.find, spec.blur
        self._hits: list[str] = []

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on the frame's picture."""
        wait = super().begin(frame, sofar)
        return lambda: self._kept(wait(), frame)

    def _kept(self, texts: Any, frame: Frame) -> Texts:
        from vision.text.tracker import matching

        kept: Texts = matching(texts, self.find)
        if self.find:
            self._hits += [f"{line.line!r} in {Path(frame.source).name}" for line in kept.by_line()]
        return replace(kept, covered=(kept.quads if self.find else texts.covered) if self.blur else None)

    def state(self) -> State:
        """What was found."""
        return {"found": list(self._hits)}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._hits = list(state["found"])

    def summary(self) -> Sequence[str]:
        """Where what was looked for is."""
        return found_lines(self.find, self._hits)


class ReadVideo(Hiding, FollowedPeople):
    """Text on a video. tracker: called with each picture and its time."""

    def __init__(self, spec: ReadText, model: Any, tracker: Any) -> None:
        super().__init__(spec.key, model, tracker)
        self.find = spec.find
        self._events: list[TextEvent] = []

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The text in the frame."""
        texts = super().look(frame, sofar)
        assert isinstance(texts, Texts)
        self._events += texts.events if self.find else ()
        return texts

    def end(self) -> Sequence[TextEvent]:
        """The texts that were there to the end."""
        super().end()
        last: tuple[TextEvent, ...] = self.tracker.close()
        self._events += last if self.find else ()
        return last

    def state(self) -> State:
        """What is there, and what was found."""
        return {**super().state(), "found": [asdict(event) for event in self._events]}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self._events = [TextEvent(**{**one, "centre": tuple(one["centre"])}) for one in state["found"]]

    def summary(self) -> Sequence[str]:
        """When what was looked for was there."""
        times = [f"{clock(e.start)} to {clock(e.end)}  {e.text!r}  ({e.score:.2f})" for e in
                 sorted(self._events, key=lambda event: event.start)]
        return found_lines(self.find, times)


def found_lines(find: Sequence[str], hits: Sequence[str]) -> list[str]:
    """What a search tells at the end; nothing where nothing was looked for."""
    if not find:
        return []
    wanted = ", ".join(find)
    times = "once" if len(hits) == 1 else f"{len(hits)} times"
    return [f"{wanted}: found {times}", *(f"  {hit}" for hit in hits)] if hits else [f"{wanted}: not found"]

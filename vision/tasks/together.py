"""What ensembles share: several models of a task that answer as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from statistics import fmean

import numpy as np

from vision.card import Card
from vision.engine import Engine, Outputs
from vision.errors import EngineError, ModelError


class Engines:
    """The engines of an ensemble, for those who ask where it runs, and to close them. Each member runs its own."""

    input_wh = None

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)

    @property
    def backend(self) -> str:
        """What runs them."""
        return self._said(lambda engine: engine.backend)

    @property
    def device(self) -> str:
        """Where they run."""
        return self._said(lambda engine: engine.device)

    @property
    def precision(self) -> str:
        """In which numbers."""
        return self._said(lambda engine: engine.precision)

    @property
    def label(self) -> str:
        """Back end, device and precision for a reader."""
        return self._said(lambda engine: engine.label)

    @property
    def in_flight(self) -> int:
        """How many pictures keep all of them busy."""
        return max(engine.in_flight for engine in self._engines)

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Raises EngineError: the members see a picture in sizes of their own."""
        raise EngineError("an ensemble has no graph of its own: ask its members")

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Raises EngineError."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Close all of them."""
        for engine in self._engines:
            engine.close()

    def _said(self, what: Callable[[Engine], str]) -> str:
        return " + ".join(dict.fromkeys(map(what, self._engines)))


def joint(cards: Sequence[Card], names: tuple[str, ...]) -> Card:
    """The card of an ensemble with the classes `names`: the first one's, with the names, the licences and the mean of
    the thresholds of all."""
    return replace(
        cards[0], name=",".join(card.name for card in cards), names=names, int8=None, figures={}, measured_on="",
        licence="; ".join(dict.fromkeys(card.licence for card in cards)),
        use="research" if any(card.use == "research" for card in cards) else "free",
        min_score=fmean(card.min_score for card in cards),
    )


def same_classes(cards: Sequence[Card]) -> tuple[str, ...]:
    """The classes of all members. Raises ModelError where they are not the same, in the same order."""
    first = cards[0]
    for other in cards[1:]:
        if other.classes != first.classes:
            raise ModelError(
                f"an ensemble needs the same classes in the same order: {first.name!r} has {len(first.classes)} "
                f"({', '.join(first.classes[:3])}, ...), {other.name!r} has {len(other.classes)} "
                f"({', '.join(other.classes[:3])}, ...)."
            )
    return first.classes

"""What `auto` came to, and what it goes by: other networks beside it, and what it came to in a run that now goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from vision.engine.base import Engine

E = TypeVar("E", bound=Engine)
current: ContextVar[Choices | None] = ContextVar("vision-engine-choices", default=None)


class Choices:
    """The engines that are loaded in blocks of `with choices.noted()`, and what they shall be.

    wanted: back end and precision by the name of a card: what `vision.engine.load` takes where it is asked for `auto`.
    several: whether they work at the same time.
    """

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, str]] = {}
        self.several = False
        self._engines: dict[str, Engine] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Have the engines that are loaded meanwhile noted here."""
        token = current.set(self)
        try:
            yield
        finally:
            current.reset(token)

    def settled(self, name: str, backend: str, precision: str) -> tuple[str, str]:
        """Back end and precision for the card `name`, `auto` replaced by what is wanted for it, if anything is."""
        if name not in self.wanted:
            return backend, precision
        one, other = self.wanted[name]
        return one if backend == "auto" else backend, other if precision == "auto" else precision

    def note(self, name: str, engine: E) -> E:
        """Keep an engine of the card `name`."""
        self._engines[name] = engine
        return engine

    def made(self) -> dict[str, list[str]]:
        """Back end and precision of each engine, by its card's name."""
        return {name: [engine.backend, engine.precision] for name, engine in self._engines.items()}

"""Networks that do not run in this process: who loads models may say where their engines come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from vision.card import Card
from vision.engine.base import Engine

From = Callable[[Card, str, str, str], Engine]
maker: ContextVar[From | None] = ContextVar("vision-engines-from", default=None)


@contextmanager
def engines_from(make: From) -> Iterator[None]:
    """Let `vision.engine.load` hand out what `make` gives while the block lasts, in this thread.

    make: called with the card, device, precision and back end that were asked for."""
    token = maker.set(make)
    try:
        yield
    finally:
        maker.reset(token)

"""Several sources that are read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vision.errors import SourceError
from vision.io.base import Info, Log, Reader, Span
from vision.types import Frame


@dataclass(frozen=True)
class Group:
    """A stream of a list that is opened when its turn comes. pictures: the files of still ones, in order."""

    uri: str
    open: Callable[[], Reader]
    pictures: tuple[Path, ...] = ()


class Chain:
    """Several sources one after the other; one that cannot be read is reported, and the others go on."""

    def __init__(self, info: Info, groups: list[Group]) -> None:
        self.info, self.groups = info, groups
        self.rate: float | None = None                   # of still pictures, where it was asked for
        self._current: Reader | None = None
        self._over = False                               # interrupted: no other source is begun

    def frames(self, span: Span, log: Log) -> Iterator[Frame]:
        """The wanted frames of each source in turn, with its own indices and times."""
        failed: list[SourceError] = []
        for group in self.groups:
            if self._over:
                return
            try:
                self._current = group.open()
                if self._over:                           # meanwhile
                    return
                if self.rate is not None:
                    set_rate(self._current, self.rate)
                yield from self._current.frames(replace(span), log)
            except SourceError as error:
                failed.append(error)
                log.note(f"passed over: {error}")
            finally:
                self.close()
        if len(failed) == len(self.groups):
            raise failed[0]

    @property
    def lost_at(self) -> float | None:
        """Since when the source that is being read is not there, in seconds of `time.monotonic`; None while it is."""
        return getattr(self._current, "lost_at", None)

    def interrupt(self) -> None:
        """End a wait of the source that is being read, from another thread; no other one is begun."""
        self._over = True
        interrupt = getattr(self._current, "interrupt", None)
        if interrupt is not None:
            interrupt()

    def close(self) -> None:
        """Close the source that is being read."""
        if self._current is not None:
            self._current.close()
            self._current = None


def set_rate(reader: Reader, rate: float) -> None:
    """Have still pictures come `rate` a second; nothing else is changed."""
    still: Any = getattr(reader, "reader", reader)       # behind `Realtime`
    if hasattr(still, "rate"):
        still.rate = rate

"""Seats for visitors: so many are served at a time, the others stand in line and are told how many are ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable


class Seats:
    """For one event loop. most: how many there are."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: set[Hashable] = set()
        self._line: list[Hashable] = []
        self._change = asyncio.Event()

    @property
    def taken(self) -> int:
        """How many sit."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """How many stand."""
        return len(self._line)

    def ask(self, who: Hashable) -> int:
        """0 where `who` has a seat now, else how many are served before: those in line ahead, and one that has to
        leave."""
        if who in self._taken:
            return 0
        if who not in self._line:
            self._line.append(who)
        place = self._line.index(who)
        if place < self.most - len(self._taken):
            self._line.remove(who)
            self._taken.add(who)
            return 0
        return place + 1

    def leave(self, who: Hashable) -> None:
        """Give a seat or a place in the line back."""
        self._taken.discard(who)
        if who in self._line:
            self._line.remove(who)
        self._change.set()
        self._change = asyncio.Event()

    async def changed(self) -> None:
        """Wait until somebody has left."""
        await self._change.wait()

"""How often somebody may do something."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

_REMEMBERED = 10_000                                     # addresses


class Rates:
    """A bucket for each address: it fills at a rate a second, up to a burst."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, address: str) -> float:
        """What the bucket holds."""
        held, when = self._buckets.get(address, (self.burst, 0.0))
        return min(self.burst, held + self.rate * (monotonic() - when))

    def take(self, address: str) -> bool:
        """Take one out; False where there is none."""
        left = self.left(address)
        self._buckets[address] = (left - 1 if left >= 1 else left, monotonic())
        self._buckets.move_to_end(address)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return left >= 1

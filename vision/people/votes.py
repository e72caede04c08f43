"""A name for a track: by the mean of the last looks at its face, and only where most of them agree."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vision.people.gallery import Gallery
from vision.types import Floats

_LOOKS = 12                     # at most so many count
FEWEST = 3                      # before a name is given
_EVERY = 0.2                    # seconds between two


class Said(NamedTuple):
    """person: their number in the gallery, -1: unknown. distance: to the nearest; inf before the first look."""

    person: int
    distance: float


class Votes:
    """One track's looks. A name needs three looks whose mean is near enough, and that person to be the nearest in more
    than half of them."""

    def __init__(self, since: float = 0.0) -> None:
        self.since = since                        # when the track was first seen, seconds
        self.seen = since                         # and last
        self._looks: deque[Floats] = deque(maxlen=_LOOKS)
        self.time = float("-inf")           # of the last look, seconds
        self.said = Said(-1, float("inf"))

    @property
    def looks(self) -> int:
        """How many looks count."""
        return len(self._looks)

    def due(self, time: float) -> bool:
        """Whether to look again at `time` seconds."""
        return not 0 <= time - self.time < _EVERY

    def take(self, vector: Floats, time: float, gallery: Gallery, named: float) -> Said:
        """Take in a look: vector (D,) at `time` seconds. named: the distance below which somebody is named."""
        self._looks.append(vector)
        self.time = time
        looks = np.stack(self._looks)
        (who,), (distance,) = gallery.nearest(looks.mean(axis=0, keepdims=True))
        agree = float((gallery.nearest(looks).people == who).mean())
        sure = len(looks) >= FEWEST and distance < named and agree > 0.5
        self.said = Said(int(who) if sure else -1, float(distance))
        return self.said

    def state(self) -> dict[str, Any]:
        """All that it remembers, in plain values and arrays."""
        looks = np.stack(self._looks) if self._looks else np.zeros((0, 0), np.float32)
        person, distance = self.said
        return {"looks": looks, "since": self.since, "seen": self.seen, "time": self.time, "person": person,
                "distance": distance}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self._looks.clear()
        self._looks.extend(np.asarray(state["looks"], np.float32))
        self.since, self.seen = float(state["since"]), float(state["seen"])
        self.time, self.said = float(state["time"]), Said(int(state["person"]), float(state["distance"]))

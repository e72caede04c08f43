"""All that is known of the road in a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vision.shown import Shown
from vision.types import Names

if TYPE_CHECKING:
    from vision.driving.alerts import Alert
    from vision.driving.free import FreeSpace
    from vision.driving.lines import LaneLines
    from vision.driving.obstacles import Obstacles


@dataclass(frozen=True, eq=False, repr=False)
class Situation(Shown):
    """What is on the road, where it is free, and what there is to warn of.

    obstacles: the objects. lanes: the lines that it was judged by. free: how far the road is free, direction by
    direction; None where it is not known. road: (h,w) bool at any size, what may be driven on; None likewise.
    events: the warnings that begin or end in this frame. active: those that are on, by kind.
    """

    obstacles: Obstacles
    lanes: LaneLines
    free: FreeSpace | None
    road: npt.NDArray[np.bool_] | None
    events: tuple[Alert, ...]
    active: Mapping[str, Alert]

    event_columns: ClassVar[Names] = (
        "source", "frame", "time_s", "event", "place", "side", "id", "label", "ttc_s", "distance_m", "speed_m_s",
        "to_line_m", "to_line_ratio", "lateral_m_s",
    )

    @property
    def calibrated(self) -> bool:
        """Whether its metres are metres; else there are none, and ratios and times to collision alone are given."""
        return self.lanes.calibrated

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`calibrated`, `objects`, `free`, `warnings` (the kinds that are on) and `events`; the lanes are in the record
        under their own key."""
        return {
            "calibrated": self.calibrated,
            "objects": self.obstacles.to_dict(names),
            "free": None if self.free is None else self.free.to_dict(),
            "warnings": list(self.active),
            "events": [event.to_dict(names) for event in self.events],
        }

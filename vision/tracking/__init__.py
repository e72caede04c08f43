"""Tracking: many objects (`Tracker`), one chosen object (`FOLLOWERS`), and counts (`Counter`)."""

from vision.tracking import overlay as overlay  # registers how counts are drawn
from vision.tracking.count import Counted, Counter, Event
from vision.tracking.dsst import CorrelationFilter
from vision.tracking.follow import Follower, Mil, Target
from vision.tracking.ivt import Ivt
from vision.tracking.scene import Scene, read_scene
from vision.tracking.tracker import METHODS, Method, Tracker

FOLLOWERS: dict[str, type[Follower]] = {"dsst": CorrelationFilter, "ivt": Ivt, "mil": Mil}

__all__ = [
    "FOLLOWERS", "METHODS", "Counted", "Counter", "Event", "Follower", "Ivt", "Method", "Scene", "Target", "Tracker",
    "read_scene",
]

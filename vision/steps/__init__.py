"""Steps, what they are made from, and `TASKS`, where all of them are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vision.errors import UsageError
from vision.spec import installed, nearest
from vision.state import State
from vision.steps.action import RecognizeActions
from vision.steps.attributes import DescribeFaces
from vision.steps.base import InTurn, ModelStep, Pending, Pool, Ready, Spec, Step
from vision.steps.blur import BlurFaces
from vision.steps.classify import Classify
from vision.steps.count import Count
from vision.steps.detect import Detect
from vision.steps.drive import Drive
from vision.steps.faces import FindFaces
from vision.steps.follow import Follow
from vision.steps.hands import FindHands
from vision.steps.identify import Identify
from vision.steps.instances import SegmentInstances
from vision.steps.lanes import FindLanes
from vision.steps.pose import EstimatePose
from vision.steps.segment import Segment
from vision.steps.text import ReadText
from vision.steps.track import Track

__all__ = [
    "TASKS", "BlurFaces", "Classify", "Count", "DescribeFaces", "Detect", "Drive", "EstimatePose", "FindFaces",
    "FindHands", "FindLanes",
    "Follow", "Identify", "InTurn", "ModelStep", "Pending", "Pool", "ReadText", "Ready", "RecognizeActions", "Segment",
    "SegmentInstances", "Spec", "State", "Step", "Task", "Track",
    "find_task", "tasks",
]


@dataclass(frozen=True)
class Task:
    """A row of `TASKS`.

    spec: the class that says what to do.
    after: the tasks whose results it needs, which a command puts before it.

    card: the name of the default model; empty for a task without a model.
    hidden: an older name of the command, which still works; empty for none.
    given: options of the tasks in `after`, where a plan is made of names.
    spares: those of `after` that it can do without, whose weights are for research: `free_only` leaves them out.
    """

    spec: type[Spec]
    after: tuple[str, ...] = ()
    card: str = ""
    hidden: str = ""
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spares: tuple[str, ...] = ()


TASKS: dict[str, Task] = {
    "detect": Task(Detect, card="nanodet-g"),
    "classify": Task(Classify, card="mobilenet-v2"),
    "instances": Task(SegmentInstances, card="nanodet-g-masks"),
    "segment": Task(Segment, card="fpn-lite0-camvid"),
    "track": Task(Track, after=("detect",)),
    "count": Task(Count, after=("track",)),
    "follow": Task(Follow),
    "faces": Task(FindFaces, card="facemesh", hidden="landmarks"),
    "identify": Task(Identify, after=("faces",), card="dlib-face"),
    "attributes": Task(DescribeFaces, after=("faces",), card="face-attributes"),
    "blur": Task(BlurFaces, card="blazeface-full"),
    "hands": Task(FindHands, card="handmesh"),
    "pose": Task(EstimatePose, card="blazepose-full"),
    "lanes": Task(FindLanes),
    # gfl-voc sees cars ahead as early, and its distances are those that were measured
    "drive": Task(Drive, after=("detect", "track", "segment", "lanes"), spares=("segment",),
                  given={"detect": {"model": "gfl-voc"}, "segment": {"every": 5}}),
    "action": Task(RecognizeActions, card="two-stream-ucf101-3"),
    "text": Task(ReadText, card="ppocrv6-tiny-rec"),
}


def tasks() -> dict[str, Task]:
    """`TASKS`, and the tasks that installed packages register under the entry point `vision.steps`: each is a
    `Spec` class or a `Task`."""
    theirs = installed("vision.steps").items()
    return {**{name: row if isinstance(row, Task) else Task(row) for name, row in theirs}, **TASKS}


def find_task(name: str) -> Task:
    """The row for a task's name. Raises UsageError with the nearest names."""
    known = tasks()
    for task, row in known.items():
        if name == task or (name and name == row.hidden):
            return row
    raise UsageError(f"no task {name!r}. {nearest(name, known)}")

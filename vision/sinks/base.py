"""What a sink is: it takes the items of a run and writes them down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vision.errors import UsageError
from vision.spec import Described, options, spec
from vision.state import State
from vision.steps import TASKS
from vision.steps.base import Spec

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item


class Sink(ABC):
    """Takes the items of a run, source by source. One of your own derives from this and gives `take`.

    paths: the files and folders that it writes. needs: keys of the results that it requires.
    direct: `take` is called in the run's own thread rather than in the writer's.
    one_source: it holds one video, so that it is refused for several sources.
    done: set by a sink that wants the run to end (a window that was closed).
    address: what opens the source that begins a second time, a password in it included: never to be written or told;
    empty where that is what `Info.uri` says.
    """

    paths: tuple[Path, ...] = ()
    needs: frozenset[str] = frozenset()
    direct: bool = False
    one_source: bool = False
    done: bool = False
    address: str = ""

    def targets(self, info: Info) -> tuple[Path, ...]:
        """The files that it will write for this source; none may be an input. Called before `begin`."""
        return self.paths

    def begin(self, info: Info) -> None:
        """Called when a source begins. Raises SinkError where its results cannot be written."""

    @abstractmethod
    def take(self, item: Item) -> None:
        """Write an item."""

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Called when the source is over. results: what each step knows only then, by key. complete: False where an
        error ended it."""

    def close(self) -> None:
        """Called when the run is over."""

    def apart(self) -> Sink:
        """A sink for one of several sources that are read at once: itself where it keeps nothing of a source. No two
        are called at the same time."""
        return self

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the last source, for its report."""
        return ()

    @property
    def written(self) -> list[Path]:
        """The files and folders of `paths` that exist by now."""
        return [path for path in self.paths if str(path) != "-" and path.exists()]

    def state(self) -> State | None:
        """What `restore` needs to continue from here; None where that is not possible. Everything that was taken is
        written when this returns."""
        return {}

    def lacks(self, state: State) -> str:
        """What of the output is no longer there as `state` has it, in words; empty where all of it is. Changes nothing:
        it is asked of every sink before any of them is restored."""
        return ""

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, instead of beginning anew. Called before `begin`."""

    def forget(self) -> None:
        """Called when a source is complete: what was kept for resuming it may go."""


@spec
class SinkSpec(Described, ABC):
    """Where results go. A sink spec of your own derives from this.

    name: the key in `SINKS`. of: the task whose results it writes; empty for any. also: other such tasks. streams:
    whether it can go to standard output, `-`.
    """

    name: ClassVar[str]
    of: ClassVar[str] = ""
    also: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[bool] = False

    @classmethod
    def writes(cls, task: str) -> bool:
        """Whether it can write the results of a task."""
        return cls.of == "" or task in (cls.of, *cls.also)

    @property
    def not_resumed(self) -> str:
        """Why a run that writes it cannot be resumed, and what to do; empty where it can."""
        return ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that the user named."""
        return tuple(getattr(self, field.name) for field in options(type(self)) if field.is_path)

    def asks(self, step: Spec) -> Spec:
        """Adjust a step of the plan for this sink. Returns the spec to use instead, or the same one."""
        return step

    def check(self) -> None:
        """Check the options, before anything is loaded. Raises UsageError or SinkError."""

    @abstractmethod
    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. plan: the run's. Nothing is written before `Sink.begin`."""

    def key_in(self, plan: Sequence[Spec]) -> str:
        """The key that its option `on` names, or that of the last step of the plan of its task (`of`). Raises
        UsageError where there is none, or `on` is of another kind."""
        if on := getattr(self, "on", None):
            kinds = tuple(TASKS[task].spec.result for task in (self.of, *self.also) if task in TASKS)
            return self._fit(on, plan, lambda one: issubclass(one.result, kinds), f"what {self.of!r} finds")
        keys = [one.key for one in plan if self.of and self.writes(one.task)]
        if not keys:
            raise UsageError(f"{type(self).__name__} writes what {self.of!r} finds, which is not in the plan. "
                             f"Add it: --do {','.join([*(one.task for one in plan), self.of])}")
        return keys[-1]

    def boxes_in(self, plan: Sequence[Spec]) -> str:
        """The key that its option `on` names, or that of the last step of the plan whose results have boxes. Raises
        UsageError where there is none, or one without boxes."""
        if on := getattr(self, "on", None):
            return self._fit(on, plan, _has_boxes, "boxes")
        keys = [one.key for one in plan if _has_boxes(one)]
        if not keys:
            tasks = ", ".join(one.task for one in plan)
            raise UsageError(f"{type(self).__name__} writes boxes, and {tasks} gives none. Add a task: "
                             f"--do {','.join([*(one.task for one in plan), 'detect'])}")
        return keys[-1]

    def _fit(self, on: str, plan: Sequence[Spec], fits: Callable[[Spec], bool], what: str) -> str:
        """`on`. Raises UsageError where the step of that key does not fit; that of another package may give what looks
        alike."""
        for one in plan:
            if one.key == on and one.task in TASKS and not fits(one):
                raise UsageError(f"{type(self).__name__} writes {what}, and {on!r} gives {one.result.__name__}.")
        return on


def _has_boxes(one: Spec) -> bool:
    return "boxes" in getattr(one.result, "_layout", ())

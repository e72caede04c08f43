"""What a sink is: it takes the items of a run and writes them down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vision.errors import UsageError
from vision.spec import Described, options, spec
from vision.state import State
from vision.steps.base import Spec

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item


class Sink(ABC):
    """Takes the items of a run, source by source. One of your own derives from this and gives `take`.

    paths: the files and folders that it writes, whatever the source.
    needs: keys of the results that it cannot do without.
    direct: `take` is called in the run's own thread rather than in the writer's.
    one_source: it is of one video, and refused for several sources.
    done: set by a sink that wants the run to end (a window that was closed).
    """

    paths: tuple[Path, ...] = ()
    needs: frozenset[str] = frozenset()
    direct: bool = False
    one_source: bool = False
    done: bool = False

    def targets(self, info: Info) -> tuple[Path, ...]:
        """The files that it will write for this source, in reach of `begin`: none may be an input."""
        return self.paths

    def begin(self, info: Info) -> None:
        """A source begins. Raises SinkError where it cannot be written down, before anything is read."""

    @abstractmethod
    def take(self, item: Item) -> None:
        """Write an item down."""

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """The source is over. results: what each step knows only now, by key. complete: not broken off by an
        error."""

    def close(self) -> None:
        """The run is over."""

    def apart(self) -> Sink:
        """A sink for one of several sources that are read at once: itself where it keeps nothing of a source. No two
        are called at the same time."""
        return self

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the source that ended last, for its report."""
        return ()

    @property
    def written(self) -> list[Path]:
        """What it has written so far, as far as it is there."""
        return [path for path in self.paths if str(path) != "-" and path.exists()]

    def state(self) -> State | None:
        """What `restore` needs to go on from here; None where that is not possible. All that was taken is
        written by then."""
        return {}

    def restore(self, state: State) -> None:
        """Go on where `state` was asked for, instead of beginning anew. Called before `begin`."""

    def forget(self) -> None:
        """The source is complete: what was kept for going on with it is not needed any more."""


@spec
class SinkSpec(Described, ABC):
    """Where results go. A sink spec of your own derives from this.

    name: the key in `SINKS`. of: the task whose results it writes; empty for any. streams: whether it can go to
    standard output, `-`.
    """

    name: ClassVar[str]
    of: ClassVar[str] = ""
    streams: ClassVar[bool] = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that were named."""
        return tuple(getattr(self, field.name) for field in options(type(self)) if field.is_path)

    def asks(self, step: Spec) -> Spec:
        """A step of the plan, as it must be for this sink."""
        return step

    def check(self) -> None:
        """Raise UsageError for what cannot be, before anything is loaded."""

    @abstractmethod
    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. plan: the run's. Nothing is written before `Sink.begin`."""

    def key_in(self, plan: Sequence[Spec]) -> str:
        """The key of the last step of the plan of its task (`of`). Raises UsageError where there is none."""
        keys = [one.key for one in plan if one.task == self.of]
        if not keys:
            raise UsageError(f"{type(self).__name__} writes what {self.of!r} finds, which is not in the plan. "
                             f"Add it: --do {','.join([*(one.task for one in plan), self.of])}")
        return keys[-1]

    def boxes_in(self, plan: Sequence[Spec]) -> str:
        """The key of the last step of the plan whose results have boxes. Raises UsageError where there is none."""
        keys = [one.key for one in plan if "boxes" in getattr(one.result, "_layout", ())]
        if not keys:
            tasks = ", ".join(one.task for one in plan)
            raise UsageError(f"{type(self).__name__} writes boxes, and {tasks} gives none. Add a task: "
                             f"--do {','.join([*(one.task for one in plan), 'detect'])}")
        return keys[-1]

"""What a step is: one stream's memory. It is handed frames in their order and owns no engine."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeVar, cast

from vision.card import Card
from vision.drawing import Canvas, paint
from vision.errors import DataError, ModelError, UsageError
from vision.spec import Described, Option, spec
from vision.state import State
from vision.types import Frame, Image, Names, Result

Pending = Callable[[], Result]                 # waits for a frame's result


class AnyModel(Protocol):
    """What a step asks of a model: a name, its classes, and how many pictures keep its device busy."""

    @property
    def name(self) -> str:
        """The card's name."""

    @property
    def names(self) -> Names:
        """The classes, by label."""

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep its device busy."""


_log = logging.getLogger("vision.models")
RESERVED = frozenset(("schema", "kind", "source", "frame", "time_s", "stamp_ns", "size", "gap_s"))
M = TypeVar("M")
Named = str | Path | Card | AnyModel
ModelOption = Annotated[Named, Option("a name of `vision models`, or a path to weights")]


class Pool:
    """Models, each loaded once for all streams, on one device; closing the pool closes them.

    device, precision, backend: as `vision.engine.load` has them.
    free_only: refuse weights that may be used for research only. Otherwise a warning is logged once.
    """

    def __init__(
        self, device: str = "auto", precision: str = "auto", backend: str = "auto", free_only: bool = False
    ) -> None:
        from vision.engine.choices import Choices  # here, for the sake of every start

        self.device, self.precision, self.backend, self.free_only = device, precision, backend, free_only
        self._models: dict[tuple[Any, ...], Any] = {}
        self._choices = Choices()
        self._closed = False

    @property
    def chosen(self) -> dict[str, list[str]]:
        """What `auto` came to by now: each network's back end and precision, by its card's name."""
        return self._choices.made()

    def choose(self, chosen: Mapping[str, Sequence[str]]) -> None:
        """Let `auto` come to the same as it did elsewhere, whatever is the fastest now. chosen: as `chosen` gave it.
        Raises DataError for something else."""
        from vision.engine import BACKENDS, PRECISIONS

        try:
            pairs = {name: (backend, precision) for name, (backend, precision) in chosen.items()}
            known = all(backend in BACKENDS and precision in PRECISIONS for backend, precision in pairs.values())
        except (ValueError, TypeError, AttributeError):
            known = False
        if not known:
            raise DataError(f"back ends and precisions of networks are a mapping; got {str(chosen)[:80]!r}")
        self._choices.wanted = pairs

    def expect(self, plan: Sequence[Spec]) -> None:
        """Prepare for the models of a plan, which work at the same time where there are several."""
        self._choices.several |= sum(hasattr(one, "model") for one in plan) > 1

    def load(self, load: Callable[..., M], model: Named = "default", **more: Any) -> M:
        """A model, loaded once.

        load: a class's `load`, such as `Detector.load`; called with the model's name, `device`, `precision`,
            `backend` and `more`.
        model: a name, a path or a card. A model object is returned as it is, and its owner closes it.
        Raises what `load` raises, ModelError for weights that `free_only` refuses, UsageError once it is closed."""
        if not isinstance(model, (str, Path, Card)):
            return cast(M, model)
        if self._closed:
            raise UsageError("this pool of models is closed. Make another.")
        key = (load, model if isinstance(model, Card) else str(model), *sorted(more.items()))
        if key not in self._models:
            with self._choices.noted():
                self._models[key] = load(model, self.device, self.precision, self.backend, **more)
            self._told(getattr(self._models[key], "card", None))
        return cast(M, self._models[key])

    def _told(self, card: Card | None) -> None:
        """Warn of weights that may be used for research only, or refuse them. Raises ModelError."""
        if card is None or card.use == "free":
            return
        if self.free_only:
            raise ModelError(f"the weights of {card.name!r} may be used for research only ({card.licence}). Give "
                             "another --model, or leave out --free-only.")
        _log.warning("the weights of %s may be used for research, not for products: %s", card.name, card.licence)

    def close(self) -> None:
        """Close every model that was loaded here; no other is loaded after that."""
        self._closed = True
        while self._models:
            self._models.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Ready:
    """A `Pending` whose result is known already."""

    def __init__(self, result: Result) -> None:
        self.result = result

    def __call__(self) -> Result:
        """The result."""
        return self.result


class Step(ABC):
    """One stream's work on its frames. A step of your own derives from this and gives `begin`.

    key: its name in items and records.
    names: the class names that its results' labels index.
    needs: keys of the results that `begin` gets from earlier steps.
    uses: keys of results that it gets where they are in the plan and were made of this frame.
    covers: keys of results that need not be drawn, since drawing this step's shows them.
    hides: keys of tracks whose trails are not drawn.
    if_none: what to try where it found nothing in a whole stream.
    remembers: whether a result depends on earlier frames. Where it does not, frames may be cut into
        ranges and done anywhere.
    """

    names: Names = ()
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()
    hides: frozenset[str] = frozenset()
    if_none: str = ""
    remembers: bool = False

    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def in_flight(self) -> int:
        """How many frames may be in progress at the same time."""
        return 1

    @property
    def ahead(self) -> int:
        """How many later frames it must have begun before its answer to the oldest is whole; they are held in memory,
        and there are no checkpoints."""
        return 0

    @abstractmethod
    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on a frame.

        frame: the next frame. sofar: the results of earlier steps, by key.
        Returns a function that waits for the frame's result and returns it."""

    def join(self, before: Mapping[str, Step]) -> None:
        """Called once, before the first frame, with the steps whose results it needs, by key. Unless the step has
        names of its own, its labels index the names of the first of them."""
        for key in sorted(self.needs):
            self.names = self.names or before[key].names

    def whole(self, frames: int) -> None:
        """Called when the source was read from its first frame to its last, whichever of them the step looked at.

        frames: how many it has. Raises DataError where the results are of another video."""

    def end(self) -> Sequence[Any]:
        """Called when the stream is over. Returns what is known only then (the last segments, the last events)."""
        return ()

    def state(self) -> State | None:
        """What it remembers, for `restore` of a new step: plain values and arrays; None where that is not possible.
        Called between frames."""
        return {}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""

    def summary(self) -> Sequence[str]:
        """Lines of text for the end of the stream."""
        return ()

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the stream that has ended, for its report."""
        return ()

    def about(self) -> dict[str, Any]:
        """What each record says in addition to the result: model, precision, back end."""
        return {}

    def payload(self, result: Any) -> dict[str, Any]:
        """The result as plain values, for the record."""
        payload: dict[str, Any] = result.to_dict(self.names)
        return payload

    def shown(self, frame: Frame, result: Any) -> Image:
        """The picture as others may see it: what a run yields and sinks write. A step that hides something in it gives
        a copy."""
        return frame.image

    def behind(self, result: Any, image: Image) -> Image:
        """What is drawn on, of every step before anything is drawn: `image` (H,W,3), or a copy with another
        background. Asked of steps that are covered, too."""
        return image

    def paint(self, result: Any, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Draw the result. others: all results of the frame, by key."""
        paint(result, canvas, self.names)


class InTurn(Step):
    """A step that waits for a model several times a frame. It works frame by frame in a thread of its own, so that
    the other steps of the run go on meanwhile."""

    remembers = True
    _waiting = 3                               # frames that may stand in line

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"vision-{key}")

    @property
    def in_flight(self) -> int:
        """How many frames may wait for their turn."""
        return self._waiting

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Let the frame wait for its turn."""
        return self._thread.submit(self.look, frame, sofar).result

    @abstractmethod
    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The frame's result."""

    def end(self) -> Sequence[Any]:
        """The stream is over."""
        self._thread.shutdown()
        return ()


class ModelStep(Step):
    """A model that keeps nothing from frame to frame.

    submit: starts on pictures, as `model.submit` with its options bound.
    """

    def __init__(
        self, key: str, model: Any, submit: Callable[[Sequence[Any]], Callable[[], Sequence[Any]]]
    ) -> None:
        super().__init__(key)
        self.model, self.names, self._submit = model, model.names, submit

    @property
    def in_flight(self) -> int:
        """How many pictures keep the model's device busy."""
        return int(self.model.in_flight)

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on the frame's picture."""
        wait = self._submit([frame.image])
        return lambda: wait()[0]

    def about(self) -> dict[str, Any]:
        """The model, and where it runs."""
        return told(self.model)


def told(model: Any) -> dict[str, Any]:
    """What a record says of a model: `model`, `precision` and `backend`."""
    engine = model.engine
    return {"model": model.name, "precision": engine.precision, "backend": engine.backend}


@spec
class Spec(Described, ABC):
    """What is to be done with the frames of a stream. A spec of your own derives from this.

    task: the name in `TASKS`. result: the type of its step's results. takes: the type of the results that it is handed,
    by the option that names their step: `{"on": Tracks}`. timed: whether it needs the time between frames,
    which still pictures do not have. rate: frames a second that are assumed for them; None: the user has to say it.
    """

    task: ClassVar[str]
    result: ClassVar[type]
    takes: ClassVar[Mapping[str, type]] = {}
    timed: ClassVar[bool] = False
    rate: ClassVar[float | None] = None

    key: Annotated[str, Option("its name in items and records; the task's name unless given")] = field(
        default="", kw_only=True)
    every: Annotated[int, Option("look at every n-th frame only; the others get no result", min=1)] = field(
        default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "key", self.key or self.task)
        if self.key in RESERVED:
            raise UsageError(f"{self.key!r} cannot be a key: a record has a field of that name.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the results that its step gets from earlier steps."""
        on = getattr(self, "on", None)
        return () if on is None else (on,)

    def asks(self, other: Spec) -> Spec:
        """Adjust an earlier spec whose results it needs: a tracker asks a detector for weak boxes. Returns the spec
        to use instead, or the same one."""
        return other

    def to_dict(self) -> dict[str, Any]:
        """`task` and the fields that differ from their defaults: a `[[do]]` of a plan. Raises UsageError for a
        live object."""
        return {"task": self.task, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A spec from the values of `to_dict`; `Spec` itself makes that of any task. Raises UsageError with the nearest
        names for an unknown key or task, and for the values of another task."""
        own = getattr(cls, "task", None)
        if own is None:
            from vision.steps.plan import spec_of  # here, as it is made of all steps

            return cast(Self, spec_of(values))
        if values.get("task", own) != own:
            raise UsageError(
                f"{cls.__name__} is of the task {own!r}; got {values['task']!r}. Spec.from_dict takes any."
            )
        return super().from_dict({name: value for name, value in values.items() if name != "task"})

    def _given(self) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in super()._given() if (name, value) != ("key", self.task))

    def check(self) -> None:
        """Check options that depend on each other, before anything is loaded. Raises UsageError."""

    def load(self, pool: Pool) -> Any:
        """Load what the steps of all streams share: a model, or None."""
        return None

    @abstractmethod
    def open(self, info: Any, model: Any) -> Step:
        """A step for one stream. info: the source's `Info`. model: what `load` returned."""

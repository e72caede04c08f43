"""What all clients of a server share: the models, loaded once, and the workers."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from vision.errors import UsageError, VisionError
from vision.io import Info
from vision.item import Item
from vision.serve.answers import Refusal
from vision.serve.asked import described, plan_asked
from vision.serve.cameras import Cameras
from vision.serve.chain import Chain
from vision.serve.drift import Reference
from vision.serve.jobs import Jobs
from vision.serve.limits import Limits
from vision.serve.metrics import Metrics
from vision.serve.monitor import Monitor
from vision.serve.plans import Plans
from vision.serve.seats import Seats
from vision.serve.turns import Turns
from vision.steps import Pool, Spec, find_task, tasks
from vision.steps.plan import plan_of, spec_of
from vision.types import Frame
from vision.zoo import find

_log = logging.getLogger("vision.serve")
_MOST_WORKERS = 32
_WARM = ((480, 640),)                                    # height, width of the pictures that a model sees first


class Service:
    """Models and workers for the tasks that a server offers.

    offered: tasks by name; all unless given. models: names or paths of models beside the defaults, each for its own
    task. pool: where they run; it is closed with the service. limits: what is taken from clients. lazy: load the first
    task's model at the start, and each other one when it is first asked for. cameras: what `read` takes, for visitors
    to watch. reference: what models saw when all was well, for the drift alarm. own: what
    is done in a task unless a request says otherwise, with what no request may set: a gallery, a scene.
    """

    def __init__(
        self, offered: Sequence[str] = (), models: Sequence[str] = (), pool: Pool | None = None,
        limits: Limits | None = None, *, lazy: bool = False, cameras: Sequence[str] = (),
        reference: Reference | None = None, own: Sequence[Spec] = (),
    ) -> None:
        named = next((one.key for one in own if one.key != one.task), None)
        if named is not None:
            raise UsageError(f"a server's steps are asked for by their tasks: the plan has one with the key {named!r}. "
                             "Leave the key out; of two steps of one task, serve each by itself.")
        self.own = {one.key: one for one in own}
        self.ending: Callable[[], bool] = lambda: False  # whether the server ends, and nobody may keep it
        self.pool, self.limits = pool or Pool(), limits or Limits()
        self._all = not offered and not own
        wanted = list(offered) or list(self.own) or list(tasks())
        self.offered = tuple(dict.fromkeys(one.task for name in wanted for one in self._plan_of([name])))
        self.ready = False
        self.failure: BaseException | None = None        # of the start
        self.begun = monotonic()
        self.models: dict[str, dict[str, Any]] = {name: {} for name in self.offered}
        self.turns = Turns(2, self.limits.max_waiting)
        self.metrics = Metrics()
        self.monitor = Monitor(self.metrics.registry, reference, self._classifier)
        self._folder = tempfile.TemporaryDirectory(prefix="vision-serve-")
        self.folder = Path(self._folder.name)            # of uploads
        self.jobs = Jobs(self.pool, self.turns, self.limits, self.seen)
        self.plans = Plans(self.asked, self.open)
        self.seats, self.cameras = Seats(self.limits.max_visitors), Cameras(cameras)
        self._further, self._lazy = models, lazy
        self._whole: set[str] = set()                    # tasks all of whose models are loaded
        self._loading = threading.RLock()
        self.metrics.watch({
            "vision_waiting": ("Pictures that wait for a worker.", lambda: self.turns.waiting),
            "vision_visitors": ("Visitors of the stream that are served.", lambda: self.seats.taken),
            "vision_visitors_waiting": ("Visitors that wait for a seat.", lambda: self.seats.waiting),
            "vision_jobs": ("Videos that wait or are under way.", lambda: self.jobs.under_way),
            "vision_ready": ("Whether every model is loaded and warm.", lambda: self.ready),
        }, self.engines)

    def start(self) -> None:
        """Load and warm every model; `ready` is true afterwards. Raises what a model that cannot be had raises."""
        try:
            further = [self._further_model(name) for name in self._further]
            begin = {*self.offered[:1], *(one.task for one in further)} if self._lazy else set(self.offered)
            for name in (name for name in self.offered if name in begin):
                others = [one for one in further if one.task == name]
                self._load_or_leave(name, bool(others))
                for one in others:                       # after the default, which is the first
                    self._add(one)
            self._staff()
            self.ready = True
            _log.info("ready after %.1f s", monotonic() - self.begun)
        except BaseException as error:
            self.failure = error
            raise

    def load(self, task: str) -> None:
        """Load and warm the default model of a task, unless a model is there, and so the tasks that it needs."""
        for one in self._plan_of([task]):
            with self._loading:
                if one.task in self.models and not self.models[one.task] and hasattr(one, "model"):
                    self._add(one)

    async def have(self, names: Sequence[str]) -> None:
        """Load what these tasks need and is not there yet."""
        for name in names:
            if name in self.models and name not in self._whole:
                for task in self.missing([name]):
                    await asyncio.to_thread(self.load, task)
                self._whole.add(name)

    def check_ready(self) -> None:
        """Raise Refusal while the models are loaded."""
        if not self.ready:
            raise Refusal(503, "loading", "the models are being loaded. Try again in a moment.")

    def seen(self, item: Item) -> dict[str, Any]:
        """An item's record, after it was counted."""
        record = item.record
        self.metrics.looked(record)
        self.monitor.take(item)
        return record

    def engines(self) -> Iterator[tuple[str, Any]]:
        """The name of each model with each of its engines."""
        for models in list(self.models.values()):
            for name, model in list(models.items()):
                if model is not None:
                    yield from _engines(name, model)

    def missing(self, names: Sequence[str]) -> list[str]:
        """The tasks among these, and among what they need, whose model is not loaded yet."""
        offered = [name for name in names if name in self.models]
        plan = plan_of(offered, self.pool.free_only)
        return [one.task for one in plan if hasattr(one, "model") and not self.models.get(one.task)]

    def asked(self, plan: Any) -> list[Spec]:
        """The plan of a request. Raises UsageError in one line."""
        return plan_asked(plan, self.offered, self.models, self.own, free_only=self.pool.free_only)

    def open(self, plan: Sequence[Spec], info: Info) -> Chain:
        """New steps for one stream, of models that are loaded. Raises UsageError for options that do not fit."""
        return Chain(plan, {one.key: one.load(self.pool) for one in plan}, info)

    def described(self) -> list[dict[str, Any]]:
        """The tasks that are offered, with the options that a request may set."""
        return [described(name, self.models) for name in self.offered]

    def close(self) -> None:
        """End the workers, and give the models back."""
        self.cameras.close()
        self.jobs.close()
        self.turns.close()
        self.plans.forget()
        self.pool.close()
        self._folder.cleanup()

    def _plan_of(self, names: Sequence[str]) -> list[Spec]:
        """The plan of tasks, each as the server does it."""
        return [self.own.get(one.key, one) for one in plan_of(list(names), self.pool.free_only)]

    def _load_or_leave(self, name: str, others: bool) -> None:
        """Load a task; where nobody asked for it by name, one that needs what only its user has is left out. others:
        whether it has further models, of which the first stands in for a default that cannot be had."""
        one = self._plan_of([name])[-1]
        try:
            self.load(name)
        except VisionError as error:
            if others and name not in self.own:
                _log.warning("%s is served without its default model: %s", name, error)
                return
            try:
                one.check()
            except UsageError as lacks:
                if self._all:
                    self.offered = tuple(task for task in self.offered if task != name)
                    self.models.pop(name, None)
                    _log.info("%s is not served: %s", name, lacks)
                    return
            raise

    def _classifier(self) -> Any:
        """What makes the embeddings that the monitor asks for."""
        from vision.tasks.classify import Classifier

        with self._loading:
            return self.pool.load(Classifier.load)

    def _further_model(self, name: str) -> Spec:
        """The spec that loads a further model."""
        card = find(name)
        row = next((task for task, row in tasks().items() if row.card and find(row.card).task == card.task), card.task)
        if row not in self.models:
            raise UsageError(f"the model {name!r} is for {card.task}, which is not served. Add it to --do.")
        return spec_of({"task": row, "model": name})

    def _add(self, one: Any) -> None:
        """Load a spec's model and have it work once on each size, so that no client waits for a graph."""
        began = monotonic()
        model = one.load(self.pool)
        chain = Chain([one], {one.key: model}, Info("", "picture"))
        try:
            for height, width in _WARM:
                chain.look(Frame(np.full((height, width, 3), 114, np.uint8), 0, 0.0))
        finally:
            chain.close()
        whole = hasattr(model, "engine") and hasattr(model, "card")
        named = find_task(one.task).card if one.model == "default" else str(one.model)
        name = model.name if whole else named
        self.models[one.task][name] = model if whole else None
        self.plans.forget()
        where = f" on {model.engine.label}" if whole else ""
        _log.info("%s: %s%s, %.1f s", one.task, name, where, monotonic() - began)

    def _staff(self) -> None:
        """As many workers as the devices of all models like, and one that decodes meanwhile."""
        loaded = [model for models in self.models.values() for model in models.values() if model is not None]
        wanted = max((int(model.in_flight) for model in loaded), default=2)
        self.turns.staff(min(wanted + 1, _MOST_WORKERS))


def _engines(name: str, model: Any) -> Iterator[tuple[str, Any]]:
    """The engines of a model, and of the models that it is made of."""
    for part in vars(model).values():
        if hasattr(part, "work"):
            yield name, part
        elif hasattr(part, "engine") and hasattr(part, "card"):
            yield from _engines(part.name, part)

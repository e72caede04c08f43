"""The workers of a job: as many as the cluster has room for, replaced when they die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from vision import __version__
from vision.errors import EngineError
from vision.scale.units import Failed, Outcome
from vision.scale.worker import Settings, Worker

_DEPTH = 2                                       # tasks that a worker has: one under way, one that it takes up at once
_LOOK_S = 5.0                                    # how often it is looked whether the cluster has grown
_NOBODY_S = 180.0                                # without a worker that comes up, before that is an error
_WAIT_S = 1.0
_FAILS, _REST_S = 3, 60.0                        # failures in a row of a worker that others do not share; its rest then

Task = tuple[str, tuple[Any, ...]]               # a method of `Worker`, and its arguments
Next = Callable[[str, set[str]], tuple[Any, Task] | None]


class Member:
    """A worker. place: the machine. tasks: what it was given and has not answered, in its order, each with Ray's
    promise."""

    def __init__(self, actor: Any, place: str) -> None:
        self.actor, self.place = actor, place
        self.tasks: deque[tuple[Any, Any, Task]] = deque()
        self._failed, self._until = 0, 0.0

    @property
    def rests(self) -> bool:
        """Whether it failed so often in a row, on a full disk perhaps, that others are asked for a while."""
        return self._failed >= _FAILS and monotonic() < self._until

    def took(self, outcome: Outcome) -> None:
        """It has answered."""
        self._failed = self._failed + 1 if isinstance(outcome, Failed) and outcome.again else 0
        self._until = monotonic() + _REST_S


def cores_each(nodes: Sequence[int], wanted: int) -> int:
    """How many processors each of `wanted` workers may have where each machine has so many: a worker is on one. At
    least one."""
    return max((each for each in range(1, max(nodes, default=0) + 1) if sum(n // each for n in nodes) >= wanted),
               default=1)


class Crew:
    """Workers on a cluster. count: how many; None: one a processor, or one a GPU where there are any.

    `run` hands out tasks and yields what came of them. Raises EngineError where no worker comes up."""

    def __init__(self, ray: Any, settings: Settings, count: int | None = None) -> None:
        self._ray, self._settings, self._count = ray, settings, count
        self._coming: dict[Any, Any] = {}                # a promise that it is ready: the actor
        self._members: list[Member] = []
        self._nobody_since = self._looked = monotonic()
        self.died = 0
        self._kind, self._each = self._kinds()
        self._hire()

    def __len__(self) -> int:
        return len(self._members)

    def run(self, next_task: Next, left: Callable[[], bool]) -> Iterator[tuple[Any, Outcome | None, str]]:
        """Do all tasks. next_task: gives the next one for a machine, of those named, with a token of the caller's, or
        None where there is none for it now. left: whether there is one.

        Yields the token with its outcome; without one, and with what happened, where its worker died over it."""
        while True:
            self._hand_out(next_task)
            promises = [member.tasks[0][0] for member in self._members if member.tasks]
            if not promises and not left():
                return
            ready, _ = self._ray.wait([*promises, *self._coming], num_returns=1, timeout=_WAIT_S)
            for promise in ready:
                if promise in self._coming:
                    self._welcome(promise)
                else:
                    yield from self._answered(promise)
            self._hire()

    def processes(self) -> list[int]:
        """The processes' ids, each of its machine."""
        return [int(self._ray.get(member.actor.process.remote())) for member in self._members]

    def _kinds(self) -> tuple[Any, int]:
        """The class of actors, and how many processors each keeps to."""
        resources = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if self._settings.engine.get("device", "auto") != "cpu" else 0
        cores = int(resources.get("CPU", 1))
        nodes = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        each = cores_each(nodes, self._wanted(gpus or cores))
        kind = self._ray.remote(Worker).options(
            num_cpus=0 if gpus else each, num_gpus=1 if gpus else 0, max_restarts=0, max_concurrency=1)
        return kind, 0 if gpus else each

    def _wanted(self, room: int) -> int:
        return max(1, self._count or room)

    def _hire(self) -> None:
        """Ask for the workers that are missing."""
        now = monotonic()
        if self._members:
            self._nobody_since = now
        elif now - self._nobody_since > _NOBODY_S:
            raise EngineError(f"no worker came up for {_NOBODY_S:g} s. Has the cluster a free processor or GPU "
                              "(ray status)? What is done is kept: go on with --resume.")
        have = len(self._members) + len(self._coming)
        if have and now - self._looked < _LOOK_S:
            return
        self._looked = now
        resources = self._ray.cluster_resources()
        room = resources.get("CPU", 0) // self._each if self._each else resources.get("GPU", 0)
        for _ in range(have, self._wanted(int(room))):
            actor = self._kind.remote(self._settings, self._each)
            self._coming[actor.prepare.remote(__version__)] = actor

    def _welcome(self, promise: Any) -> None:
        """A worker that is ready; raises EngineError where it says what is wrong."""
        actor = self._coming.pop(promise)
        try:
            wrong = self._ray.get(promise)
            place = str(self._ray.get(actor.place.remote()))
        except self._ray.exceptions.RayActorError:       # died, and its machine too perhaps: another is asked for
            self.died += 1
            return
        except self._ray.exceptions.RayError as error:
            wrong = " ".join(str(error).split())[-400:]
        if wrong:
            raise EngineError(f"a worker cannot begin: {wrong}")
        self._members.append(Member(actor, place))

    def _hand_out(self, next_task: Next) -> None:
        """Give every worker its next task, then each one more, so that the last ones go to whoever is idle. Workers
        that rest are given none, unless all do."""
        well = [member for member in self._members if not member.rests] or self._members
        places = {member.place for member in well}
        for depth in range(_DEPTH):
            for member in well:
                given = None if len(member.tasks) > depth else next_task(member.place, places)
                if given is None:
                    continue
                token, task = given
                member.tasks.append((getattr(member.actor, task[0]).remote(*task[1]), token, task))

    def _answered(self, promise: Any) -> Iterator[tuple[Any, Outcome | None, str]]:
        member = next((one for one in self._members if one.tasks and one.tasks[0][0] == promise), None)
        if member is None:                               # of one that has died meanwhile
            return
        _, token, _ = member.tasks.popleft()
        try:
            outcome = self._ray.get(promise)
        except self._ray.exceptions.RayError as error:
            self._members.remove(member)
            self._ray.kill(member.actor)
            self.died += 1
            self._looked = 0.0                           # another one, at once
            yield token, None, f"its worker died ({type(error).__name__})"
            for _, other, _ in member.tasks:             # that it had not begun: nobody's fault
                yield other, None, ""
            return
        member.took(outcome)
        yield token, outcome, ""

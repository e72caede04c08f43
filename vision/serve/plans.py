"""Plans that were asked for lately, each with steps that stand ready for its next picture."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vision.io import Info
from vision.serve.chain import Chain
from vision.steps import Spec
from vision.types import Frame

_KEPT = 64                                               # plans
_IDLE = 32                                               # chains of a plan
Open = Callable[[list[Spec], Info], Chain]


class Kept:
    """A plan. open: makes its steps."""

    def __init__(self, plan: list[Spec], open: Open) -> None:
        self.plan, self.timed = plan, any(one.timed for one in plan)
        self._open = open
        self._idle: list[tuple[tuple[int, int], Chain]] = []         # by the size of the pictures they saw
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def steps(self, frame: Frame) -> Iterator[Chain]:
        """Steps for one picture: those of an earlier one of its size, where nothing is remembered of that."""
        chain = self._ready(frame.size_wh)
        whole = False
        try:
            chain = chain or self._open(self.plan, Info(frame.source, "picture", frame.size_wh))
            yield chain
            whole = True
        finally:
            if chain is not None and not (whole and chain.stateless and self._keep(frame.size_wh, chain)):
                chain.close()

    def close(self) -> None:
        """Let the steps go; those at work go when they are done."""
        with self._lock:
            self._closed, left, self._idle = True, self._idle, []
        for _, chain in left:
            chain.close()

    def _ready(self, size_wh: tuple[int, int]) -> Chain | None:
        with self._lock:
            place = next((k for k, (size, _) in enumerate(self._idle) if size == size_wh), None)
            return None if place is None else self._idle.pop(place)[1]

    def _keep(self, size_wh: tuple[int, int], chain: Chain) -> bool:
        """Whether there is room for a chain, which then stands ready."""
        with self._lock:
            if self._closed or len(self._idle) >= _IDLE:
                return False
            self._idle.append((size_wh, chain))
            return True


class Plans:
    """For requests that ask the same again. asked: the plan of `{"detect": {"min_score": 0.4}}`. open: its steps."""

    def __init__(self, asked: Callable[[Any], list[Spec]], open: Open) -> None:
        self._asked, self._open = asked, open
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, task: str, options: Mapping[str, Any]) -> Kept:
        """The plan of a task with options; one with people whom the client names is not kept. Raises UsageError in one
        line."""
        if "people" in options:
            once = Kept(self._asked({task: options}), self._open)
            once.close()
            return once
        name = json.dumps((task, options))
        with self._lock:
            found = self._kept.pop(name, None) or Kept(self._asked({task: options}), self._open)
            self._kept[name] = found
            oldest = self._kept.popitem(last=False)[1] if len(self._kept) > _KEPT else None
        if oldest is not None:
            oldest.close()
        return found

    def forget(self) -> None:
        """There are other models: every plan is made anew."""
        with self._lock:
            left = list(self._kept.values())
            self._kept.clear()
        for one in left:
            one.close()

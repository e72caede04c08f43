"""One visitor of the stream: a plan, steps of its own, and the newest of its pictures."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Protocol

from vision.errors import UsageError, VisionError
from vision.io import Info
from vision.serve.asked import plan_asked
from vision.serve.chain import Chain
from vision.serve.picture import picture_of
from vision.serve.service import Service
from vision.serve.turns import Busy
from vision.steps import Spec
from vision.types import Frame

_CLOCK = struct.Struct("<d")                             # the client's capture time, before each picture
_LARGEST_TEXT = 1 << 16
_LONGEST_STEP = 10.0                                     # seconds between two frames of one stream
SOURCE = "visitor"


class Wire(Protocol):
    """What a visitor needs of a connection."""

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message; raises ConnectionError where the other side does not take it in time."""


@dataclass
class Waiting:
    """A picture that waits for its turn. sent: the client's time, milliseconds. arrived: ours, in seconds."""

    data: bytes
    sent: float
    arrived: float = field(default_factory=monotonic)


class Visitor:
    """Takes a visitor's messages, and answers its newest picture."""

    def __init__(self, service: Service, wire: Wire, client: str) -> None:
        self.service, self.wire, self.client = service, wire, client
        self.plan: Sequence[Spec] = ()
        self.skipped = 0                                 # pictures that a newer one replaced, since the last record
        self._newest: Waiting | None = None
        self._change = asyncio.Event()
        self._chain: Chain | None = None
        self._size: tuple[int, int] | None = None
        self._index, self._time, self._first = 0, 0.0, math.nan

    async def text(self, message: str) -> None:
        """A message of the client: a plan."""
        try:
            if len(message) > _LARGEST_TEXT:
                raise UsageError(f"a message has at most {_LARGEST_TEXT} characters; got {len(message)}.")
            try:
                asked = json.loads(message)
            except (ValueError, RecursionError):
                raise UsageError('a message is JSON such as {"plan": {"detect": {}}}.') from None
            if not isinstance(asked, dict) or "plan" not in asked:
                raise UsageError('a message is {"plan": {"detect": {}}}.')
            await self._switch(asked["plan"])
        except VisionError as error:
            await self.wire.tell({"error": str(error), "code": "usage"})

    async def picture(self, message: bytes) -> None:
        """A picture of the client, with its time before it."""
        if len(message) <= _CLOCK.size:
            await self.wire.tell({
                "error": f"a picture has its time in {_CLOCK.size} bytes before it; got {len(message)} bytes.",
                "code": "bad_message"})
            return
        (sent,) = _CLOCK.unpack_from(message)
        if self._newest is not None:
            self.skipped += 1
        self._newest = Waiting(message[_CLOCK.size:], sent)
        self._change.set()

    async def answer(self) -> None:
        """Answer pictures, the newest first, until cancelled."""
        while True:
            await self._change.wait()
            self._change.clear()
            waiting, self._newest = self._newest, None
            if waiting is None:
                continue
            if not self.plan:
                await self.wire.tell({"error": 'say what to do first: {"plan": {"detect": {}}}.', "code": "no_plan"})
                continue
            await self._answer(waiting)

    def close(self) -> None:
        """The visitor has gone."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.close()

    async def _switch(self, asked: Any) -> None:
        """Take another plan, once its models are there."""
        service = self.service
        for task in service.missing(list(asked) if isinstance(asked, dict) else []):
            await self.wire.tell({"loading": task})
            await asyncio.to_thread(service.load, task)
        plan = plan_asked(asked, service.offered, service.models)
        chain = await asyncio.to_thread(service.open, plan, Info(SOURCE, "stream", live=True))
        self.plan = plan
        before, self._chain, self._size = self._chain, chain, None
        if before is not None:
            await asyncio.to_thread(before.close)
        about = chain.about()
        await self.wire.tell({"ready": {
            "tasks": [one.key for one in plan],
            "models": {key: {"name": said.get("model", ""), "engine": _engine(said)} for key, said in about.items()},
            "names": chain.names(),
        }})

    async def _answer(self, waiting: Waiting) -> None:
        try:
            future = self.service.turns.submit(self.client, partial(self._look, waiting))
            record = await asyncio.wrap_future(future)
        except Busy as error:
            await self.wire.tell({"wait": {"ahead": error.ahead}})
            return
        except VisionError as error:
            await self.wire.tell({"error": str(error), "code": "bad_picture"})
            return
        skipped, self.skipped = self.skipped, 0
        await self.wire.tell({
            "record": record, "sent": waiting.sent if math.isfinite(waiting.sent) else None,
            "server_ms": round(1000 * (monotonic() - waiting.arrived), 1), "skipped": skipped,
        })

    def _look(self, waiting: Waiting) -> dict[str, Any]:
        """The record of a picture; called in a worker."""
        image = picture_of(waiting.data, self.service.limits.max_pixels)
        frame = Frame(image, self._index, self._now(waiting.sent), SOURCE, captured=waiting.arrived)
        chain = self._chain_for(frame.size_wh)
        self._index += 1
        try:
            return self.service.seen(chain.look(frame))
        except VisionError:
            self._size = (0, 0)                          # what failed on a frame is of no use for the next
            raise

    def _chain_for(self, size_wh: tuple[int, int]) -> Chain:
        """The steps; new ones where pictures of another size come, as after a phone was turned."""
        if self._chain is None or self._size not in (None, size_wh):
            before = self._chain
            self._chain = self.service.open(self.plan, Info(SOURCE, "stream", size_wh, live=True))
            if before is not None:
                before.close()
        self._size = size_wh
        return self._chain

    def _now(self, sent: float) -> float:
        """A picture's time in seconds since the first, always later than the one before, whatever the client says."""
        if not math.isfinite(self._first):
            self._first = sent if math.isfinite(sent) else 0.0
        time = (sent - self._first) / 1000
        if not self._time < time <= self._time + _LONGEST_STEP and self._index:
            time = self._time + 0.04
            self._first = sent - 1000 * time if math.isfinite(sent) else self._first
        self._time = time if math.isfinite(time) else self._time + 0.04
        return self._time


def _engine(said: Mapping[str, Any]) -> str:
    return " ".join(str(said[part]) for part in ("backend", "precision") if part in said)

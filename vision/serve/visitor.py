"""One visitor of the stream: a plan, steps of its own, and the newest of its pictures."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Protocol

import cv2

from vision.errors import UsageError, VisionError
from vision.io import Info
from vision.record import gap
from vision.serve.answers import cause_of, told
from vision.serve.chain import Chain
from vision.serve.picture import picture_of
from vision.serve.service import Service
from vision.serve.turns import Busy
from vision.steps import Spec
from vision.types import Frame

_log = logging.getLogger("vision.serve")
_CLOCK = struct.Struct("<d")                             # the client's capture time, before each picture
_LARGEST_TEXT = 1 << 16
_LONGEST_STEP = 10.0                                     # seconds between two frames of one stream
_SHORTEST_STEP = 0.001
_IDLE_S = 10.0                                           # without a picture, after which a seat is given back
_QUALITY = 80                                            # of a JPEG of a server's camera
SOURCE = "visitor"


class Wire(Protocol):
    """What a visitor needs of a connection. Both raise ConnectionError where the other side does not read."""

    async def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message."""

    async def show(self, picture: bytes) -> None:
        """Send a picture, with its time before it."""


@dataclass
class Waiting:
    """A picture that waits for its turn: of the client as bytes, or a camera's. sent: the client's time or the
    camera's, in milliseconds. turn: of the visitor's sources. arrived: our time, in seconds."""

    picture: bytes | Frame
    sent: float
    turn: int
    arrived: float = field(default_factory=monotonic)


class Visitor:
    """Takes a visitor's messages, and answers its newest picture. client: whose turn it is when it is the visitor's."""

    def __init__(self, service: Service, wire: Wire, client: str) -> None:
        self.service, self.wire, self.client = service, wire, client
        self.plan: Sequence[Spec] = ()
        self.skipped = 0                                 # pictures that a newer one replaced, since the last record
        self._loop = asyncio.get_running_loop()
        self._newest: Waiting | None = None
        self._trouble: VisionError | None = None         # of the camera
        self._change = asyncio.Event()
        self._chain: Chain | None = None
        self._stepping = threading.Lock()                # is held while the steps work, or are exchanged
        self._unwatch: Callable[[], None] | None = None
        self._turn = 0                                   # of sources: what comes late of an earlier one is not taken
        self._stepped = 0                                # the turn whose pictures the steps see
        self._size: tuple[int, int] | None = None
        self._index, self._time, self._first = 0, 0.0, math.nan

    async def text(self, message: str) -> None:
        """A message of the client: a plan, a camera, or both."""
        of: dict[str, str] = {}                          # what an error answers
        try:
            if len(message) > _LARGEST_TEXT:
                raise UsageError(f"a message has at most {_LARGEST_TEXT} characters; got {len(message)}.")
            try:
                asked = json.loads(message)
            except (ValueError, RecursionError):
                asked = None
            if not isinstance(asked, dict) or not asked or asked.keys() - {"plan", "source"}:
                raise UsageError('a message is JSON: {"plan": {"detect": {}}} or {"source": "camera:0"}; '
                                 f"got {message[:60]!r}.")
            if "plan" in asked:
                of = {"of": "plan"}
                await self._switch(asked["plan"])
                of = {}
            if "source" in asked:
                self._watch(asked["source"])
        except VisionError as error:
            await self.wire.tell({**told(error), **of})
        except ConnectionError:
            raise
        except Exception as error:
            _log.exception("a visitor's message failed")
            await self.wire.tell({**told(error), **of})

    async def picture(self, message: bytes) -> None:
        """A picture of the client, with its time before it."""
        if len(message) <= _CLOCK.size:
            await self.wire.tell({
                "error": f"a picture has its time in {_CLOCK.size} bytes before it; got {len(message)} bytes.",
                "code": "usage"})
        elif self._unwatch is None:
            (sent,) = _CLOCK.unpack_from(message)
            self._offer(Waiting(message[_CLOCK.size:], sent, self._turn))

    async def answer(self) -> None:
        """Answer pictures, the newest first, until cancelled."""
        seats = self.service.seats
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._change.wait()
            except TimeoutError:
                seats.leave(self)
                continue
            self._change.clear()
            if self._trouble is not None:
                error, self._trouble = self._trouble, None
                await self.wire.tell({"error": str(error), "code": "camera"})
            if self._newest is None:
                continue
            if not self.plan:
                self._newest = None
                await self.wire.tell({"error": 'say what to do first: {"plan": {"detect": {}}}.', "code": "no_plan"})
                continue
            await self._seated()
            waiting, self._newest = self._newest, None
            if waiting is not None:                      # a change of the source takes it away meanwhile
                await self._answer(waiting)

    def close(self) -> None:
        """The visitor has gone; called in its loop's thread. What is under way ends by itself."""
        self.service.seats.leave(self)
        if self._newest is not None:
            self.service.metrics.drop("the visitor has gone")
        if self._unwatch is not None:
            self._unwatch()
        self._loop.run_in_executor(None, self._exchange, None, ())

    def _offer(self, waiting: Waiting) -> None:
        """The newest picture; called in the loop's thread."""
        if self._newest is not None:
            self.skipped += 1
            self.service.metrics.drop("replaced by a newer one")
        self._newest = waiting
        self._change.set()

    async def _seated(self) -> None:
        """Wait for a seat, and say how many are ahead."""
        said = 0
        while ahead := self.service.seats.ask(self):
            if ahead != said:
                await self.wire.tell({"wait": {"ahead": ahead}})
                said = ahead
            await self.service.seats.changed()

    def _watch(self, name: Any) -> None:
        """Watch one of the server's cameras, or none; what comes from now on has new steps."""
        told = partial(self._from_camera, self._turn + 1)
        unwatch = None if name is None else self.service.cameras.watch(name, told)
        if self._unwatch is not None:
            self._unwatch()
        self._unwatch, self._newest, self._trouble = unwatch, None, None
        self._turn += 1

    def _from_camera(self, turn: int, what: Frame | VisionError) -> None:
        self._loop.call_soon_threadsafe(self._camera_says, turn, what)

    def _camera_says(self, turn: int, what: Frame | VisionError) -> None:
        if turn != self._turn:
            return
        if isinstance(what, Frame):
            self._offer(Waiting(what, 1000 * what.captured, turn))
        else:
            self._trouble = what
            self._change.set()

    async def _switch(self, asked: Any) -> None:
        """Take another plan, once its models are there."""
        service = self.service
        for task in service.missing(list(asked) if isinstance(asked, dict) else []):
            await self.wire.tell({"loading": task})
            await asyncio.to_thread(service.load, task)
        plan = service.asked(asked)
        chain = await asyncio.to_thread(service.open, plan, Info(SOURCE, "stream", live=True))
        await asyncio.to_thread(self._exchange, chain, plan)
        about = chain.about()
        await self.wire.tell({"ready": {
            "tasks": [one.key for one in plan],
            "models": {key: {"name": said.get("model", ""), "engine": _engine(said)} for key, said in about.items()},
            "names": chain.names(),
        }})

    def _exchange(self, chain: Chain | None, plan: Sequence[Spec]) -> None:
        """Put other steps in the place of those so far, which are ended."""
        with self._stepping:
            before, self._chain, self._size, self.plan = self._chain, chain, None, plan
        if before is not None:
            before.close()

    async def _answer(self, waiting: Waiting) -> None:
        try:
            future = self.service.turns.submit(self.client, partial(self._look, waiting))
            record, shown = await asyncio.wrap_future(future)
        except Exception as error:
            if not isinstance(error, VisionError):
                _log.error("a picture failed", exc_info=error)
            self.service.metrics.drop(cause_of(error))
            await self.wire.tell({"wait": {"ahead": error.ahead}} if isinstance(error, Busy) else told(error))
            return
        if shown is not None and waiting.turn != self._turn:
            return
        skipped, self.skipped = self.skipped, 0
        if shown is not None:
            await self.wire.show(_CLOCK.pack(waiting.sent) + shown)
        if isinstance(waiting.picture, Frame) and waiting.picture.gap:
            await self.wire.tell({"record": gap(waiting.picture)})
        spent = monotonic() - waiting.arrived
        self.service.metrics.stream_seconds.observe(spent)
        await self.wire.tell({
            "record": record, "sent": waiting.sent if math.isfinite(waiting.sent) else None,
            "server_ms": round(1000 * spent, 1), "skipped": skipped,
        })

    def _look(self, waiting: Waiting) -> tuple[dict[str, Any], bytes | None]:
        """The record of a picture, and for a camera's its JPEG; called in a worker."""
        with self._stepping:
            return self._looked(waiting)

    def _looked(self, waiting: Waiting) -> tuple[dict[str, Any], bytes | None]:
        if waiting.turn != self._stepped:
            self._begin(waiting.turn)
        picture, shown = waiting.picture, None
        if isinstance(picture, Frame):
            frame, image = picture, picture.image
            shown = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        else:
            image = picture_of(picture, self.service.limits.max_pixels)
            frame = Frame(image, self._index, self._now(waiting.sent), SOURCE, captured=waiting.arrived)
        chain = self._chain_for(frame.size_wh)
        self._index += 1
        try:
            return self.service.seen(chain.look(frame)), shown
        except VisionError:
            self._size = (0, 0)                          # what failed on a frame is of no use for the next
            raise

    def _begin(self, turn: int) -> None:
        """Another source: a clock of its own, and new steps unless those at hand have seen nothing."""
        self._stepped, self._index, self._time, self._first = turn, 0, 0.0, math.nan
        if self._size is not None:
            self._size = (0, 0)

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
        if not math.isfinite(sent):
            sent = self._first + 1000 * (self._time + _SHORTEST_STEP) if math.isfinite(self._first) else 0.0
        if not math.isfinite(self._first):
            self._first = sent
        time = (sent - self._first) / 1000
        if self._index and not self._time < time <= self._time + _LONGEST_STEP:
            time = self._time + _SHORTEST_STEP
            self._first = sent - 1000 * time
        self._time = time
        return time


def _engine(said: Mapping[str, Any]) -> str:
    return " ".join(str(said[part]) for part in ("backend", "precision") if part in said)

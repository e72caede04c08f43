"""Actions on a stream: a sliding window in seconds, smoothed, with segments that do not flicker."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.errors import DataError
from vision.state import State, put_back, snapshot
from vision.types import Action, Floats, Frame, Image

if TYPE_CHECKING:
    from vision.tasks.action import Recognizer

_EPS = 1e-6                                       # seconds
Window = tuple[Floats, float]                     # probabilities (C,), and the window's first time


@dataclass
class _Segment:
    """A stretch of one action: the sum of its windows' probabilities, and how many they are."""

    label: int
    start: float
    end: float
    total: Floats
    windows: int

    @property
    def action(self) -> Action:
        return Action(self.total / np.float32(max(1, self.windows)), self.label, self.start, self.end)

_REMEMBERED = ("_origin", "_ticks", "_waited", "_seen", "apart", "_filled", "_probs", "_settled", "_began")
_SEGMENTS = ("label", "start", "end", "total", "windows")


class Stream:
    """One stream of frames; it remembers.

    The window is the network's: its number of frames at its rate, whatever the source's rate is. Time is
    cut into ticks of that rate, which frames serve as in `vision.io.clips.at_rate`: a faster source loses
    frames, a slower one repeats them. A gap longer than the window, or a step back, empties it
    and ends what went on: time may begin again, as from one video to the next.

    A frame is resized once. A 2D network looks at a frame once, and windows share what it found; a 3D
    network mixes all frames of a window from its first layer on, so each window is computed anew.

    every: seconds between windows. smoothing: time constant, in seconds, of the average over windows. An
    action begins when its probability reaches `enter` and ends when it falls below `leave`; between is
    idle, and so is a class named `none`. A change is seen late by half a window and by the smoothing (its
    time constant times ln 2), and is dated back by both, to the first frame at most. Segments shorter than `shortest`
    seconds are dropped, unless all frames since the last gap are; those of one action with less than `merge` seconds
    between them become one.

    looped: whether `finish` looped the frames, as no window was ever full. sparse: whether it did not, as the last of
    them stands alone behind a gap. apart: the shortest time between two frames that emptied the window, in seconds;
    infinite where none did.
    """

    def __init__(
        self, recognizer: Recognizer, every: float, smoothing: float, *, enter: float, leave: float,
        shortest: float, merge: float,
    ) -> None:
        self._recognizer = recognizer
        self._tick = 1 / recognizer.rate
        self._every = max(1, round(every * recognizer.rate))              # ticks
        self._smoothing, self._enter, self._leave = smoothing, enter, leave
        self._shortest, self._merge = shortest, merge
        self._none = recognizer.none
        self._span = recognizer.length * self._tick
        self._pixels: deque[Image] = deque(maxlen=recognizer.length)
        self._found: deque[Future[Any]] = deque(maxlen=recognizer.length - recognizer.sees + 1)
        self._origin, self._ticks, self._waited = 0.0, 0, 0
        self._stale = self._span + smoothing + every + 2 * self._tick     # no window for so long: a gap
        self._seen: float | None = None
        self._filled = False                                              # whether a window ever was full
        self._probs: Floats | None = None
        self._settled: float | None = None
        self._began = 0.0                                                 # the first window's start since a gap
        self.apart = math.inf
        self._past: list[_Segment] = []                                   # before time went back
        self._closed: list[_Segment] = []
        self._running: _Segment | None = None
        self.looped = self.sparse = False

    def __call__(self, frame: Frame) -> Action | None:
        """What goes on at this frame: the last window's verdict; None while no window was full. Raises
        DataError for a time that is not finite."""
        return self.settle(frame, self.submit([frame])()[0])

    def submit(self, frames: Sequence[Frame]) -> Callable[[], list[Window | None]]:
        """Start on frames, in order; what comes back waits and has, for each, the window that ends
        with it, if one does."""
        pending = [self._step(frame) for frame in frames]
        return lambda: [wait() if wait is not None else None for wait in pending]

    def settle(self, frame: Frame, window: Window | None) -> Action | None:
        """Take a frame's window in, in the frames' order."""
        if self._settled is not None and not -_EPS <= frame.time - self._settled <= self._stale:
            self._close()
            if frame.time < self._settled:
                self._past, self._closed = [*self._past, *self._closed], []
            self._probs = self._settled = None
        if window is not None:
            self._filled = True
            self._take(*window, frame.time)
        if self._probs is None:
            return None
        if self._running is None:
            return Action(self._probs, -1, frame.time, frame.time)
        self._running.end = frame.time
        return Action(self._probs, self._running.label, self._running.start, frame.time)

    @property
    def segments(self) -> list[Action]:
        """The segments so far, the running one included; probs are the means over their windows."""
        segments = self._joined([*self._closed, *([self._running] if self._running else [])])
        return [segment.action for segment in (*self._past, *segments)]

    def finish(self) -> list[Action]:
        """The end of the stream: its segments. Where no window was ever full, the frames since the last gap are looped
        to fill one, unless that is a single one."""
        if self._seen is None:
            return []
        if not self._filled:
            self.sparse = self.apart < math.inf and self._seen <= self._origin
            self.looped = not self.sparse
        if self.looped:
            self._take(self._recognizer.looped(list(self._pixels)), self._origin, self._seen)
            if self._running is not None:
                self._running.start, self._running.end = self._origin, self._seen
                return [self._running.action]
        if self._seen - self._origin >= self._shortest:
            self._close()
        return self.segments

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change. To be asked for
        when every frame that was submitted is settled; it waits for what the engine still has to do."""
        return {
            **snapshot(self, _REMEMBERED),
            "pixels": _once(self._pixels, lambda pixels: pixels),
            "found": _once(self._found, lambda future: future.result()[0][0]),
            "past": [snapshot(segment, _SEGMENTS) for segment in self._past],
            "closed": [snapshot(segment, _SEGMENTS) for segment in self._closed],
            "running": None if self._running is None else snapshot(self._running, _SEGMENTS),
        }

    def restore(self, state: State) -> None:
        """Go on from the `state` of a stream that was made with the same arguments."""
        put_back(self, _REMEMBERED, state)
        pixels, found = list(state["pixels"]["values"]), [_done(row) for row in state["found"]["values"]]
        self._pixels = deque((pixels[i] for i in state["pixels"]["order"]), self._pixels.maxlen)
        self._found = deque((found[i] for i in state["found"]["order"]), self._found.maxlen)
        self._past = [_Segment(**segment) for segment in state["past"]]
        self._closed = [_Segment(**segment) for segment in state["closed"]]
        self._running = None if state["running"] is None else _Segment(**state["running"])

    def _step(self, frame: Frame) -> Callable[[], Window] | None:
        time = frame.time
        if not math.isfinite(time):
            raise DataError(f"time must be finite seconds; got {time}")
        if self._seen is None or not -_EPS <= time - self._seen <= self._span:
            if self._seen is not None and time > self._seen:
                self.apart = min(self.apart, time - self._seen)
            self._pixels.clear()
            self._found.clear()
            self._origin, self._ticks, self._waited = time, 0, self._every
        gap = time - self._seen if self._seen is not None and self._ticks else 0.0
        reach, self._seen = time + min(self._tick, gap) / 2, time
        pixels: Image | None = None
        while self._origin + self._ticks * self._tick <= reach + _EPS:
            pixels = self._recognizer.pixels(frame.image) if pixels is None else pixels
            self._push(pixels)
            self._ticks += 1
            self._waited += 1
        if len(self._pixels) < self._recognizer.length or self._waited < self._every:
            return None
        self._waited = 0
        probs = self._window()
        start = self._origin + (self._ticks - len(self._pixels)) * self._tick
        return lambda: (probs(), start)

    def _push(self, pixels: Image) -> None:
        """A frame for the next tick; a 2D network starts on it, unless it saw just that."""
        recognizer = self._recognizer
        again = recognizer.sees == 1 and bool(self._pixels) and self._pixels[-1] is pixels
        self._pixels.append(pixels)
        if again and self._found:
            self._found.append(self._found[-1])
        elif recognizer.card.clip.per_frame and len(self._pixels) >= recognizer.sees:
            picture = recognizer.picture(np.stack([*self._pixels][-recognizer.sees :]))
            self._found.append(recognizer.engine.submit(picture[None]))

    def _window(self) -> Callable[[], Floats]:
        """Start on the window that ends now."""
        if self._recognizer.card.clip.per_frame:
            futures = list(self._found)
            return lambda: softmax(np.mean([f.result()[0][0] for f in futures], axis=0))
        future = self._recognizer.engine.submit(np.stack(self._pixels)[None])
        return lambda: softmax(future.result()[0][0])

    def _take(self, probs: Floats, start: float, now: float) -> None:
        """Smooth, and begin or end an action."""
        if self._probs is None or self._settled is None:
            self._probs, self._began, changed = probs, start, start
        else:
            share = 1 - math.exp(-(now - self._settled) / self._smoothing) if self._smoothing else 1.0
            self._probs = np.asarray(self._probs + np.float32(share) * (probs - self._probs), np.float32)
            changed = max(self._began, (start + now) / 2 - self._smoothing * math.log(2))
        self._settled = now
        if self._running is None or self._probs[self._running.label] < self._leave:
            self._close(changed)
            best = int(self._probs.argmax())
            if self._probs[best] >= self._enter and best != self._none:
                changed = max([changed, *(s.end for s in self._closed[-1:])])
                self._running = _Segment(best, changed, now, np.zeros_like(probs), 0)
        if self._running is not None:
            self._running.total = self._running.total + self._probs
            self._running.windows += 1

    def _close(self, changed: float = math.inf) -> None:
        """The running segment ends, at `changed` or where it was last seen."""
        ended, self._running = self._running, None
        if ended is not None:
            ended.end = max(ended.start, min(changed, ended.end))
            self._closed = self._joined([*self._closed, ended])

    def _joined(self, segments: list[_Segment]) -> list[_Segment]:
        """Without the short ones, but for one that still runs; neighbours of one action joined."""
        joined: list[_Segment] = []
        for s in segments:
            if s.end - s.start < self._shortest and s is not self._running:
                continue
            last = joined[-1] if joined else None
            if last is not None and last.label == s.label and s.start - last.end < self._merge:
                total, windows = last.total + s.total, last.windows + s.windows
                joined[-1] = _Segment(s.label, last.start, s.end, total, windows)
            else:
                joined.append(s)
        return joined


def _once(entries: Sequence[Any], array: Callable[[Any], np.ndarray]) -> State:
    """The arrays of a queue whose entries repeat: each object once, and which stands at each place."""
    objects = {id(entry): entry for entry in entries}
    places = {key: n for n, key in enumerate(objects)}
    return {
        "values": [array(entry).copy() for entry in objects.values()],
        "order": [places[id(entry)] for entry in entries],
    }


def _done(row: np.ndarray) -> Future[Any]:
    """A future that holds one row of an engine's first output."""
    future: Future[Any] = Future()
    future.set_result((row[None],))
    return future


def softmax(logits: np.ndarray) -> Floats:
    """Probabilities over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float32)

"""Cameras that fail when they are told to: a server of streams, a driver, and a step that counts what it sees."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import cv2
import numpy as np

from vision import Frame, Option, Scores, Spec, Step
from vision.errors import ModelError
from vision.io import capture
from vision.spec import spec
from vision.steps import Pending, Ready
from vision.types import Result

Part = list[tuple[float, bytes]]                         # a connection: seconds to wait, then what is sent
PAUSE = 0.02


def picture(number: int) -> np.ndarray:
    """(48,64,3), grey: 10 times its number."""
    return np.full((48, 64, 3), number * 10, np.uint8)


def mjpeg(numbers: Sequence[int], pause: float = PAUSE, last: float = 0.0) -> Part:
    """Pictures as cameras send them over HTTP, the last one after another pause."""
    parts = []
    for n in numbers:
        data = cv2.imencode(".jpg", picture(n))[1].tobytes()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
        parts.append((pause, head + data + b"\r\n"))
    return [*parts, (last, b"")]


class Cameras:
    """A server of live streams. parts: for each path its connections, one after the other; then nobody is there."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Part | None]] = {}
        self.sent: Counter[str] = Counter()
        cameras = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                left = cameras.parts.get(self.path, [])
                part = left.pop(0) if left else None
                if part is None:
                    self.send_error(503)
                    return
                kind = "video/mp2t" if self.path.endswith(".ts") else "multipart/x-mixed-replace; boundary=frame"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                try:
                    for pause, data in part:
                        time.sleep(pause)
                        self.wfile.write(data)
                        cameras.sent[self.path] += bool(data)
                except OSError:                          # nobody looks any more
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


@spec
class Nth(Spec):
    """Says as which of its stream a frame came: a step that remembers."""

    task = "nth"
    result = Scores

    slow: Annotated[float, Option("a frame", "seconds")] = 0.0
    fails: Annotated[bool, Option("no model can be loaded")] = False
    stumbles: Annotated[int, Option("the frame on which it fails")] = -1

    def load(self, pool: Any) -> Any:
        if self.fails:
            raise ModelError("there is no such model.")
        return None

    def open(self, info: Any, model: Any) -> Step:
        return _Nth(self)


class _Nth(Step):
    names = ("nth",)
    remembers = True

    def __init__(self, spec: Nth) -> None:
        super().__init__(spec.key)
        self.slow, self.count, self.stumbles = spec.slow, 0, spec.stumbles

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        time.sleep(self.slow)
        self.count += 1
        if frame.index == self.stumbles:
            raise RuntimeError("stumbled")
        return Ready(Scores(np.array([self.count], np.float32)))


class FakeCapture:
    """In place of `cv2.VideoCapture`: a frame every `pause` seconds, with the time of each as a driver has it.

    there: whether a camera is plugged in. size_wh: of its pictures. stale: ages of the pictures that lie in the
    driver's buffer when it is opened. lasts: frames after which it fails.
    """

    there, size_wh, stale, pause, lasts = True, (64, 48), (), 0.01, 1 << 60

    def __init__(self, uri: Any) -> None:
        self.count, self.stamp, self.left = 0, 0.0, list(self.stale)
        self.open = self.there

    def isOpened(self) -> bool:
        return self.open

    def grab(self) -> bool:
        if not type(self).there or self.count >= self.lasts:
            return False
        if self.left:
            self.stamp = time.monotonic() - self.left.pop(0)
        else:
            time.sleep(self.pause)
            self.stamp = time.monotonic()
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        self.count += 1
        return True, np.full((*self.size_wh[::-1], 3), self.count % 250 + 1, np.uint8)

    def get(self, what: int) -> float:
        return {capture.cv2.CAP_PROP_POS_MSEC: self.stamp * 1000, capture.cv2.CAP_PROP_FRAME_WIDTH: self.size_wh[0],
                capture.cv2.CAP_PROP_FRAME_HEIGHT: self.size_wh[1]}.get(what, 0.0)

    def release(self) -> None:
        self.open = False

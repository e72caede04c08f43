"""The server's own cameras: each is read while somebody watches it, once for all who do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from vision.errors import UsageError, VisionError
from vision.io import latest, read
from vision.io.base import shown
from vision.spec import nearest
from vision.types import Frame

_log = logging.getLogger("vision.serve")
_BETWEEN_S = 0.04                                        # from the end of a source to its beginning
_RETRY_S = 2.0                                           # between two attempts at a camera that is not there
Watcher = Callable[[Frame | VisionError], None]          # called in the camera's thread; must not wait


class Cameras:
    """What `read` takes, by name: `camera:0`, `camera:1`, in the order given."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = {f"camera:{number}": source for number, source in enumerate(sources)}
        self._watchers: dict[str, list[Watcher]] = {name: [] for name in self._sources}
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def described(self) -> list[dict[str, str]]:
        """Name and source of each, without passwords."""
        return [{"name": name, "source": shown(source)} for name, source in self._sources.items()]

    def watch(self, name: object, watcher: Watcher) -> Callable[[], None]:
        """Have `watcher` called with every frame, or with what is wrong. Returns what ends it. Raises UsageError."""
        if not isinstance(name, str) or name not in self._sources:
            raise UsageError(f"there is no source {str(name)[:60]!r}. {nearest(str(name), self._sources)}")
        with self._lock:
            self._watchers[name].append(watcher)
            if name not in self._threads:
                self._threads[name] = threading.Thread(
                    target=self._read, args=(name,), name=f"vision-{name}", daemon=True)
                self._threads[name].start()
        return partial(self._leave, name, watcher)

    def close(self) -> None:
        """Nobody watches any more."""
        with self._lock:
            for watchers in self._watchers.values():
                watchers.clear()

    def _leave(self, name: str, watcher: Watcher) -> None:
        with self._lock:
            if watcher in self._watchers[name]:
                self._watchers[name].remove(watcher)

    def _read(self, name: str) -> None:
        """Read a camera until nobody watches it; one that fails is tried again. A file plays a camera, and begins anew
        at its end: its time goes on."""
        pause = threading.Event()
        time = 0.0
        while self._watched(name):
            try:
                before = time
                with latest(read(self._sources[name], realtime=True)) as frames:
                    for frame in frames:
                        time = before + frame.time + _BETWEEN_S
                        if not self._tell(name, replace(frame, time=time)):
                            break
            except VisionError as error:
                self._tell(name, error)
                pause.wait(_RETRY_S)
            except Exception:
                _log.exception("%s failed", name)
                pause.wait(_RETRY_S)

    def _tell(self, name: str, what: Frame | VisionError) -> bool:
        with self._lock:
            watchers = list(self._watchers[name])
        for watcher in watchers:
            watcher(what)
        return bool(watchers)

    def _watched(self, name: str) -> bool:
        """Whether somebody watches; where nobody does, the next one starts a new thread."""
        with self._lock:
            if not self._watchers[name]:
                self._threads.pop(name, None)
                return False
            return True

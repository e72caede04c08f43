"""A live source under a plan that may be changed while it runs: what a window, or a program of one's own, looks at."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Self

from vision.drawing import Style
from vision.errors import VisionError
from vision.io import Counts, Info, Latest, Source, latest, read
from vision.io.prefetch import Channel
from vision.item import Item
from vision.run import Run
from vision.steps.base import Pool, Spec
from vision.steps.plan import checked_plan
from vision.types import Frame

_AGAIN_S = 1.0                       # after a step has failed


class Watch:
    """The newest items of a live source, made in a thread of its own.

    source: a name for `read`, or what `read` gave: a camera or a stream is waited for as long as it takes, a file plays
        a camera.
    plan: specs, as for `Run`; `switch` changes it.
    pool: models that are loaded already; whoever made it closes it. Otherwise device, precision and backend say where
        models run, as `vision.engine.load` has them.
    style: how results are drawn.

    plan: the specs whose results come now. wanted: those that were asked for last. count: items so far. ended: whether
    nothing more will come. Raises as `read` does, UsageError for a plan that is not possible.
    """

    def __init__(
        self, source: str | int | Path | Source, plan: Sequence[Spec], *, pool: Pool | None = None,
        device: str = "auto", precision: str = "auto", backend: str = "auto", style: Style | None = None,
    ) -> None:
        self.plan: tuple[Spec, ...] = ()
        self.count, self.ended = 0, False
        self._refused = self._stumbled = ""              # why a plan was not loaded; why a step failed
        self.wanted = tuple(checked_plan(list(plan)))
        opened = source if isinstance(source, Source) else read(source, realtime=True, reconnect=True)
        self.source: Latest[Frame] = latest(opened)
        self._opened, self._style = opened, style
        self._pool, self._owns = pool or Pool(device, precision, backend), pool is None
        self._ready: tuple[Spec, ...] = ()               # loaded, for the thread to go on with
        self._go, self._stop = threading.Event(), threading.Event()
        self._items = Channel[Item](1, newest=True)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vision-loading")
        self._loader.submit(self._load, self.wanted)
        self._thread = threading.Thread(target=self._work, name="vision-watch", daemon=True)
        self._thread.start()

    def switch(self, plan: Sequence[Spec]) -> None:
        """Go on with another plan, once its models are loaded; what runs goes on until then. Raises UsageError for a
        plan that is not possible."""
        self.wanted = tuple(checked_plan(list(plan)))
        self._refused = ""
        self._loader.submit(self._load, self.wanted)

    def newest(self, timeout: float = 0.0) -> Item | None:
        """The newest item, each once; None where none comes within so many seconds."""
        return self._items.take(timeout)

    @property
    def info(self) -> Info:
        """What the source says about itself."""
        return self._opened.info

    @property
    def trouble(self) -> str:
        """What went wrong last, in a line; empty while all is well."""
        return self._refused or self._stumbled

    @property
    def name(self) -> str:
        """What the source is called."""
        return f"camera {self.info.uri}" if self.info.uri.isdecimal() else self.info.uri

    @property
    def skipped(self) -> int:
        """Frames that a newer one replaced before their turn came."""
        return self.source.skipped

    @property
    def status(self) -> str:
        """What one waits for, in a line; empty while items come."""
        lost = self._opened.lost_at
        if self.ended:
            return self.trouble or "the source has ended"
        if lost is not None:
            return f"{self.name} is not there: waiting for {monotonic() - lost:.0f} s"
        if self.wanted != self.plan and not self.trouble:
            return f"loading {', '.join(one.key for one in self.wanted)}"
        return self.trouble

    def close(self) -> None:
        """End and join its threads, and close what was opened here."""
        self._stop.set()
        self._go.set()
        self._items.abandon()
        self.source.interrupt()
        self._loader.shutdown(cancel_futures=True)
        self._thread.join()
        self.source.close()
        if self._owns:
            self._pool.close()

    def _load(self, plan: tuple[Spec, ...]) -> None:
        if plan is not self.wanted:                     # another one was asked for meanwhile
            return
        try:
            self._pool.expect(plan)
            for one in plan:
                one.load(self._pool)
        except Exception as error:                       # whatever a model trips over: what runs goes on
            if plan is self.wanted:
                self._refused, self.wanted = str(error), self._ready
            return
        self._ready = plan
        self._go.set()

    def _work(self) -> None:
        try:
            while self._go.wait() and not self._stop.is_set() and not self.ended:
                self._go.clear()
                try:
                    self._through(self._ready)
                except VisionError as error:             # of a step: with the next frame all may be well
                    self._stumbled = str(error)
                    self._stop.wait(_AGAIN_S)
                    self._go.set()
        finally:
            self.ended = True
            self._items.end(None)

    def _through(self, plan: tuple[Spec, ...]) -> None:
        """Go on with a plan until another is ready, or the source ends."""
        lent = _Lent(self.source)
        with Run(lent, plan, pool=self._pool, style=self._style) as run:
            self.plan = plan
            for item in run:
                self.count += 1
                self._stumbled = ""
                if not self._items.send(item) or self._go.is_set():
                    return
        self.ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Lent(Latest[Frame]):
    """A live source that several runs have one after the other: none closes it, each counts what came in its time."""

    def __init__(self, source: Latest[Frame]) -> None:
        self.source = source
        self._over, self._skipped, self._counts = False, source.skipped, replace(source.counts)

    @property
    def skipped(self) -> int:
        """How many frames were replaced by a newer one in this run."""
        return self._owner.skipped - self._skipped

    @property
    def counts(self) -> Counts:
        """What became of the frames in this run."""
        now, before = self._owner.counts, self._counts
        return Counts(now.decoded - before.decoded, now.corrupt - before.corrupt, now.passed_over - before.passed_over)

    @property
    def notes(self) -> list[str]:
        """The source's remarks."""
        return self._owner.notes

    @property
    def _owner(self) -> Latest[Frame]:
        assert isinstance(self.source, Latest)
        return self.source

    def __next__(self) -> Frame:
        if self._over:
            raise StopIteration
        return next(self._owner)

    def interrupt(self) -> None:
        """End this run's part."""
        self._over = True

    def close(self) -> None:
        """End this run's part; the source stays open."""
        self._over = True

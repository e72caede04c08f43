"""Videos: each a job whose records are read while it goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from vision.errors import VisionError, plain
from vision.io import read
from vision.item import Item
from vision.record import line
from vision.run import Run
from vision.serve.answers import Refusal, told
from vision.serve.limits import Limits
from vision.serve.turns import Busy, Turns
from vision.steps import Pool, Spec

_log = logging.getLogger("vision.serve")
_KEPT = 64                                               # finished jobs that can still be asked for
_KEPT_S = 3600.0                                         # and for how long
_LOOK_S = 0.05                                           # between two looks at a file of records that grows
_AT_ONCE = 2                                             # videos; the others wait
_OVER = ("done", "failed", "stopped")


class Job:
    """A video with a plan. Its records lie in a file beside it.

    state: waiting, running, done, failed or stopped. frames: done so far. of: how many there are, by the container's
    word, or None.
    """

    def __init__(self, video: tuple[str, Path], plan: Sequence[Spec], client: str) -> None:
        self.id, self.client = secrets.token_urlsafe(12), client
        self.name, self.path = video
        self.records = self.path.with_suffix(".jsonl")
        self.plan, self.tasks = list(plan), [one.key for one in plan]
        self.state, self.error, self.code = "waiting", "", "failed"
        self.frames = 0
        self.of: int | None = None
        self.report: dict[str, Any] | None = None
        self.stopping = threading.Event()
        self.began, self.ended = monotonic(), 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in _OVER

    def named(self, text: str) -> str:
        """What is said of the video, by its own name in place of the file's on this machine."""
        return text.replace(str(self.path), self.name)

    def described(self) -> dict[str, Any]:
        """The job as it stands."""
        spent = (self.ended or monotonic()) - self.began
        return {
            "id": self.id, "state": self.state, "tasks": self.tasks, "source": self.name,
            "frames": self.frames, "of": self.of, "fps": round(self.frames / spent, 2) if spent else 0.0,
            "error": self.error or None, "records": f"/v1/jobs/{self.id}/records", "report": self.report,
        }


class Jobs:
    """The videos of all clients, each item done in its client's turn.

    pool, turns: the server's. seen: called with each item, gives its record.
    """

    def __init__(
        self, pool: Pool, turns: Turns, limits: Limits, seen: Callable[[Item], dict[str, Any]]
    ) -> None:
        self._pool, self._turns, self._limits, self._seen = pool, turns, limits, seen
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_AT_ONCE)
        self._threads: deque[threading.Thread] = deque()

    def add(self, video: tuple[str, Path], plan: Sequence[Spec], client: str) -> Job:
        """A job that begins when there is room. The file is the job's from here on. Raises Refusal."""
        with self._lock:
            self._forget()
            under_way = sum(not job.over for job in self._jobs.values())
            if under_way >= self._limits.max_jobs:
                video[1].unlink(missing_ok=True)
                raise Refusal(503, "busy", f"busy, {under_way} videos ahead. Try again later.")
            job = Job(video, plan, client)
            self._jobs[job.id] = job
        thread = threading.Thread(target=self._work, args=(job,), name=f"vision-job-{job.id}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return job

    def find(self, number: str) -> Job:
        """The job of an id. Raises Refusal where there is none."""
        with self._lock:
            self._forget()
            job = self._jobs.get(number)
        if job is None:
            raise Refusal(404, "no_job", f"there is no job {plain(number)[:40]!r} (any more).")
        return job

    def stop(self, number: str) -> Job:
        """End a job; what is done stays readable."""
        job = self.find(number)
        job.stopping.set()
        return job

    @property
    def under_way(self) -> int:
        """How many wait or are running."""
        with self._lock:
            self._forget()
            return sum(not job.over for job in self._jobs.values())

    def close(self) -> None:
        """End all of them, and remove their files."""
        for job in self._jobs.values():
            job.stopping.set()
        for thread in list(self._threads):
            thread.join(timeout=10)
        with self._lock:
            for job in self._jobs.values():
                job.records.unlink(missing_ok=True)
            self._jobs.clear()

    def _work(self, job: Job) -> None:
        placed = False
        try:
            while not (placed or job.stopping.is_set()):
                placed = self._places.acquire(timeout=_LOOK_S)
            if placed:
                job.state = "running"
                self._through(job)
            job.state = "stopped" if job.stopping.is_set() else "done"
        except Exception as error:
            if not isinstance(error, VisionError):
                _log.exception("a job failed")
            said = told(error)
            job.error, job.code, job.state = job.named(said["error"]), said["code"], "failed"
        finally:
            job.ended = monotonic()
            job.plan.clear()                             # faces that its client named go with it
            job.path.unlink(missing_ok=True)
            if placed:
                self._places.release()

    def _through(self, job: Job) -> None:
        """Each item in a turn of the job's client."""
        source = read(str(job.path), max_pixels=self._limits.max_pixels, max_frames=self._limits.max_frames)
        job.of = source.info.frames_estimate
        with job.records.open("w", encoding="utf-8") as file, \
                Run(source, job.plan, pool=self._pool) as run:
            items = iter(run)
            while not job.stopping.is_set():
                item = self._turn(job, partial(next, items, None))
                if item is None:
                    break
                record = self._seen(item)
                record["source"] = job.name
                file.write(line(record))
                file.flush()
                job.frames += 1
            run.close()
            report = run.report.to_dict()
            job.report = {**report, "source": job.name, "notes": [job.named(note) for note in report["notes"]]}
            if job.frames >= self._limits.max_frames and (job.of is None or job.of > job.frames):
                job.report["notes"].append(f"only the first {self._limits.max_frames} frames were read")

    def _turn(self, job: Job, piece: Callable[[], Any]) -> Any:
        while not job.stopping.is_set():
            try:
                return self._turns.submit(f"{job.client} {job.id}", piece).result()
            except Busy:
                sleep(0.2)
            except CancelledError:
                job.stopping.set()
        return None

    def _forget(self) -> None:
        """Let go of the oldest that are over."""
        over = [job for job in self._jobs.values() if job.over]
        late = [job for job in over if 0 < job.ended < monotonic() - _KEPT_S]
        for job in {*late, *over[: max(0, len(over) - _KEPT)]}:
            with suppress(OSError):
                job.records.unlink(missing_ok=True)
            del self._jobs[job.id]
        while self._threads and not self._threads[0].is_alive():
            self._threads.popleft()


async def records_of(job: Job, ending: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The lines of a job's records from the first on, as they come, until it is over. Where it failed, the last
    line says why. ending: whether the server ends, which no reader keeps from it."""
    part = b""
    while not (job.records.exists() or job.over or ending()):
        await asyncio.sleep(_LOOK_S)
    if job.records.exists():
        with job.records.open("rb") as file:
            while True:
                over = job.over or ending()              # asked before reading: what is read after it is all there is
                chunk = await asyncio.to_thread(file.read, 1 << 18)
                if chunk:
                    part += chunk
                    whole, newline, part = part.rpartition(b"\n")
                    yield whole + newline
                elif over:
                    break
                else:
                    await asyncio.sleep(_LOOK_S)
    if job.error:
        yield (json.dumps({"error": job.error, "code": job.code}) + "\n").encode()

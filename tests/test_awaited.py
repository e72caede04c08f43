"""`async for item in run`: the same items, beside whatever else the loop does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vision import Frame, JsonLines, Run, Scores, Spec, Step, read
from vision.errors import StepError
from vision.spec import spec
from vision.steps import Ready


@spec
class Slow(Spec):
    """Takes 20 ms for a frame, and fails on one."""

    task, result = "slow", Scores

    def open(self, info: Any, model: Any) -> Step:
        return SlowStep(self.key)


class SlowStep(Step):
    names = ("a",)

    def begin(self, frame: Frame, sofar: Any) -> Any:
        time.sleep(0.02)
        if frame.index == 13:
            raise ValueError("unlucky")
        return Ready(Scores([0.5]))


def frames(count: int) -> list[Frame]:
    return [Frame(np.zeros((4, 4, 3), np.uint8), i, i / 10) for i in range(count)]


async def collected(run: Run) -> list[int]:
    return [item.frame.index async for item in run]


def test_the_items_and_a_free_loop(tmp_path: Path) -> None:
    ticks = 0

    async def main() -> list[int]:
        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with Run(frames(12), Slow(), [JsonLines(tmp_path / "a.jsonl")]) as run:
            found = await collected(run)
        ticking.cancel()
        return found

    assert asyncio.run(main()) == list(range(12))
    assert ticks > 15
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 12


def test_an_error_is_raised_in_the_loop() -> None:
    seen: list[int] = []

    async def main() -> None:
        with Run(frames(20), Slow()) as run:
            async for item in run:
                seen.extend([item.frame.index])

    with pytest.raises(StepError, match="unlucky"):
        asyncio.run(main())
    assert seen == list(range(13))


def test_two_runs_side_by_side() -> None:
    async def main() -> list[list[int]]:
        with Run(frames(10), Slow()) as a, Run(frames(10), Slow()) as b:
            return await asyncio.gather(collected(a), collected(b))

    began = time.monotonic()
    assert asyncio.run(main()) == [list(range(10))] * 2
    assert time.monotonic() - began < 0.39, "one after the other they take 0.4 s"


class Endless:
    """A camera that gives one frame and then hangs until it is interrupted."""

    def __init__(self) -> None:
        import threading

        self.stop, self.closed = threading.Event(), False

    def __iter__(self) -> Iterator[Frame]:
        yield frames(1)[0]
        self.stop.wait(20)

    def interrupt(self) -> None:
        self.stop.set()

    def close(self) -> None:
        self.closed = True


def test_being_cancelled_ends_the_run_with_whole_outputs(tmp_path: Path) -> None:
    source = Endless()

    async def main() -> Run:
        with Run(lambda: source, Slow(), [JsonLines(tmp_path / "a.jsonl")]) as run:
            task = asyncio.create_task(collected(run))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return run

    began = time.monotonic()
    run = asyncio.run(main())
    assert time.monotonic() - began < 5
    assert source.stop.is_set()
    assert (run.report.written, run.report.unexplained) == (1, 0)
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1


def test_leaving_the_loop_early(tmp_path: Path) -> None:
    async def main() -> Run:
        with Run(frames(12), Slow(), [JsonLines(tmp_path / "a.jsonl")]) as run:
            items = aiter(run)
            assert (await anext(items)).frame.index == 0
            await items.aclose()
        return run

    report = asyncio.run(main()).report
    assert report.unexplained == 0
    assert report.written < 12


def test_a_run_is_interrupted_from_another_thread() -> None:
    import threading

    with Run(lambda: read(Path(__file__).parents[1] / "docs/img/portrait.jpg"), Slow()) as run:
        run.interrupt()
        assert list(run) == [] or run.report.unexplained == 0
    source = Endless()
    with Run(lambda: source, Slow()) as run:
        threading.Timer(0.2, run.interrupt).start()
        assert len(list(run)) == 1

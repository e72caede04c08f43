"""The pipeline: order, completeness, faults on every side, bounded memory, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from vision.pipeline import Item, Report, Step, apply, run

from vision.errors import EngineError, LostFrames, SinkError, SourceError
from vision.types import Frame, Image, Scores


def frames(count: int, error: Exception | None = None) -> Iterator[Frame]:
    """Small frames whose pixels are their index; then, perhaps, an error."""
    for i in range(count):
        yield Frame(np.full((4, 4, 3), i % 256, np.uint8), i, i / 10, "made")
    if error is not None:
        raise error


class Mean:
    """A model that takes its time in a pool and answers with the picture's mean."""

    task, name, names, in_flight = "classify", "mean", ("mean",), 3

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.pool = ThreadPoolExecutor(3)
        self.under_way = self.most = 0

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
        """Answers come in any order; the later a picture, the sooner."""
        values = [float(image.mean()) for image in images]
        if self.fail_at in values:
            raise EngineError("the device is on fire")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        future = self.pool.submit(time.sleep, 0.002 if values[0] % 2 else 0)

        def wait() -> list[Scores]:
            future.result()
            self.under_way -= 1
            return [Scores(np.array([v / 255], np.float32)) for v in values]

        return wait


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = {t.name for t in threading.enumerate()}
    yield
    left = {t.name for t in threading.enumerate()} - before
    assert not {name for name in left if "vision" in name}


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_every_frame_comes_out_once_in_order_with_its_own_result(batch: int) -> None:
    items: list[Item] = []
    report = run(frames(50), apply(Mean()), [items.append], batch=batch)
    assert [item.frame.index for item in items] == list(range(50))
    assert [round(float(item.result.probs[0]) * 255) for item in items] == list(range(50))
    assert (report.read, report.inferred, report.written, report.unexplained) == (50, 50, 50, 0)
    assert report.dropped == {}


def test_no_more_is_under_way_than_asked_for() -> None:
    model = Mean()
    run(frames(40), apply(model))
    assert 2 <= model.most <= model.in_flight + 1


def test_what_remembers_is_called_in_order() -> None:
    seen: list[int] = []

    def remember(frame: Frame, result: Scores) -> Scores:
        seen.append(frame.index)
        return result

    run(frames(30), apply(Mean(), then=remember, task="classify"))
    assert seen == list(range(30))


def test_record_has_source_frame_time_task_and_model() -> None:
    items: list[Item] = []
    run(frames(3), apply(Mean()), [items.append])
    assert items[2].record == {
        "source": "made", "frame": 2, "time_s": 0.2, "size": [4, 4], "task": "classify", "model": "mean",
        "scores": [{"label": "mean", "class_id": 0, "score": round(2 / 255, 4)}],
    }


def test_a_source_that_breaks_loses_nothing_of_what_came_before() -> None:
    report, items = Report(), []
    with pytest.raises(SourceError, match="cable"):
        run(frames(20, SourceError("the cable")), apply(Mean()), [items.append], report=report)
    assert [item.frame.index for item in items] == list(range(20))
    assert report.written == 20
    assert report.unexplained == 0


def test_a_model_that_breaks_keeps_what_was_begun_before_and_counts_the_rest() -> None:
    report, items = Report(), []
    with pytest.raises(EngineError, match="on fire"):
        run(frames(30), apply(Mean(fail_at=12)), [items.append], report=report)
    assert [item.frame.index for item in items] == list(range(12))
    assert report.dropped == {"EngineError": report.read - 12}
    assert report.unexplained == 0


def test_a_sink_that_raises_in_mid_run_stops_it_and_is_named() -> None:
    written: list[int] = []

    def sink(item: Item) -> None:
        if item.frame.index == 5:
            raise OSError(28, "No space left on device")
        written.append(item.frame.index)

    report = Report()
    with pytest.raises(SinkError, match="No space left"):
        run(frames(1000), apply(Mean()), [sink], report=report)
    assert written == [0, 1, 2, 3, 4]
    assert report.written == 5
    assert report.unexplained == 0


def test_a_sink_that_raises_on_the_last_frame_is_not_missed() -> None:
    def sink(item: Item) -> None:
        if item.frame.index == 9:
            raise SinkError("full")

    with pytest.raises(SinkError, match="full"):
        run(frames(10), apply(Mean()), [sink])


def test_ctrl_c_writes_what_is_finished_and_says_how_many_were_not() -> None:
    def interrupt(report: Report, item: Item) -> None:
        if item.frame.index == 8:
            raise KeyboardInterrupt

    report, items = Report(), []
    with pytest.raises(KeyboardInterrupt):
        run(frames(100), apply(Mean()), [items.append], report=report, watch=interrupt)
    assert [item.frame.index for item in items] == list(range(8))
    assert report.written == 8
    assert report.dropped == {"interrupted": report.read - 8}


def test_frames_that_the_source_counted_but_nobody_saw_are_an_error() -> None:
    class Lossy:
        """Says that it decoded 10, hands out 9."""

        class counts:
            decoded, corrupt, passed_over = 10, 2, 0

        notes: tuple[str, ...] = ()

        def __iter__(self) -> Iterator[Frame]:
            return frames(9)

    report = Report()
    with pytest.raises(LostFrames, match="1 of 10"):
        run(Lossy(), apply(Mean()), report=report)
    assert report.corrupt == 2


def test_a_source_is_closed_even_when_the_model_breaks() -> None:
    closed = []

    class Source:
        """Remembers that it was closed."""

        def __iter__(self) -> Iterator[Frame]:
            return frames(50)

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(EngineError):
        run(Source(), apply(Mean(fail_at=3)))
    assert closed


def test_the_bottleneck_is_the_slow_stage() -> None:
    def slow_sink(item: Item) -> None:
        time.sleep(0.01)

    def slow_frames() -> Iterator[Frame]:
        for frame in frames(25):
            time.sleep(0.01)
            yield frame

    assert run(frames(40), apply(Mean()), [slow_sink]).bottleneck == "write"
    assert run(slow_frames(), apply(Mean())).bottleneck == "read"


def test_memory_does_not_grow_with_the_length() -> None:
    import tracemalloc

    def peak(count: int) -> int:
        tracemalloc.start()
        run(frames(count), Step("classify", "none", (), lambda f: lambda: [Scores([0.5])] * len(f)))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    assert peak(4000) < peak(400) + 4000 * 40      # latencies of the last 10,000 frames: a float each


def test_report_in_plain_values() -> None:
    facts: dict[str, Any] = run(frames(10), apply(Mean())).to_dict()
    assert facts["decoded"] == facts["inferred"] == facts["written"] == 10
    assert facts["latency_ms"]["p50"] <= facts["latency_ms"]["p99"]
    assert facts["bottleneck"] in ("read", "prepare", "infer", "write")

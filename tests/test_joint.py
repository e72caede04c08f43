"""The run: order, completeness, faults on every side, bounded memory, no thread left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pytest

from vision import (
    Classify,
    CocoResults,
    Count,
    DescribeFaces,
    Detect,
    Drive,
    Events,
    Frame,
    Identify,
    Item,
    JsonLines,
    LabelMaps,
    MotText,
    Option,
    Pool,
    Run,
    Scores,
    Segments,
    Sink,
    SinkSpec,
    Spec,
    Step,
    Track,
    VideoFile,
    VideoWriter,
    YoloText,
)
from vision.errors import EngineError, LostFrames, SinkError, SourceError, StepError, UsageError
from vision.io import latest, read
from vision.io.base import Counts
from vision.spec import spec
from vision.steps import Pending, Ready, State
from vision.steps.plan import checked_plan, plan_of, read_plan, spec_of
from vision.types import Image, Result


def frames(count: int, error: Exception | None = None) -> Iterator[Frame]:
    """Small frames whose pixels are their index; then, perhaps, an error."""
    for i in range(count):
        yield Frame(np.full((4, 4, 3), i % 256, np.uint8), i, i / 10, "made")
    if error is not None:
        raise error


class Mean:
    """A model that takes its time in a pool and answers with the picture's mean, the later the sooner."""

    name, names, in_flight = "mean", ("mean",), 3

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.pool = ThreadPoolExecutor(3)
        self.under_way = self.most = 0

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Scores]]:
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


@spec
class Average(Spec):
    """The mean of a picture."""

    task = "average"
    result = Scores

    model: Annotated[Mean | None, Option("a live model")] = None

    def open(self, info: Any, model: Any) -> Step:
        return _Average(self.key, self.model)


class _Average(Step):
    names = ("mean",)

    def __init__(self, key: str, model: Mean) -> None:
        super().__init__(key)
        self.model = model

    @property
    def in_flight(self) -> int:
        return self.model.in_flight

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        wait = self.model.submit([frame.image])
        return lambda: wait()[0]


@spec
class Sum(Spec):
    """The sum of the means so far."""

    task = "sum"
    result = Scores

    on: Annotated[str, Option("whose means")] = "average"

    def open(self, info: Any, model: Any) -> Step:
        return _Sum(self.key, self.on)


class _Sum(Step):
    names = ("sum",)
    remembers = True

    def __init__(self, key: str, on: str) -> None:
        super().__init__(key)
        self.needs, self.on, self.total, self.seen = frozenset((on,)), on, 0.0, list[int]()

    def begin(self, frame: Frame, sofar: Mapping[str, Any]) -> Pending:
        assert set(sofar) == {self.on}
        self.seen.append(frame.index)
        self.total += float(sofar[self.on].probs[0]) * 255
        return Ready(Scores(np.array([self.total], np.float32)))

    def state(self) -> State:
        return {"total": self.total}

    def restore(self, state: State) -> None:
        self.total = state["total"]


class Keep(Sink):
    """Keeps the items, or does with each what it is told."""

    def __init__(self, act: Callable[[Item], None] | None = None) -> None:
        self.items: list[Item] = []
        self.act, self.ends = act, list[tuple[Any, bool]]()

    def take(self, item: Item) -> None:
        if self.act is not None:
            self.act(item)
        self.items.append(item)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        self.ends.append((results, complete))


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = {t.name for t in threading.enumerate()}
    yield
    left = {t.name for t in threading.enumerate()} - before
    assert not {name for name in left if "vision" in name}


def test_every_frame_comes_out_once_in_order_with_its_own_results() -> None:
    keep, model = Keep(), Mean()
    with Run(frames(50), [Average(model), Sum()], [keep]) as run:
        seen = [item.frame.index for item in run]
    assert seen == [item.frame.index for item in keep.items] == list(range(50))
    assert [round(float(item["average"].probs[0]) * 255) for item in keep.items] == list(range(50))
    assert [round(float(item["sum"].probs[0])) for item in keep.items] == np.cumsum(range(50)).tolist()
    report = run.report
    assert (report.read, report.inferred, report.written, report.unexplained) == (50, 50, 50, 0)
    assert (report.dropped, keep.ends) == ({}, [({"average": (), "sum": ()}, True)])
    assert 2 <= model.most <= model.in_flight


def test_two_models_are_under_way_on_different_frames_at_once() -> None:
    """The second one's window is its own: each keeps its device busy."""
    first, second = Mean(), Mean()
    with Run(frames(40), [Average(first, key="a"), Average(second, key="b")]) as run:
        run.finish()
    assert (first.most, second.most) == (3, 3)


def test_a_step_that_looks_at_every_third_frame_is_absent_between() -> None:
    with Run(frames(10), [Average(Mean(), every=3), Sum()]) as run:
        items = list(run)
    assert [item.frame.index for item in items if "average" in item] == [0, 3, 6, 9]
    assert [item.frame.index for item in items if "sum" in item] == [0, 3, 6, 9]
    assert set(items[1].record) == {"schema", "kind", "source", "frame", "time_s", "size"}


def test_a_record_has_each_task_under_its_key() -> None:
    with Run(frames(3), [Average(Mean())]) as run:
        *_, last = run
    assert last.record == {
        "schema": 2, "kind": "frame", "source": "made", "frame": 2, "time_s": 0.2, "size": [4, 4],
        "average": {"scores": [{"label": "mean", "class_id": 0, "score": round(2 / 255, 4)}]},
    }
    assert repr(last) == "Item(frame 2 at 0.200 s of 'made': average)"


def test_a_source_that_breaks_loses_nothing_of_what_came_before() -> None:
    keep = Keep()
    with Run(frames(20, SourceError("the cable")), Average(Mean()), [keep]) as run:
        with pytest.raises(SourceError, match="cable"):
            run.finish()
        assert [item.frame.index for item in keep.items] == list(range(20))
        assert (run.report.written, run.report.unexplained, keep.ends[0][1]) == (20, 0, False)


@pytest.mark.parametrize("fail_at", [0, 12, 29])
def test_a_step_that_breaks_names_its_frame_and_keeps_what_was_begun_before(fail_at: int) -> None:
    keep = Keep()
    with Run(frames(30), [Average(Mean(fail_at=fail_at)), Sum()], [keep]) as run:
        with pytest.raises(StepError, match=f"'average' failed on frame {fail_at} at .* s of 'made': .*on fire"):
            run.finish()
        assert [item.frame.index for item in keep.items] == list(range(fail_at))
        assert run.report.dropped == {"StepError": run.report.read - fail_at}
        assert run.report.unexplained == 0


def test_a_sink_that_raises_in_mid_run_stops_it_and_is_named() -> None:
    def full(item: Item) -> None:
        if item.frame.index == 5:
            raise OSError(28, "No space left on device")

    keep = Keep(full)
    with Run(frames(1000), Average(Mean()), [keep]) as run:
        with pytest.raises(SinkError, match="No space left"):
            run.finish()
        assert [item.frame.index for item in keep.items] == [0, 1, 2, 3, 4]
        assert (run.report.written, run.report.unexplained) == (5, 0)


def test_a_sink_that_raises_on_the_last_frame_is_not_missed() -> None:
    def full(item: Item) -> None:
        if item.frame.index == 9:
            raise SinkError("full")

    with Run(frames(10), Average(Mean()), [Keep(full)]) as run, pytest.raises(SinkError, match="full"):
        run.finish()


def test_leaving_the_loop_ends_the_run_and_says_how_many_were_not_done() -> None:
    keep = Keep()
    with Run(frames(100), Average(Mean()), [keep]) as run:
        for item in run:
            if item.frame.index == 8:
                break
    assert [item.frame.index for item in keep.items] == list(range(9))
    assert run.report.dropped == {"stopped": run.report.read - 9}
    assert keep.ends[0][1]                                   # asked for: what is there is finished


def test_frames_that_the_source_counted_but_nobody_saw_are_an_error() -> None:
    class Lossy:
        """Says that it decoded 10, hands out 9."""

        counts, notes = Counts(), ()

        def __iter__(self) -> Iterator[Frame]:
            yield from frames(9)
            self.counts.decoded, self.counts.corrupt = 10, 2

    with Run(Lossy(), Average(Mean())) as run:
        with pytest.raises(LostFrames, match="1 of 10"):
            run.finish()
        assert run.report.corrupt == 2


def test_a_source_is_read_further_and_one_that_is_used_up_is_refused(tmp_path: Path) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    with read(tmp_path) as source:
        assert next(source).index == 0
        with Run(source, Average(Mean())) as run:
            assert (run.finish().read, run.report.written, run.report.unexplained) == (5, 5, 0)
        with Run(source, Average(Mean())) as run, pytest.raises(UsageError, match="read to its end before, or closed"):
            run.finish()


def test_who_fails_at_the_end_takes_nothing_from_the_others(tmp_path: Path) -> None:
    class Bad(Keep):
        def end(self, ends: Any, complete: bool) -> None:
            raise ValueError("at the end")

    class BadStep(_Average):
        def end(self) -> Any:
            raise ValueError("no end")

        def summary(self) -> Any:
            raise ValueError("no summary")

    class BadAverage(Average):
        def open(self, info: Any, model: Any) -> Step:
            return BadStep(self.key, self.model)

    for number, (plan, sinks, kind, said) in enumerate((
        (Average(Mean()), [Bad()], SinkError, "an output failed at its end: ValueError: at the end"),
        (BadAverage(Mean()), [], StepError, "'average' failed at the end: ValueError: no end"),
    )):
        film = tmp_path / f"{number}.mp4"
        big = (Frame(np.zeros((48, 64, 3), np.uint8), i, i / 10, "made") for i in range(5))
        with Run(big, plan, [*sinks, VideoFile(film)], checkpoint_every=0) as run, pytest.raises(kind, match=said):
            run.finish()
        assert run.report.written == 5
        with read(film) as frames_again:
            assert len(list(frames_again)) == 5


def test_what_is_no_plan_no_frame_and_no_open_run() -> None:
    with pytest.raises(UsageError, match=r"a plan is of specs, such as Detect\(\).*got 'detect'"):
        Run(frames(2), ["detect"])
    bare = iter([np.zeros((4, 4, 3), np.uint8)])
    with Run(bare, Average(Mean())) as run, pytest.raises(UsageError, match=r"a source gives frames.*got ndarray"):
        run.finish()
    with pytest.raises(UsageError, match="this run is closed"):
        run.finish()
    with Pool() as pool:
        pass
    with pytest.raises(UsageError, match="this pool of models is closed"):
        Run(frames(2), Detect(), pool=pool).finish()
    early = (Frame(np.zeros((4, 4, 3), np.uint8), i, i / 10, "made") for i in range(-3, 2))
    with Run(early, Average(Mean())) as run:
        assert run.finish().written == 5


def test_a_step_of_ones_own_may_have_no_names_and_no_numbers(tmp_path: Path) -> None:
    class Odd(_Average):
        names = ()

        def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
            return Ready(Scores([0.1, 0.9] if frame.index else []))

        def payload(self, result: Any) -> dict[str, Any]:
            return {"far": float("inf"), "list": [float("nan"), 1.0], "label": "a\u2028b"}

    class OddSpec(Average):
        def open(self, info: Any, model: Any) -> Step:
            return Odd(self.key, self.model)

    with Run(frames(3), OddSpec(Mean()), [JsonLines(tmp_path / "a.jsonl")]) as run:
        stream = next(run.streams())
        assert len(list(stream)) == run.report.written == 3
        assert stream.told == ["average: 1 2"]
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["average"] for line in lines if line] == [
        {"far": None, "list": [None, 1.0], "label": "a\u2028b"}] * 3
    assert "NaN" not in "".join(lines)


def test_the_bottleneck_is_the_slow_stage() -> None:
    def slow_frames() -> Iterator[Frame]:
        for frame in frames(25):
            time.sleep(0.01)
            yield frame

    with Run(frames(40), Average(Mean()), [Keep(lambda item: time.sleep(0.01))]) as run:
        assert run.finish().bottleneck == "write"
    with Run(slow_frames(), Average(Mean())) as run:
        assert run.finish().bottleneck == "read"


def test_a_live_frame_that_is_too_old_is_dropped_and_counted() -> None:
    def late() -> Iterator[Frame]:
        for frame in frames(6):
            old = Frame(frame.image, frame.index, frame.time, "camera", captured=time.monotonic() - frame.index % 2)
            yield old
            time.sleep(0.02)

    with Run(latest(late()), Average(Mean()), max_latency=0.5) as run:
        seen = [item.frame.index for item in run]
    assert seen
    assert all(index % 2 == 0 for index in seen)
    report = run.report
    assert report.read == 6
    assert sum(report.dropped.values()) == 6 - len(seen)
    assert "older than 500 ms" in report.dropped


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan")])
def test_an_age_that_no_frame_keeps_to_is_refused(latency: float) -> None:
    with pytest.raises(UsageError, match="max_latency is a time over 0 seconds"):
        Run(frames(1), Average(Mean()), max_latency=latency)


def test_memory_does_not_grow_with_the_length() -> None:
    import tracemalloc

    def peak(count: int) -> int:
        tracemalloc.start()
        with Run(frames(count), Average(Mean())) as run:
            run.finish()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)
    assert peak(4000) < peak(400) + 4000 * 40      # latencies of the last 10,000 frames: a float each


def test_pictures_that_are_too_large_for_a_queue_go_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is under way holds one of them; the next is made when it is written."""
    alive, most, made = 0, 0, 0

    class Large(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    def large() -> Iterator[Frame]:
        nonlocal alive, most, made
        for i in range(12):
            image = Large((4, 4, 3), np.uint8)
            image[:] = i
            alive, made = alive + 1, made + 1
            most = max(most, alive)
            frame = Frame(image, i, i / 10, "made")
            del image
            yield frame
            del frame

    for limit, at_most in ((10, 2), (1 << 20, 99)):
        most = made = 0
        for module in ("stream", "windows", "io.prefetch"):
            monkeypatch.setattr(f"vision.{module}.QUEUED_BYTES", limit)
        with Run(large(), Average(Mean()), sinks=[_Slow()]) as run:
            for item in run:
                del item
        assert (run.report.written, made) == (12, 12)
        assert most <= at_most
        if limit == 1 << 20:
            assert most > 3                              # else the bound above would be no test


class _Slow(Sink):
    def take(self, item: Item) -> None:
        time.sleep(0.005)


@pytest.mark.parametrize(("plan", "says"), [
    ([], "the plan is empty"),
    ([Sum()], "'sum' needs the results of 'average', which is not in the plan before it"),
    ([Track()], r"Add it: Detect\(\), or --do detect,track"),
    ([Average(), Average()], "two steps have the key 'average'"),
    ([Detect(), Count(on="detect", line=("1,1:2,2",))], r"'count' needs Tracks, and 'detect' gives Detections\. Give "
     "another step as `on`: none in the plan before it does"),
    ([Detect(), Track(), Classify(), Track(key="again", on="classify")],
     "'again' needs Detections, and 'classify' gives Scores. Give another step as `on`: detect, track"),
    ([Detect(), Identify(on="detect", gallery="x")], "'identify' needs Faces, and 'detect' gives Detections"),
    ([Detect(), DescribeFaces(on="detect")], "'attributes' needs Faces, and 'detect' gives Detections"),
    ([*plan_of(["drive"])[:-1], Drive(area="detect")], "'drive' needs ClassMap, and 'detect' gives Detections"),
])
def test_a_plan_that_cannot_be_is_told_before_anything_is_read(plan: list[Spec], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Run(frames(1, RuntimeError("read")), plan)


@pytest.mark.parametrize(("sink", "says"), [
    (MotText("x.txt", on="detect"), "MotText writes what 'track' finds, and 'detect' gives Detections"),
    (Events("x.csv", on="track"), "Events writes what 'count' finds, and 'track' gives Tracks"),
    (LabelMaps("x", on="classify"), "LabelMaps writes what 'segment' finds, and 'classify' gives Scores"),
    (Segments("x.csv", on="classify"), "Segments writes what 'action' finds, and 'classify' gives Scores"),
    (CocoResults("x.json", on="classify"), "CocoResults writes boxes, and 'classify' gives Scores"),
    (YoloText("x", on="classify"), "YoloText writes boxes, and 'classify' gives Scores"),
])
def test_a_sink_of_results_of_another_kind_is_refused(sink: SinkSpec, says: str, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = [Detect(), Track(), Classify()]
    with pytest.raises(UsageError, match=says):
        Run(frames(1, RuntimeError("read")), plan, [sink])
    assert list(tmp_path.iterdir()) == []


def test_a_sink_whose_needs_no_step_gives_is_told(tmp_path: Path) -> None:
    keep = Keep()
    keep.needs = frozenset(("detects",))
    with pytest.raises(UsageError, match=r"Keep needs the results of 'detects'\. Nearest: detect"):
        Run(frames(1), Detect(), [keep])
    path = tmp_path / "x.jsonl"
    with pytest.raises(UsageError, match="is given for two outputs"):
        Run(frames(1), Detect(), [JsonLines(path), JsonLines(path)])


def test_plans_from_names_and_from_toml(tmp_path: Path) -> None:
    assert [one.key for one in plan_of(["count", "faces"])] == ["detect", "track", "count", "faces"]
    file = tmp_path / "plan.toml"
    file.write_text('[[do]]\ntask = "detect"\nmin_score = 0.4\nclasses = ["person"]\n'
                    '[[do]]\ntask = "track"\nlost_after = 2\n')
    plan = read_plan(file)
    assert plan == [Detect(min_score=0.4, classes=("person",)), Track(lost_after=2.0)]
    assert [spec_of(one.to_dict()) for one in plan] == plan
    for text, says in (
        ('[[do]]\ntask = "detect"\nmin_scor = 1', "no option 'min_scor'. Nearest: min_score"),
        ('[[do]]\ntask = "detekt"', "no task 'detekt'. Nearest: detect"),
        ('[[do]]\ntask = "detect"\nmin_score = 2', "at least 0 and at most 1"),
        ("[do]\n", "has nothing to do"), ('task = "detect"', "a plan has"), ("do = 1", "nothing to do"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=says):
            read_plan(file)
    with pytest.raises(UsageError, match="is a live object"):
        Detect(Mean()).to_dict()


def test_a_detector_keeps_the_weakest_boxes_that_a_tracker_asks_for() -> None:
    sort, default = Track(key="a", tracker="sort"), Track(key="b")
    for trackers in ([sort, default], [default, sort], [default], [default, replace(default, key="c")]):
        plan = checked_plan([Detect(), *trackers])
        assert plan[0] == Detect(weak=0.1)
        assert checked_plan([spec_of(one.to_dict()) for one in plan])[0] == Detect(weak=0.1)
        assert checked_plan([Detect(weak=0.3), *trackers])[0] == Detect(weak=0.3)
    assert checked_plan([Detect(), sort])[0] == Detect(weak=0.5)


def film(path: Path, count: int) -> Path:
    with VideoWriter(path) as out:
        for i in range(count):
            out.write(np.full((32, 48, 3), i, np.uint8), i / 10)
    return path


def test_each_video_of_a_list_is_a_stream_with_new_steps(tmp_path: Path) -> None:
    paths = [film(tmp_path / f"{name}.mp4", n) for name, n in (("a", 3), ("b", 5))]
    (tmp_path / "list.txt").write_text("a.mp4\ngone.mp4\nb.mp4\n")
    keep = Keep()
    source = str(tmp_path / "list.txt")
    with Run(source, [Average(Mean()), Sum()], [keep]) as run, pytest.raises(SourceError, match=r"gone\.mp4"):
        run.finish()
    assert [report.written for report in run.reports] == [3, 0, 5]
    assert [item.frame.index for item in keep.items] == [0, 1, 2, 0, 1, 2, 3, 4]
    assert float(keep.items[3]["sum"].probs[0]) == float(keep.items[0]["sum"].probs[0])     # begins anew
    with Run(paths, [Average(Mean())]) as run:
        assert sum(1 for _ in run) == 8


def test_each_report_names_its_own_stream_and_no_password(tmp_path: Path) -> None:
    for name in "ab":
        film(tmp_path / f"{name}.mp4", 2)
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\n")
    with Run(str(tmp_path / "list.txt"), [Average(Mean())]) as run:
        run.finish()
    assert [Path(report.source).name for report in run.reports] == ["a.mp4", "b.mp4"]
    with Run("rtsp://user:secret@127.0.0.1:1/x", [Average(Mean())]) as run:
        assert "secret" not in repr(run)
        with pytest.raises(SourceError) as error:
            run.finish()
    assert "secret" not in str(error.value) + run.report.source

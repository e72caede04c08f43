"""Which way `auto` takes: measured in turns, kept, prepared beside a run, and allowed by the task's metric."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from vision.card import Card
from vision.engine import beside, chosen, load
from vision.engine.base import FakeEngine, Outputs
from vision.engine.choice import Candidate, agree, allows, measure, place, ranked, settled, told
from vision.engine.program import program_of
from vision.steps import Detect, Segment
from vision.steps.base import Pool
from vision.zoo import CARDS

PICTURE = np.zeros((1, 48, 64, 3), np.uint8)


class Timed(FakeEngine):
    """An engine that takes as long as it is told, by a clock of its own. seconds: of the n-th picture."""

    def __init__(self, clock: list[float], seconds: Callable[[int], float]) -> None:
        super().__init__(lambda batch: (batch[:, 0, 0],))
        self.clock, self.seconds, self.pictures, self.busy = clock, seconds, 0, 0.0

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        took = self.seconds(self.pictures)
        self.pictures += 1
        self.clock[0] += took
        self.busy += took
        return super().submit(batch)


def speeds_of(engines: Sequence[FakeEngine], clock: list[float]) -> list[float]:
    return [median(turns) for turns in measure(engines, PICTURE, lambda: clock[0])]


def test_speeds_are_pictures_a_second_and_cost_less_than_a_second_each() -> None:
    clock = [0.0]
    engines = [Timed(clock, lambda _, s=s: s) for s in (0.01, 0.02, 0.004)]
    assert speeds_of(engines, clock) == pytest.approx([100, 50, 250], rel=1e-6)
    assert all(0.3 < engine.busy < 1 for engine in engines)
    slow = Timed(clock, lambda _: 3.0)
    assert speeds_of([slow], clock) == pytest.approx([1 / 3])
    assert slow.pictures == 2                                     # warmed up, and one turn of one picture


def test_what_is_fast_at_first_and_slow_later_is_found_out() -> None:
    clock = [0.0]
    tiring = Timed(clock, lambda n: 0.005 if n < 30 else 0.05)    # the first turn is its best
    steady = Timed(clock, lambda _: 0.01)
    speeds = speeds_of([tiring, steady], clock)
    assert speeds == pytest.approx([20, 100], rel=0.05)


def test_what_else_the_machine_does_slows_all_alike() -> None:
    clock = [0.0]

    def noisy(seconds: float) -> Callable[[int], float]:
        return lambda _: seconds * (3 if 0.5 < clock[0] < 1.0 else 1)

    speeds = speeds_of([Timed(clock, noisy(0.01)), Timed(clock, noisy(0.012))], clock)
    assert speeds[0] > speeds[1]


def test_one_that_fails_has_no_speed() -> None:
    clock = [0.0]

    def broken(batch: np.ndarray) -> Outputs:
        raise RuntimeError("the driver is gone")

    speeds = speeds_of([FakeEngine(broken), Timed(clock, lambda _: 0.01)], clock)
    assert speeds == pytest.approx([0, 100])


@pytest.mark.parametrize(("card", "precision", "allowed"), [
    (CARDS["gfl-voc"], "bf16", True), (CARDS["gfl-voc"], "int8", True), (CARDS["gfl-voc"], "fp32", True),
    (replace(CARDS["gfl-voc"], figures={"fp32": {"AP": 0.4}, "bf16": {"AP": 0.389}}), "bf16", False),
    (replace(CARDS["gfl-voc"], figures={"fp32": {"NME": 0.05}, "bf16": {"NME": 0.059}}), "bf16", True),
    (replace(CARDS["gfl-voc"], figures={"fp32": {"NME": 0.05}, "bf16": {"NME": 0.061}}), "bf16", False),
    (replace(CARDS["gfl-voc"], figures={}), "int8", False),      # nothing was measured
    (replace(CARDS["gfl-voc"], figures={}, tolerance=0.001), "fp16", False),
    (replace(CARDS["gfl-voc"], figures={}, tolerance=0.02), "fp16", True),
    (replace(CARDS["gfl-voc"], figures={}, tolerance=0.02), "bf16", False),
    (replace(CARDS["gfl-voc"], figures={}, tolerance=0.1), "bf16", True),
])
def test_the_tasks_metric_allows_a_precision(card: Card, precision: str, allowed: bool) -> None:
    assert allows(card, precision)[0] == allowed


def of(card: Card, *ways: tuple[str, str, int]) -> list[Candidate]:
    program = program_of(card)
    return [Candidate(program, backend, "cpu", precision, streams) for backend, precision, streams in ways]


def test_the_fastest_is_taken_and_the_more_exact_where_it_is_as_fast(card: Card) -> None:
    ways = of(card, ("openvino", "bf16", 0), ("openvino", "int8", 0), ("openvino", "fp32", 0),
              ("onnxruntime", "fp32", 0))
    speeds = dict(zip((c.key for c in ways), (49.0, 53.0, 26.0, 20.0), strict=True))
    assert [c.precision for c in ranked(ways, speeds)] == ["int8", "bf16", "fp32", "fp32"]
    assert told(ways, speeds) == (
        "tiny int8 on openvino: 53 frames/s measured here; bf16 49, fp32 26, fp32 on onnxruntime 20")
    speeds[ways[0].key] = 52.0
    assert ranked(ways, speeds)[0].precision == "bf16"
    assert place(ways) != place(ways[:3])
    bigger = replace(card, input=replace(card.input, size_wh=(128, 96)))
    assert place(ways) != place(of(bigger, *((c.backend, c.precision, c.streams) for c in ways)))


@pytest.mark.parametrize(("first", "second", "same"), [
    ([10, 11, 10, 10], [8, 8, 9, 8], True), ([10, 9, 10, 10], [12, 8, 9, 8], True),       # one turn disturbed
    ([10, 6, 10, 7], [8, 8, 9, 8], False), ([10, 10.1, 10, 10], [10.1, 10, 10.1, 10], True),
    ([0.0], [8, 8, 9, 8], True), ([10, 9], [9, 12], True),                                 # too few to contradict
])
def test_turns_that_contradict_each_other_settle_nothing_until_there_are_enough(
    first: list[float], second: list[float], same: bool
) -> None:
    turns = {"a": first, "b": second}
    assert agree(turns) == settled(turns) == same
    assert settled({key: rates * 12 for key, rates in turns.items()})
    assert not settled({})


def test_a_verdict_that_its_turns_contradict_is_measured_again(
    make_card: Callable[..., Card], measuring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(figures={"fp32": {"AP": 0.5}, "bf16": {"AP": 0.5}})
    asked: list[int] = []

    def busy(engines: list[FakeEngine], batch: np.ndarray) -> list[list[float]]:
        asked.append(len(engines))
        fast, slow = ([9.0, 20, 9, 20], [10.0] * 4) if len(asked) == 1 else ([20.0] * 4, [10.0] * 4)
        return [fast if e.backend == "onnxruntime" else slow for e in engines]

    monkeypatch.setattr(chosen, "measure", busy)
    monkeypatch.setattr(chosen, "backend_class", lambda _: AtHand)
    for runs in (1, 2, 3, 3, 3):
        engine = load(card, "cpu")
        assert engine.backend == "onnxruntime"
        engine.close()
        assert len(asked) == runs


class AtHand:
    """A back end whose graphs are there."""

    @staticmethod
    def at_hand(*_: object) -> bool:
        return True


@pytest.fixture
def measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, where measuring is on; the folder of verdicts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("VISION_MEASURE", "yes")
    return tmp_path / "vision" / "verdicts"


def test_the_first_run_prepares_the_second_measures_the_third_remembers(
    make_card: Callable[..., Card], measuring: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    card = make_card(figures={"fp32": {"AP": 0.5}, "bf16": {"AP": 0.5}})
    started: list[list[Candidate]] = []
    monkeypatch.setattr(beside, "start", lambda wanted: started.append(list(wanted)))
    with caplog.at_level(logging.INFO, "vision.engine"):
        engine = load(card, "cpu")
        first = engine.label
        engine.submit(PICTURE).result()
        engine.submit(PICTURE).result()
        assert not started                                        # for a run that is over in no time
        monkeypatch.setattr(chosen, "PATIENCE", 0.0)
        engine.submit(PICTURE).result()
        engine.submit(PICTURE).result()
        engine.close()
    assert len(started) == 1
    assert "measured here" not in caplog.text
    for candidate in started[0]:                                  # as the process beside does it
        one = chosen.start_engine(candidate)
        one.compile(candidate.program.shape)
        one.close()
    asked: list[int] = []

    def speeds(engines: list[FakeEngine], batch: np.ndarray) -> list[list[float]]:
        asked.append(len(engines))
        return [[100.0] * 4 if e.backend == "onnxruntime" else [10.0] * 4 for e in engines]

    monkeypatch.setattr(chosen, "measure", speeds)
    for _ in range(2):
        with caplog.at_level(logging.INFO, "vision.engine"):
            engine = load(card, "cpu")
        assert engine.label == "onnxruntime CPU fp32" != first
        assert "tiny fp32 on onnxruntime: 100 frames/s measured here" in caplog.text
        caplog.clear()
        engine.close()
    assert len(asked) == 1                                        # and kept
    assert len(list(measuring.glob("*.json"))) == 1
    for options in ({"backend": "openvino"}, {"precision": "fp32", "backend": "openvino"}):
        engine = load(card, "cpu", **options)                     # what is asked for rules
        assert engine.backend == "openvino"
        engine.close()
    for path in measuring.glob("*.json"):
        path.write_bytes(path.read_bytes()[:20])
    load(card, "cpu").close()                                     # a torn verdict is measured anew
    assert len(asked) >= 2


def test_networks_that_work_at_the_same_time_leave_each_other_a_core(
    make_card: Callable[..., Card], measuring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_cores_first(engines: list[FakeEngine], batch: np.ndarray) -> list[list[float]]:
        order = {("openvino", 1): 30.0, ("openvino", 0): 20.0}
        return [[order.get((e.backend, getattr(e, "_streams", 0)), 10.0)] * 4 for e in engines]

    monkeypatch.setattr(chosen, "measure", all_cores_first)
    monkeypatch.setattr(chosen, "backend_class", lambda _: AtHand)
    monkeypatch.setattr(chosen, "cores", lambda: 2)
    card = make_card()
    for plan, streams in (([Detect()], 1), ([Detect(), Segment()], 0)):
        with Pool("cpu") as pool:
            pool.expect(plan)
            engine = pool.load(lambda name, *where: load(card, *where), "one")
            assert (engine.backend, engine._engine._streams) == ("openvino", streams)


def test_measuring_can_be_switched_off(
    card: Card, measuring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MEASURE", "no")
    monkeypatch.setattr(beside, "start", lambda wanted: pytest.fail("compiles beside"))
    engine = load(card, "cpu")
    assert engine(PICTURE)[0].shape == (1, 5)
    engine.close()
    assert not measuring.exists()


@pytest.mark.slow
def test_the_process_beside_makes_graphs_and_ends_with_its_parent(measuring: Path, tmp_path: Path) -> None:
    code = """
import os, sys, time
import numpy as np
from vision.engine import load
from vision.zoo import CARDS
engine = load(CARDS["facemesh"], "cpu")
for _ in range(2):
    engine.submit(np.zeros((1, 192, 192, 3), np.uint8)).result()
    time.sleep(1)
engine.submit(np.zeros((1, 192, 192, 3), np.uint8)).result()
print(engine._beside.pid if engine._beside else 0, flush=True)      # 0: all graphs are there
time.sleep(float(sys.argv[1]))
if sys.argv[2] == "close":
    engine.close()
else:
    os.kill(os.getpid(), 9)
"""

    def run(seconds: str, how: str) -> int:
        done = subprocess.run([sys.executable, "-c", code, seconds, how], capture_output=True, text=True)
        return int(done.stdout)

    def gone(pid: int) -> bool:
        for _ in range(100 if pid else 0):
            try:
                os.kill(pid, 0)
                if "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]:
                    return True
            except (OSError, ProcessLookupError):
                return True
            time.sleep(0.1)
        return not pid

    for seconds, how in (("0", "close"), ("0.5", "kill"), ("1", "kill")):
        assert gone(run(seconds, how))
    for _ in range(4):
        run("15", "close")
        if all(chosen.backend_class(c.backend).at_hand(c.program, c.program.shape, c.precision, c.streams)
               for c in chosen.worth_timing(chosen.candidates(CARDS["facemesh"], ["cpu"], "auto", "auto"))):
            break
    engine = load(CARDS["facemesh"], "cpu")
    engine.close()
    (kept,) = measuring.glob("*.json")
    speeds = json.loads(kept.read_bytes()[32:])
    assert len(speeds) >= 3
    assert min(map(min, speeds.values())) > 0

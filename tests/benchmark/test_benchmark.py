"""The arithmetic of a benchmark on clocks and counters that are known, and the parts of a real run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from vision import cli
from vision.benchmark.bare import Recorder, one_by_one, recorded, replay
from vision.benchmark.energy import Energy
from vision.benchmark.limits import limits
from vision.benchmark.meter import Figures, Turn, figures, in_turns, shares
from vision.benchmark.stages import record, take
from vision.benchmark.ways import Way, together
from vision.benchmark.whole import DECODE, WHOLE, WRITE, Benchmark, Stage, benchmark
from vision.card import Boxes, Card, Input
from vision.chart import Mark, scatter_chart
from vision.engine import FakeEngine
from vision.errors import SinkError, SourceError, UsageError
from vision.sinks.film import VideoWriter
from vision.steps import Classify, Detect, Track
from vision.steps.base import Pool
from vision.tasks.classify import Classifier
from vision.tasks.detect import Detector

NAP_S = 0.02


def _answer(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    time.sleep(NAP_S * len(batch))
    return (np.tile(np.float32([0.2, 0.8]), (len(batch), 1)),)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Six frames of 64x48."""
    path = tmp_path / "film.mp4"
    with VideoWriter(path) as out:
        for n in range(6):
            out.write(np.full((48, 64, 3), 30 * n, np.uint8), n / 10)
    return path


@pytest.fixture
def classifier() -> Classifier:
    """One whose engine naps for a known time a picture."""
    card = Card(name="fake", task="classify", file="", licence="", source="", input=Input((32, 32), "stretch"),
                names=("a", "b"))
    return Classifier(FakeEngine(_answer), card)


def test_the_median_turn_counts_and_the_latencies_of_all() -> None:
    turns = [Turn(10, 1.0, 2.0, 100.0, 5.0, (0.01,) * 10), Turn(10, 2.0, 1.0, 300.0, 7.0, (0.03,) * 10),
             Turn(10, 4.0, 4.0, 200.0, 9.0, (0.02,) * 10)]
    found = figures(turns)
    assert (found.fps, found.processor_s, found.memory_mib, found.joules) == (5.0, 0.2, 300.0, 0.7)
    assert found.p50_ms == pytest.approx(20)
    assert found.p99_ms == pytest.approx(30)
    assert figures(turns, [0.5]).p95_ms == pytest.approx(500)
    assert shares(turns[:2], turns[1:]) == [2.0, 2.0]


def test_variants_take_turns_and_the_first_round_counts_for_none() -> None:
    order: list[str] = []
    turns = in_turns({name: lambda name=name: (order.append(name) or 1, ()) for name in "ab"}, 2)
    assert order == list("ababab")
    assert [len(one) for one in turns.values()] == [2, 2]


def test_energy_is_read_off_the_sockets_and_survives_a_counter_that_starts_anew(tmp_path: Path) -> None:
    for name, of, microjoules in (("intel-rapl:0", "package-0", 900), ("intel-rapl:1", "package-1", 50),
                                  ("intel-rapl:0:0", "core", 10**9), ("intel-rapl:2", "psys", 10**9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{of}\n")
        (tmp_path / name / "energy_uj").write_text(f"{microjoules}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000\n")
    energy = Energy(tmp_path, nvml=False)
    before = energy.read()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100")              # 200 later
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("350")
    (tmp_path / "intel-rapl:2" / "energy_uj").write_text("1000001000")
    assert energy.counters == ("RAPL",)
    assert energy.since(before) == pytest.approx(500e-6)
    assert Energy(tmp_path / "nowhere", nvml=False).since([]) is None


def test_recorders_hear_everything_and_leave_the_model_as_it_was(classifier: Classifier) -> None:
    engine = classifier.engine
    with recorded(classifier) as (heard,):
        classifier.submit([np.full((32, 32, 3), n, np.uint8) for n in range(3)])()
        classifier.engine(np.zeros((1, 32, 32, 3), np.uint8))
    assert classifier.engine is engine
    assert heard.asked == sum(map(len, heard.kept)) == 4
    assert replay(heard.engine, heard.kept) == 4


def test_a_recorder_keeps_no_more_than_its_room() -> None:
    heard = Recorder(FakeEngine(lambda batch: (batch[:, 0, 0],)))
    heard._room = 100
    for _ in range(3):
        heard(np.zeros((1, 4, 4, 3), np.uint8))                              # of 48 bytes
    assert (heard.asked, len(heard.kept)) == (3, 2)


def test_a_replay_ends_when_its_time_does() -> None:
    engine, given = FakeEngine(_answer), [np.zeros((2, 4, 4, 3), np.uint8)] * 100
    assert 2 <= replay(engine, given, 5 * NAP_S) < 40
    assert min(one_by_one(engine, given[:3])) >= 2 * NAP_S


def test_pictures_come_again_to_fill_a_batch() -> None:
    singles = [np.full((1, 2, 2, 3), n, np.uint8) for n in range(3)]
    assert [one[:, 0, 0, 0].tolist() for one in together(singles, 4)] == [[0, 1, 2, 0]]
    assert [one[:, 0, 0, 0].tolist() for one in together(singles, 1)] == [[0], [1], [2]]


def test_a_step_alone_looks_at_every_frame_that_the_run_did(film: Path, classifier: Classifier) -> None:
    with Pool() as pool:
        taken = take(str(film), [Classify(classifier, every=2)], pool, 5)
        record(taken)
        (spec,) = taken.plan
        assert len(taken.frames) == 5
        assert sorted(taken.results["classify"]) == [0, 2, 4]
        assert taken.alone(spec) == 3
        assert [one.asked for one in taken.engines["classify"]] == [3]
        assert min(taken.one_by_one(spec)) >= NAP_S


def test_a_step_after_one_that_looks_at_every_second_frame(film: Path) -> None:
    """What was known of it was asked for in every frame: a plan of `drive` could not be measured."""
    found = np.float32([[[4, 4, 20, 20]]]), np.float32([[0.9]]), np.zeros((1, 1), np.int64)
    card = Card(name="fake", task="detect", file="", licence="", source="", input=Input((32, 32), "stretch"),
                names=("a",), boxes=Boxes("rows"))
    with Pool() as pool:
        taken = take(str(film), [Detect(Detector(FakeEngine(lambda batch: found), card), every=2), Track()], pool, 5)
        assert sorted(taken.results["track"]) == [0, 2, 4]
        assert [taken.alone(spec) for spec in taken.plan] == [3, 3]
        assert len(taken.one_by_one(taken.plan[1])) == 3


def test_a_run_that_waits_for_its_network_says_so(film: Path, classifier: Classifier) -> None:
    found = benchmark(str(film), [Classify(classifier)], rounds=2, every_way=False)
    stages = {one.name: one for one in found.stages}
    assert list(stages) == [DECODE, "classify", WRITE, WHOLE]
    for name in (DECODE, WRITE):
        assert 0 < stages[name].figures.p50_ms <= stages[name].figures.p99_ms < 2000
    assert found.limit == "classify"
    assert found.told.startswith("what limits: classify")
    assert "--classify.every 2" in found.helps
    for name in ("classify", WHOLE):
        assert stages[name].bound_fps is not None
        assert stages[name].bound_fps <= 1 / NAP_S                           # the engine naps
        assert stages[name].share == pytest.approx(
            np.median(stages[name].shares))
        assert 0 < stages[name].figures.fps <= 1 / NAP_S
    assert json.loads(json.dumps(found.to_dict()))["frames"] == 6
    assert any("no joules" in note for note in found.notes) is not bool(found.energy)


def _way(precision: str, fps: float, allowed: bool) -> Way:
    figured = Figures(fps, 1000 / fps, 2000 / fps, 3000 / fps, 0.1, 100.0, None)
    return Way("detect", "net", "openvino", "cpu", precision, 1, figured, 0.0, allowed, "AP 0.43")


def test_what_would_help_is_the_fastest_way_that_is_allowed() -> None:
    ways = [_way("fp32", 10, True), _way("bf16", 15, True), _way("int8", 30, False)]
    waited = {"read": 1.0, "detect": 7.0, "write": 0.5}
    name, told, helps = limits(waited, 10.0, {"detect": "openvino fp32"}, ways)
    assert (name, told) == ("detect", "what limits: detect (the run waited for it 70% of its time)")
    assert helps.startswith("--precision bf16 --backend openvino does 1.5 times as many pictures")
    assert "at a price" in limits(waited, 10.0, {"detect": "openvino bf16"}, ways)[2]
    assert limits({"read": 9.0, "detect": 1.0}, 10.0, {}, [])[:2] == (
        "decode", "what limits: decode (the run waited for it 90% of its time)")
    assert "--stride 2" in limits({"read": 9.0}, 10.0, {}, [])[2]
    assert limits({"track": 9.0}, 10.0, {}, [])[2] == "--track.every 2 looks at every other frame only"
    assert "outputs" in limits({"write": 9.0}, 10.0, {}, [])[2]


def test_marks_lie_where_their_logarithms_do() -> None:
    image = scatter_chart([Mark("slow", 100, 10, 1), Mark("fast", 1, 1000, 2)], "latency", "rate")
    fast = np.argwhere((image[40:600, 80:640] != 255).any(2) & (np.ptp(image[40:600, 80:640], axis=2) > 60))
    rows, columns = fast[:, 0], fast[:, 1]
    upper = fast[rows < 280]
    assert upper[:, 1].max() < 280 < columns.max()                           # the fast one: up, and to the left
    assert rows.max() > 280


def test_bad_input_is_one_line(film: Path, tmp_path: Path) -> None:
    def failing(*arguments: str) -> str:
        with pytest.raises(UsageError) as caught:
            cli.app(["benchmark", *arguments], standalone_mode=False)
        return str(caught.value)

    assert "either as --do" in failing(str(film))
    for batch in ("0", "²"):
        assert "1,4,8" in failing(str(film), "--do", "detect", "--batch", batch)
    assert ".png" in failing(str(film), "--do", "detect", "--picture", str(tmp_path / "a.jpg"))
    assert "no peer 'yolov'" in failing(str(film), "--do", "detect", "--peer", "yolov")
    (tmp_path / "list.txt").write_text(f"{film}\n")
    before = film.read_bytes()
    with pytest.raises(SinkError, match=r"film\.mp4' would overwrite the input"):
        cli.app(["benchmark", str(film), "--do", "detect", "--json", str(film)], standalone_mode=False)
    assert film.read_bytes() == before
    with pytest.raises(SourceError, match="reads one file or folder again and again"):
        benchmark(str(tmp_path / "list.txt"), [Classify()])


def test_a_table_leaves_out_what_nothing_tells(capsys: pytest.CaptureFixture[str]) -> None:
    from vision.cli.benchmark import _show

    figured = Figures(50.0, None, None, None, 0.02, 100.0, None)
    _show(Benchmark("a.mp4", (64, 48), 6, 2, [Stage(DECODE, "", figured)], [], DECODE, "what limits: decode", "this"))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a.mp4: 6 frames of 64x48, 2 rounds in turns"
    assert printed[1].split() == ["stage", "frames/s", "CPU", "s", "MiB"]
    assert printed[2].split() == ["decode", "50.0", "0.0200", "100"]

"""What the models see, as metrics, and an alarm when it is not what it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import wasserstein_distance
from serving import running
from typer.testing import CliRunner

from vision import VideoWriter
from vision.cli import app
from vision.errors import DataError
from vision.serve.drift import STATISTICS, Distribution, Reference, psi
from vision.serve.seen import Seen, look, models_in
from vision.serve.service import Service


def test_brightness_and_sharpness() -> None:
    grey = np.full((90, 120, 3), 100, np.uint8)
    chequered = np.kron(np.indices((45, 60)).sum(0) % 2, np.ones((2, 2)))[..., None].repeat(3, 2).astype(np.uint8) * 200
    assert look(grey) == (100.0, pytest.approx(-3))
    assert look(chequered)[0] == pytest.approx(100, abs=0.5)
    assert look(chequered)[1] > look(cv2.GaussianBlur(chequered, (9, 9), 3))[1] + 1
    assert look(np.zeros((1, 1, 3), np.uint8))[0] == 0


def test_what_each_kind_of_record_says() -> None:
    told = {"model": "m", "precision": "fp32", "backend": "openvino"}
    record = {
        "kind": "frame",
        "detect": {**told, "objects": [{"label": "cat", "score": 0.5}, {"label": "dog", "score": 0.7}]},
        "classify": {**told, "scores": [{"label": "tabby", "score": 0.9}, {"label": "lynx", "score": 0.1}]},
        "segment": {**told, "areas": [{"label": "road", "fraction": 0.5}]},
        "track": {"model": "default", "objects": [{"label": "cat", "score": 0.5, "id": 1}]},
    }
    seen = dict(models_in(record))
    assert set(seen) == {"detect m", "classify m", "segment m"}
    assert seen["detect m"] == Seen([0.5, 0.7], ["cat", "dog"], 2)
    assert seen["classify m"] == Seen([0.9], ["tabby"])
    assert seen["segment m"] == Seen([], ["road"])


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), st.floats(-50, 50))
def test_the_shift_of_numbers_is_the_wasserstein_distance(values: list[float], by: float) -> None:
    then = Distribution.of("brightness", values)
    assert then.shift(values) < 1e-3
    moved = [value + by for value in values]
    assert then.shift(moved) == pytest.approx(abs(by) / then.spread, abs=1e-3)
    assert sum(then.shares) == pytest.approx(1, abs=1e-4)


def test_the_shift_beside_scipy() -> None:
    rng = np.random.default_rng(3)
    good, other = rng.normal(100, 10, 5000), rng.gamma(9, 12, 5000)
    then = Distribution.of("brightness", good.tolist())
    assert then.shift(other.tolist()) == pytest.approx(wasserstein_distance(good, other) / good.std(), rel=0.05)


def test_the_index_of_classes() -> None:
    assert psi(np.array([500, 500]), np.array([0.5, 0.5])) == pytest.approx(0, abs=1e-5)
    by_hand = (0.9 - 0.5) * np.log(0.9 / 0.5) + (0.1 - 0.5) * np.log(0.1 / 0.5)
    assert psi(np.array([9_000_000, 1_000_000]), np.array([0.5, 0.5])) == pytest.approx(by_hand, rel=0.01)
    then = Distribution.of("class", ["cat"] * 50 + ["dog"] * 50)
    assert then.shift(["cat", "dog"] * 40) < 0.01
    assert then.shift(["cow"] * 80) > 3


def pictures(count: int, seed: int, dark: bool = False) -> list[Seen]:
    rng = np.random.default_rng(seed)
    return [
        Seen(list(rng.beta(5, 2, 3)), list(rng.choice(["cat", "dog"], 3)), 3 if rng.random() < 0.9 else 2,
             float(rng.normal(40 if dark else 120, 6)), float(rng.normal(2, 0.2)),
             rng.normal(1, 0.05, 16).astype(np.float32))
        for _ in range(count)
    ]


def test_thresholds_hold_for_more_of_the_same_and_not_for_the_night(tmp_path: Path) -> None:
    Reference.fit({"detect m": pictures(600, 1)}, 100).save(tmp_path / "m.json")
    reference = Reference.load(tmp_path / "m.json")
    assert (reference.window, reference.frames) == (100, 600)
    told = reference.models["detect m"]
    assert set(told) == set(STATISTICS)

    def drifts(seen: list[Seen]) -> set[str]:
        from vision.serve.drift import values_of

        rows = [values_of(one, reference.embedding) for one in seen]
        values = {name: [value for row in rows for value in row[name]] for name in STATISTICS}
        return {name for name, then in told.items() if then.shift(values[name]) > then.threshold}

    assert all(drifts(pictures(100, seed)) == set() for seed in range(10, 30))
    assert drifts(pictures(100, 50, dark=True)) == {"brightness"}
    empty = [Seen([], [], 0, 120.0, 2.0) for _ in range(100)]
    assert "count" in {name for name in told if name == "count" and told[name].shift([one.count for one in empty]) > 2}


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"vision_monitor": 2}', '{"vision_monitor": 1, "window": 0, "frames": 1, "embedding": null, '
    '"models": {}}', '{"vision_monitor": 1, "window": 9, "frames": 1, "embedding": null, "models": {"a": {"score": '
    '{"edges": [2, 1], "names": [], "shares": [1, 2, 3], "quantiles": [], "spread": 1, "threshold": 1}}}}', "[" * 9999,
])
def test_a_file_that_has_no_thresholds(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="vision monitor fit"):
        Reference.load(tmp_path / "m.json")


def test_fit_and_check_on_the_command_line(tmp_path: Path, jpeg: bytes) -> None:
    def written(name: str, seed: int, label: str) -> str:
        rng = np.random.default_rng(seed)
        rows = [{"schema": 2, "kind": "frame", "source": "gone.mp4", "frame": n, "time_s": n / 10, "size": [9, 9],
                 "detect": {"model": "m", "precision": "fp32", "backend": "openvino", "objects": [
                     {"label": label, "score": round(float(rng.beta(5, 2)), 3)}]}} for n in range(120)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(tmp_path / name)

    good, other, file = written("good.jsonl", 1, "cat"), written("other.jsonl", 2, "dog"), str(tmp_path / "m.json")
    same = written("same.jsonl", 3, "cat")
    run = CliRunner().invoke
    done = run(app, ["monitor", "fit", good, "-o", file, "--no-embedding"])
    assert done.exit_code == 0
    assert "detect m: score" in done.output
    assert "'gone.mp4'" in done.output                   # its pictures are not looked at, and that is told
    assert run(app, ["monitor", "check", same, "--against", file]).exit_code == 0
    drifted = run(app, ["monitor", "check", other, "--against", file, "--json"])
    assert drifted.exit_code == 1
    lines = [json.loads(line) for line in drifted.stdout.splitlines() if line.startswith("{")]
    assert {line["statistic"] for line in lines if line["drifts"]} == {"class"}
    for against, said in ((str(tmp_path / "nope.json"), "nope.json"), (file, "nothing in these records can be")):
        foreign = Path(good).read_text(encoding="utf-8").replace('"model": "m"', '"model": "other"')
        (tmp_path / "foreign.jsonl").write_text(foreign, encoding="utf-8")
        told = run(app, ["monitor", "check", str(tmp_path / "foreign.jsonl"), "--against", against]).exception
        assert isinstance(told, DataError)
        assert (told.exit_code, said in str(told)) == (2, True)
    wrong = Path(same).read_text(encoding="utf-8").replace('"score": 0', '"score": NaN, "was": 0')
    Path(same).write_text(wrong, encoding="utf-8")
    for arguments in (["fit", same, "-o", file], ["check", same, "--against", file]):
        refused = run(app, ["monitor", *arguments])
        assert "NaN is no number of a record" in str(refused.exception)


def test_long_records_do_not_drift_from_themselves(tmp_path: Path) -> None:
    """Pictures are looked at now and then: those of the last `window` records would be a few of one moment."""
    rng, film, records = np.random.default_rng(0), tmp_path / "good.mp4", tmp_path / "good.jsonl"
    with VideoWriter(film) as out, records.open("w") as file:
        for n in range(1500):
            grey = 120 + 60 * math.sin(2 * math.pi * n / 300) + rng.normal(0, 3)
            out.write(np.full((32, 32, 3), grey, np.uint8), n / 25)
            file.write(json.dumps({
                "schema": 2, "kind": "frame", "source": str(film), "frame": n, "time_s": n / 25, "size": [32, 32],
                "detect": {"model": "m", "precision": "fp32", "backend": "x", "objects": [
                    {"label": "car", "score": round(float(rng.uniform(0.4, 0.9)), 3)}]}}) + "\n")
    given = [str(records), "--against", str(tmp_path / "m.json")]
    done = CliRunner().invoke(app, ["monitor", "fit", given[0], "-o", given[2], "--no-embedding"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["monitor", "check", *given])
    assert done.exit_code == 0, done.output
    assert [line[:12] for line in done.stdout.splitlines()] == ["ok     detec"] * 5


def test_a_server_tells_of_drift(tmp_path: Path, jpeg: bytes, caplog: pytest.LogCaptureFixture) -> None:
    seen = [Seen([0.9], ["cat"], 1, 30.0 + n % 3, 1.0, np.eye(1000, dtype=np.float32)[0]) for n in range(100)]
    service = Service(["classify"], reference=Reference.fit({"classify mobilenet-v2": seen}, 20))
    with running(service) as server, server.client() as client:
        for _ in range(24):
            for clock in ("_looked", "_embedded", "_checked"):       # as if a while had passed
                setattr(service.monitor, clock, 0.0)
            answer = client.post("/v1/classify", content=jpeg, headers={"content-type": "image/jpeg"})
            assert answer.status_code == 200
        metrics = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
        page = client.get("/monitor").text
        assert client.get("/own.css").headers["content-type"].startswith("text/css")
    drift = {one.labels["statistic"]: one.value for one in metrics["vision_drift_alarm"].samples}
    assert drift["brightness"] == drift["class"] == drift["distance"] == 1
    assert "drifts: the brightness" in caplog.text
    assert {one.labels["class"] for one in metrics["vision_seen_class"].samples} == {"jersey"}
    count = {one.name: one.value for one in metrics["vision_seen_score"].samples if "le" not in one.labels}
    assert count["vision_seen_score_count"] == 24
    inferences, executions = metrics["vision_inferences"], metrics["vision_executions"]
    assert sum(one.value for one in inferences.samples) >= 25
    assert [one.value for one in inferences.samples] == [one.value for one in executions.samples]    # no batches here
    assert {one.value for one in metrics["vision_requests"].samples if one.labels["status"] == "200"} == {24}
    assert "<script" not in page
    assert "class mobilenet" not in page
    assert page.count("drifts: shift") >= 3

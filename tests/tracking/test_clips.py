"""Counts on two real clips. Every event below was checked by eye, on frames before, at and after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vision.tracking import Counter, Tracker, read_scene
from vision.tracking.count import Event
from vision.tracking.mot import read_detections
from vision.types import Detections

DATA = Path(__file__).parent / "data"
RATE = 10.0
MIN_SCORE = 0.475                                   # where the default detector decides
# the sign on the post hides who passes it: five crossings, at 5, 11, 15 (two) and 17 s, are missed
VTEST = [("left", 2, 2.0), ("right", 6, 15.6), ("left", 5, 21.2), ("left", 6, 24.5), ("left", 14, 27.2),
         ("left", 15, 28.0), ("right", 6, 31.9), ("right", 5, 33.8), ("left", 17, 35.3), ("right", 15, 35.5),
         ("right", 16, 35.5)]
# six people come to the table one by one, stay (seconds), and walk off; none is missed
ONE_BY_ONE = [(1, 19.0, 11.6), (2, 44.0, 19.8), (3, 69.1, 17.2), (4, 85.9, 9.7), (5, 119.0, 25.0),
              (6, 135.1, 9.7)]


def events(name: str, frames: int) -> list[Event]:
    found = read_detections(DATA / f"{name}-det.txt")
    tracker, counter = Tracker(min_score=MIN_SCORE), Counter(read_scene(DATA / f"{name}.toml"))
    seen = [(n / RATE, found.get(n, Detections.empty())) for n in range(frames)]
    return [e for time, d in seen for e in counter(tracker(d, time), time).events] + counter.close()


def test_walkers_past_a_lamp_post() -> None:
    crossings = [e for e in events("vtest", 400) if e.kind == "cross"]
    assert [(e.side, e.track, round(e.time, 1)) for e in crossings] == VTEST
    for e in crossings:
        assert e.point[0] == pytest.approx(425)
        assert 190 < e.point[1] < 345                                   # on the path, by their feet


def test_people_at_a_table_one_by_one() -> None:
    found = events("one-by-one", 1394)
    assert [(e.kind, e.side) for e in found] == [("enter", "in"), ("leave", "out"), ("cross", "out")] * 6
    stays = [round(e.dwell, 1) for e in found if e.kind == "leave"]
    crossings = [(e.track, round(e.time, 1)) for e in found if e.kind == "cross"]
    assert [(*who, stay) for who, stay in zip(crossings, stays, strict=True)] == ONE_BY_ONE


@pytest.mark.realdata
@pytest.mark.slow
def test_the_command_counts_what_the_library_counts(data: Path, tmp_path: Path) -> None:
    from vision.cli import app

    out = tmp_path / "events.jsonl"
    result = CliRunner().invoke(app, [
        "count", str(data / "videos" / "vtest.avi"), "--from", str(DATA / "vtest-det.txt"),
        "--min-score", str(MIN_SCORE), "--scene", str(DATA / "vtest.toml"), "--max-frames", "400",
        "--events", str(out), "--heatmap", str(tmp_path / "heat.png"),
        "--jsonl", str(tmp_path / "records.jsonl"), "--quiet",
    ])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    crossings = [(r["side"], r["id"], round(r["time_s"], 1)) for r in rows if r["event"] == "cross"]
    assert crossings == VTEST
    assert len(rows) == len(events("vtest", 400))
    assert (tmp_path / "heat.png").stat().st_size > 10_000


@pytest.mark.realdata
@pytest.mark.slow
def test_the_default_detector_still_gives_what_is_fixed_here(data: Path, tmp_path: Path) -> None:
    from vision.cli import app

    out = tmp_path / "events.jsonl"
    result = CliRunner().invoke(app, [
        "count", str(data / "videos" / "one-by-one-person-detection.mp4"), "--classes", "person",
        "--end", "50", "--scene", str(DATA / "one-by-one.toml"), "--events", str(out),
        "--sheet", str(tmp_path / "s.png"),
    ])
    assert result.exit_code == 0, result.output
    assert "exit: out 2, in 0" in result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    crossings = [(r["id"], r["time_s"]) for r in rows if r["event"] == "cross"]
    assert crossings == [(who, pytest.approx(time, abs=0.3)) for who, time, _ in ONE_BY_ONE[:2]]
    stays = [r["dwell_s"] for r in rows if r["event"] == "leave"]
    assert stays == [pytest.approx(stay, abs=0.5) for _, _, stay in ONE_BY_ONE[:2]]

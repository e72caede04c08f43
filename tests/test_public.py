"""The public face: a short typed program that uses it, as a type checker and as Python sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import vision

ROOT = Path(__file__).parent.parent
PROGRAM = '''
import numpy as np

import vision
from vision import Card, Detect, Detections, Detector, FakeEngine, Frame, Item, Pool, Report, Run, Tracks, Track
from vision.card import Input

card = Card(name="mine", task="detect", file="", licence="mine", source="here", input=Input((64, 64), "stretch"),
            names=("thing",))


def network(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.tile(np.array([[8, 8, 40, 40]], np.float32), (len(batch), 1, 1))
    return boxes, np.full((len(batch), 1, 1), 0.9, np.float32)


def ids(item: Item) -> list[int]:
    tracks: Tracks = item["track"]
    numbers: list[int] = tracks[tracks.scores > 0.5].ids.tolist()
    return numbers


frames = [Frame(np.zeros((48, 64, 3), np.uint8), index, index / 10) for index in range(3)]
with Pool(device="cpu") as pool, Run(frames, [Detect(Detector(FakeEngine(network), card)), Track()], pool=pool) as run:
    seen = [ids(item) for item in run]
report: Report = run.report
tracker: vision.tracking.Tracker = vision.Tracker(lost_after=2.0)
found: Detections = Detector(FakeEngine(network), card)(frames[0].image)
print(seen, report.written, len(tracker(found, 0.0)), vision.errors.UsageError.__name__)
'''


def test_a_typed_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    checked = subprocess.run([sys.executable, "-m", "mypy", str(program)], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    ran = subprocess.run([sys.executable, program], cwd=tmp_path, env={**os.environ,
                         "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.stdout == "[[1], [1], [1]] 3 1 UsageError\n", ran.stderr


def test_rooms_are_there_without_an_import() -> None:
    code = "import vision; print(vision.tracking.Tracker.__name__, vision.sinks.SINKS['jsonl'].name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "Tracker jsonl\n", done.stderr


def test_the_results_of_all_tasks_are_public() -> None:
    rows = vision.TASKS.values()
    names = {row.spec.result.__name__ for row in rows} | {row.spec.__name__ for row in rows}
    assert names <= set(vision.__all__)
    assert {kind.__name__ for kind in vision.SINKS.values()} <= set(vision.__all__)

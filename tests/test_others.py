"""A step and a sink that another package brings: they are on the command line beside ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from vision import VideoWriter

THEIRS = '''
from pathlib import Path
from typing import Annotated

from vision import Option, Scores, Sink, SinkSpec, Spec, Step, spec
from vision.steps import Ready


@spec.spec
class MeasureBrightness(Spec):
    """Say how bright a frame is."""

    task, result = "brightness", Scores
    gain: Annotated[float, Option("what the mean is multiplied by", min=0)] = 1.0

    def open(self, info, model):
        return BrightnessStep(self)


class BrightnessStep(Step):
    names = ("bright",)

    def __init__(self, one):
        super().__init__(one.key)
        self.gain = one.gain

    def begin(self, frame, sofar):
        return Ready(Scores([frame.image.mean() / 255 * self.gain]))


@spec.spec
class Plain(SinkSpec):
    """A number a line."""

    name, of = "plain", "brightness"
    path: Annotated[Path, Option("a number a line", flags=("--plain",))]

    def open(self, plan):
        return PlainSink(self.path, self.key_in(plan))


class PlainSink(Sink):
    def __init__(self, path, key):
        self.paths, self.needs, self.key = (path,), frozenset((key,)), key

    def begin(self, info):
        self.file = self.paths[0].open("w")

    def take(self, item):
        self.file.write(f"{item[self.key].probs[0]:.2f}\\n")

    def close(self):
        self.file.close()
'''


def test_a_package_brings_a_task_and_a_sink(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "theirs.py").write_text(THEIRS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vision.steps]\nbrightness = theirs:MeasureBrightness\nbroken = gone:Nothing\n"
        "[vision.sinks]\nplain = theirs:Plain\n")
    with VideoWriter(tmp_path / "clip.mp4") as film:
        for i in range(3):
            film.write(np.full((32, 48, 3), 100, np.uint8), i / 10)
    path = os.pathsep.join([str(site), str(Path(__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "vision", "run", "clip.mp4", "--do", "brightness", "--brightness.gain", "0.5",
         "--plain", "out.txt", "--jsonl", "out.jsonl"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    assert "gone:Nothing of vision.steps cannot be loaded (ModuleNotFoundError" in done.stderr
    assert (tmp_path / "out.txt").read_text() == "0.20\n" * 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert abs(lines[0]["brightness"]["scores"][0]["score"] - 0.196) < 0.01

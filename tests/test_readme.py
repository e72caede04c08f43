"""The README's loop is the architecture: it runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vision
from vision import zoo
from vision.engine import FakeEngine
from vision.io import read
from vision.sinks.film import VideoWriter
from vision.tasks.detect import Detector
from vision.tracking import read_scene

README = Path(__file__).parent.parent / "README.md"


def test_the_loop_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.0, 0.1, 0.3, 0.4]
    with VideoWriter(tmp_path / "video.mp4") as film:
        for time in times:
            film.write(np.full((48, 64, 3), 60, np.uint8), time)
    boxes, scores = np.array([[[10, 10, 40, 40]]], np.float32), np.zeros((1, 1, 20), np.float32)
    scores[..., 14] = 0.9
    detector = Detector(FakeEngine(lambda batch: (boxes, scores)), zoo.find("default", "detect"))
    monkeypatch.setattr(Detector, "load", lambda *args: detector)
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    exec(block[1], {})
    frames = list(read("out.mp4"))
    assert [f.time for f in frames] == pytest.approx(times, abs=1e-4)
    edge = frames[-1].image[10:40, 10].astype(int)          # the left edge of the tracked box is drawn
    assert np.abs(edge - 60).max() > 40


def test_the_scene_of_the_page_on_counting(tmp_path: Path) -> None:
    page = README.parent / "docs/tasks/count.md"
    block = re.search(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    (tmp_path / "scene.toml").write_text(block[1])
    scene = read_scene(tmp_path / "scene.toml")
    assert (scene.lines[0].right, scene.zones[0].name) == ("in", "queue")
    assert scene.ground is not None
    assert scene.ground.metres[2] == (12, 30)


@pytest.mark.parametrize("name", vision.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vision, name) is not None


def test_a_type_checker_knows_the_public_names(tmp_path: Path) -> None:
    """Under mypy --strict each has its type, `Any` nowhere, and a name or an option misspelt is told."""
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    program = tmp_path / "program.py"
    program.write_text(block[1] + "\n".join([
        "import vision", "frame = next(vision.read('video.mp4'))", "detector = vision.Detector.load()",
        "tracks = vision.Tracker()(detector(frame.image), frame.time)",
        *(f"reveal_type(vision.{name})" for name in vision.__all__),
        "reveal_type(tracks[tracks.scores > 0.5])",
        "vision.Trackers", "detector(frame.image, min_scores=0.3)", "vision.io.Videofile",
    ]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(program)], cwd=README.parent, capture_output=True, text=True,
    )
    told = [line.split(": ", 1)[1] for line in done.stdout.splitlines()[:-1]]
    types = [line for line in told if line.startswith("note: Revealed")]
    assert len(types) == len(vision.__all__) + 1
    assert 'note: Revealed type is "Any"' not in types
    assert types[-1] == 'note: Revealed type is "vision.types.Tracks"'
    errors = [line for line in told if line.startswith("error")]
    misspelt = ("Trackers", "min_scores", "Videofile")
    assert [name in error for name, error in zip(misspelt, errors, strict=True)] == [True] * 3

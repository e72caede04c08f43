"""The README's loop is the architecture: it runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import vision
from vision import zoo
from vision.engine import FakeEngine
from vision.io import VideoFile, read
from vision.tasks.detect import Detector

README = Path(__file__).parent.parent / "README.md"


def test_the_loop_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.0, 0.1, 0.3, 0.4]
    with VideoFile(tmp_path / "video.mp4") as film:
        for time in times:
            film.write(np.full((48, 64, 3), 60, np.uint8), time)
    boxes, scores = np.array([[[10, 10, 40, 40]]], np.float32), np.zeros((1, 1, 20), np.float32)
    scores[..., 14] = 0.9
    detector = Detector(FakeEngine(lambda batch: (boxes, scores)), zoo.find("default", "detect"))
    monkeypatch.setattr(Detector, "load", lambda: detector)
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    exec(block[1], {})
    frames = list(read("out.mp4"))
    assert [f.time for f in frames] == pytest.approx(times, abs=1e-4)
    edge = frames[-1].image[10:40, 10].astype(int)          # the left edge of the tracked box is drawn
    assert np.abs(edge - 60).max() > 40


@pytest.mark.parametrize("name", vision.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vision, name) is not None

"""Each example is short, and runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vision import VideoWriter

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GUIDE = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames of noise, 96x64."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    with VideoWriter(path) as film:
        for i in range(8):
            film.write(noise, i / 10)
    return path


def test_there_are_eleven() -> None:
    assert len(EXAMPLES) >= 11


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path: Path, clip: Path, tmp_path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= (40 if path.name == "newest_frame.py" else 33)
    done = subprocess.run([sys.executable, path, clip], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "finish()" in path.read_text(encoding="utf-8"):
        assert "8 read, 8 inferred, 8 written" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(GUIDE)))
def test_what_contributing_shows_runs(number: int, clip: Path, tmp_path: Path) -> None:
    assert len(GUIDE[number].splitlines()) <= (45 if "Training" in GUIDE[number] else 30)
    (tmp_path / "shown.py").write_text(GUIDE[number])
    done = subprocess.run([sys.executable, "shown.py", clip], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()

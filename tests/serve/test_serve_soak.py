"""The server over minutes: `make soak` runs what `benchmarks/serve.py` promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.soak, pytest.mark.skipif("VISION_SOAK" not in os.environ, reason="takes minutes: make soak")]


def held(*arguments: str) -> str:
    """What the benchmark printed, where its promise held."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/serve.py"), *arguments], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_eight_visitors_for_a_minute() -> None:
    assert "8 visitors for 60 s" in held("visitors", "--seconds", "60")


def test_the_delay_of_the_tenth_minute_is_that_of_the_first() -> None:
    assert "last 60 s" in held("delay", "--seconds", "600")

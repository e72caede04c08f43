"""`make gpu`, dry: every part on a CPU, small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_part_runs_dry_on_a_cpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu.py", "--dry", "--json", tmp_path / "gpu.json"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VISION_MEASURE": "no"},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["memory halving"][0]["a batch afterwards"] == 2
    assert found["memory halving"][0]["largest difference"] < 1e-3
    assert [row["batch"] for row in found["networks"]] == [1, 2]
    assert all(row["engine"] > 0 and row["eager"] > 0 for row in found["networks"])
    whole = next(row for row in found["pipeline, 1080p"] if row.get("stage") == "whole run")
    assert whole["frames/s"] > 0
    assert whole["bound"] > 0


def test_what_is_carried_fits() -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "gpu.py", "--tree"], capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, check=True)
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert float(told["MiB without what may stay behind"]) < float(told["limit"]) == 64

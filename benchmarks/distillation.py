"""What a teacher is worth: a small network trained on CIFAR-10 with and without one, the same steps, three seeds.

    python benchmarks/distillation.py DATA RUNS TEACHER [STUDENT ...]

DATA has train/ and val/ with a folder for each class; TEACHER is a trained run, of `benchmarks/cifar.py` for example;
a STUDENT is one of `SCHEDULES`, all of them unless some are given. Each run is one command, which is printed; what is
there is not trained again.
Hinton et al. 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

COMMON = ["--freeze-epochs", "0", "--batch", "64", "--weight-decay", "0.05", "--precision", "auto"]
SCHEDULES = {"lenet5": "--epochs 20 --lr 2e-3", "resnet20-32": "--epochs 12 --lr 4e-3"}
SEEDS = (0, 1, 2)


def top1(folder: Path, data: str, student: str, seed: int, *more: str) -> float:
    """Of the last epoch of a run, which is trained unless it is there."""
    if not (folder / "best.safetensors").exists():
        command = [sys.executable, "-m", "vision", "train", "classify", "--data", data, "-o", str(folder), "--model",
                   student, *COMMON, *SCHEDULES[student].split(), "--seed", str(seed), *more]
        print("vision", *command[3:], flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads((folder / "curve.jsonl").read_text().splitlines()[-1])["val/top1"])


def main() -> None:
    data, runs, teacher, *students = sys.argv[1:]
    ways = {"labels alone": ["--smoothing", "0.1"], "and the teacher's probabilities": ["--teacher", teacher]}
    print(f"| student | learns from | top-1, seeds {SEEDS} | mean | deviation |\n|---|---|---|---|---|")
    for student in students or SCHEDULES:
        for way, more in ways.items():
            found = [top1(Path(runs) / f"{student}-{way.split()[0]}-{seed}", data, student, seed, *more)
                     for seed in SEEDS]
            listed = ", ".join(f"{one:.4f}" for one in found)
            print(f"| {student} | {way} | {listed} | {mean(found):.4f} | {stdev(found):.4f} |")


if __name__ == "__main__":
    main()

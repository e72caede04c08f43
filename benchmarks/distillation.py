"""What a teacher is worth: a small network trained on CIFAR-10 with and without one, the same steps, three seeds.

    python benchmarks/distillation.py DATA RUNS TEACHER [STUDENT]

DATA has train/ and val/ with a folder for each class; TEACHER is a trained run, of `benchmarks/cifar.py` for example;
STUDENT is `lenet5` unless given. Each run is one command, which is printed; what is there is not trained again.
Hinton et al. 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

COMMON = ["--freeze-epochs", "0", "--batch", "64", "--weight-decay", "0.05", "--epochs", "20", "--lr", "2e-3",
          "--precision", "auto"]
SEEDS = (0, 1, 2)


def top1(folder: Path, data: str, student: str, seed: int, *more: str) -> float:
    """Of the last epoch of a run, which is trained unless it is there."""
    if not (folder / "best.safetensors").exists():
        command = [sys.executable, "-m", "vision", "train", "classify", "--data", data, "-o", str(folder), "--model",
                   student, *COMMON, "--seed", str(seed), *more]
        print("vision", *command[3:], flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads((folder / "curve.jsonl").read_text().splitlines()[-1])["val/top1"])


def main() -> None:
    data, runs, teacher, student = [*sys.argv[1:], "lenet5"][:4]
    ways = {"labels alone": ["--smoothing", "0.1"], "and the teacher's probabilities": ["--teacher", teacher]}
    rows = {way: [top1(Path(runs) / f"{student}-{way.split()[0]}-{seed}", data, student, seed, *more)
                  for seed in SEEDS] for way, more in ways.items()}
    print(f"| {student} learns from | top-1, seeds {SEEDS} | mean | deviation |\n|---|---|---|---|")
    for way, found in rows.items():
        print(f"| {way} | {', '.join(f'{one:.4f}' for one in found)} | {mean(found):.4f} | {stdev(found):.4f} |")


if __name__ == "__main__":
    main()

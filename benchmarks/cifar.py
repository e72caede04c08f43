"""The classic networks, trained from scratch on CIFAR-10 by `vision train classify`, one after the other.

    python benchmarks/cifar.py DATA RUNS [NAME ...]      # trains what is missing, goes on with what was stopped
    python benchmarks/cifar.py DATA RUNS --table         # the table of what is there

DATA has train/ and val/ with a folder for each class. Each run is one command, which is printed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

COMMON = ["--freeze-epochs", "0", "--batch", "64", "--weight-decay", "0.05", "--smoothing", "0.1", "--seed", "0",
          "--precision", "auto"]
# by how much there is to learn from few pictures; dense layers without norms want a lower rate
RUNS: dict[str, str] = {
    "lenet5": "--epochs 20 --lr 2e-3",
    "lenet5-1998": "--epochs 20 --lr 1e-3 --init xavier",
    "vgg-bn-32": "--epochs 60 --lr 2e-3",
    "resnet20-32": "--epochs 60 --lr 4e-3",
    "vgg-32": "--epochs 40 --lr 5e-4",
    "alexnet-32": "--epochs 60 --lr 5e-4",
    "resnet20-wide-32": "--epochs 60 --lr 3e-3 --ema 0.998 --cutmix 1.0",
    "googlenet-32": "--epochs 40 --lr 2e-3",
    "inception-v3-32": "--epochs 30 --lr 2e-3",
    "densenet40-32": "--epochs 40 --lr 4e-3",
}


def main() -> None:
    data, runs, *names = sys.argv[1:]
    if names == ["--table"]:
        table(Path(runs))
        return
    for name in names or RUNS:
        folder = Path(runs) / name
        done = folder / "best.safetensors"
        lines = (folder / "curve.jsonl").read_text().splitlines() if (folder / "curve.jsonl").exists() else []
        epochs = int(RUNS[name].split()[1])
        if done.exists() and len(lines) >= epochs:
            continue
        command = [sys.executable, "-m", "vision", "train", "classify", "--data", data, "-o", str(folder), "--model",
                   name, *COMMON, *RUNS[name].split(), *(["--resume"] if (folder / "last.ckpt").exists() else [])]
        print("vision", *command[3:], flush=True)
        subprocess.run(command, check=True)
    table(Path(runs))


def table(runs: Path) -> None:
    """Of each run: parameters, multiply-adds, seconds an epoch with the figures on what is held out, epochs, top-1."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from vision.nets import build

    print("| network | parameters | M multiply-adds | seconds an epoch | epochs | top-1 |\n|---|---|---|---|---|---|")
    for name in RUNS:
        curve = runs / name / "curve.jsonl"
        if not curve.exists():
            continue
        lines = [json.loads(line) for line in curve.read_text().splitlines()]
        with torch.device("meta"), FlopCounterMode(display=False) as counted:
            net = build("classic", arch=name, classes=10).eval()
            net(torch.empty(1, 3, 32, 32))
        parameters = sum(p.numel() for p in net.parameters())
        of = RUNS[name].split()[1]
        print(f"| {name} | {parameters:,} | {counted.get_total_flops() / 2e6:.1f} | {seconds(runs / name):.0f} | "
              f"{len(lines)} of {of} | {lines[-1]['val/top1']:.4f} |", flush=True)


def seconds(run: Path) -> float:
    """From one epoch's end to the next, the median: of what TensorBoard was told."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "log"), {"scalars": 0})
    events.Reload()
    ends = [event.wall_time for event in events.Scalars("val/top1")]
    return statistics.median(after - before for before, after in pairwise(ends))


if __name__ == "__main__":
    main()

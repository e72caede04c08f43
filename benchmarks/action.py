"""Figures of action recognition: reading clips, recognising a stream, C3D at full width.

    python benchmarks/action.py CLIP.avi [CLIP.avi ...]

Each pair that is compared runs in turns in one process; the best of several rounds counts. C3D's weights
are random: its time does not depend on them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from vision.benchmark.meter import in_turns
from vision.card import Card, Clip, Input
from vision.engine import load
from vision.io import read
from vision.io.clips import read_clips, uniform
from vision.nets import build
from vision.tasks.action import Recognizer
from vision.train.fit import save_weights

ROUNDS = 5


def best(*runs: Callable[[], object]) -> list[float]:
    """The shortest time of each, in seconds, taken in turns."""
    def once(run: Callable[[], object]) -> tuple[int, tuple[float, ...]]:
        run()
        return 1, ()

    turns = in_turns({str(i): partial(once, run) for i, run in enumerate(runs)}, ROUNDS, warm=False)
    return [min(one.seconds for one in of) for of in turns.values()]


def with_seeks(path: str, clips: int = 10, length: int = 16) -> np.ndarray:
    """Ten clips by cv2.VideoCapture: a seek to each, then its frames."""
    capture = cv2.VideoCapture(path)
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    out = []
    for row in uniform(clips, length)(np.arange(frames) / 25.0):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(row[0]))
        out += [capture.read()[1] for _ in row]
    return np.stack(out)


def clips(paths: list[str]) -> None:
    """Ten clips of 16 frames of each video."""
    ours = theirs = 0.0
    for path in paths:
        found, want = read_clips(path, uniform(10, 16)), with_seeks(path)
        assert np.array_equal(np.concatenate(list(found)), want), path
        a, b = best(lambda path=path: read_clips(path, uniform(10, 16)), lambda path=path: with_seeks(path))
        ours, theirs = ours + a, theirs + b
    print(f"clips of {len(paths)} videos, the same frames: {ours * 1000:.0f} ms; cv2 with seeks "
          f"{theirs * 1000:.0f} ms: {theirs / ours:.2f} times as fast")


def stream(path: str) -> None:
    """The default recognizer over a video in memory, a window every 0.32 s; and with decoding."""
    model = Recognizer.load()
    frames = list(read(path))
    seconds = frames[-1].time + 0.04

    def run(source: object) -> None:
        step = model.stream(every=0.32)
        pending = [step.submit([frame]) for frame in source]
        for wait in pending:
            wait()

    run(frames)
    warm, whole = best(lambda: run(frames), lambda: run(read(path)))
    print(f"{model.name} ({model.engine.label}): {seconds / warm:.1f} times real time at 25 frames a second, "
          f"{seconds / whole:.1f} with decoding")


def c3d() -> None:
    """Clips a second of C3D at full width, on each back end and precision."""
    with tempfile.TemporaryDirectory() as folder:
        card = Card(
            name="c3d-random", task="action", net="c3d", config={"classes": 101},
            file=f"{folder}/c3d.safetensors", licence="", source="", input=Input((112, 112), "crop"),
            names="ucf101", clip=Clip(16, 25.0, features=("fc6", "pool5")),
        )
        save_weights(Path(card.file), build("c3d", classes=101), card, {})
        batch = np.random.default_rng(0).integers(0, 256, (2, 16, 112, 112, 3), np.uint8)
        for backend, precision in (("openvino", "fp32"), ("openvino", "bf16"), ("torch", "fp32")):
            engine = load(card, precision=precision, backend=backend)
            engine(batch)
            (time,) = best(lambda engine=engine: engine(batch))
            print(f"C3D, random weights, {engine.label}: {len(batch) / time:.2f} clips a second")
            engine.close()


if __name__ == "__main__":
    torch.set_num_threads(2)
    clips(sys.argv[1:])
    stream(max(sys.argv[1:], key=lambda path: Path(path).stat().st_size))
    c3d()

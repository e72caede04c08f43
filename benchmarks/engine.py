"""How fast is the bare engine? Every back end and precision on the same frames in memory.

    python benchmarks/engine.py [MODEL] [--video FILE] [--frames N] [--rounds N]

The engines take turns, round by round, so that whatever else the machine does falls on all of
them; a line gives the median round, and its ratio to torch in float32 (to the first engine for an
ONNX file, which torch does not run).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from vision.benchmark.bare import replay
from vision.benchmark.meter import figures, in_turns
from vision.card import Card
from vision.engine import BACKENDS, PRECISIONS, Engine, load
from vision.errors import EngineError
from vision.io import read
from vision.view import stretch
from vision.zoo import DEFAULTS, find


def engines(card: Card, device: str) -> dict[str, Engine]:
    """Every engine that runs here, by its label, torch in float32 first; int8 where the card has it."""
    found: dict[str, Engine] = {}
    for backend in sorted(BACKENDS, key=lambda b: b != "torch"):
        for precision in (*PRECISIONS, "int8"):
            try:
                engine = load(card, device, precision, backend)
                engine(np.zeros((1, card.input.size_wh[1], card.input.size_wh[0], 3), np.uint8))
            except EngineError:
                continue
            found.setdefault(engine.label, engine)
    return found


def pictures(video: Path | None, size_wh: tuple[int, int], count: int) -> list[np.ndarray]:
    """`count` frames (1,h,w,3) of the video, or of noise that a camera might give."""
    if video is None:
        noise = np.random.default_rng(0).integers(0, 256, (size_wh[1] // 8, size_wh[0] // 8, 3), np.uint8)
        return [np.asarray(cv2.resize(np.roll(noise, i, 1), size_wh))[None] for i in range(count)]
    with read(str(video), max_frames=count) as source:
        return [stretch(frame.image, size_wh).pixels[None] for frame in source]


def _through(engine: Engine, frames: list[np.ndarray]) -> tuple[int, tuple[float, ...]]:
    return replay(engine, frames), ()


def main(
    model: Annotated[str, typer.Argument(help="a name of `vision models`, or a path")] = DEFAULTS["detect"],
    video: Annotated[Path | None, typer.Option(help="frames to run on")] = None,
    frames: int = 40,
    rounds: int = 5,
    device: str = "auto",
) -> None:
    """Print a table in Markdown."""
    card = find(model)
    batch = pictures(video, card.input.size_wh, frames)
    running = engines(card, device)
    turns = in_turns({label: partial(_through, engine, batch) for label, engine in running.items()}, rounds)
    found = {label: figures(of) for label, of in turns.items()}
    reference = next(iter(found.values())).fps
    print(f"{card.name} {card.input.size_wh[0]}x{card.input.size_wh[1]}, {len(batch)} frames, {rounds} rounds\n")
    print("| engine | frames/s | ratio | processor ms a frame |\n|---|---|---|---|")
    for label, one in sorted(found.items(), key=lambda item: -item[1].fps):
        print(f"| {label} | {one.fps:.1f} | {one.fps / reference:.2f} | {1000 * one.processor_s:.1f} |")
    for engine in running.values():
        engine.close()


if __name__ == "__main__":
    typer.run(main)

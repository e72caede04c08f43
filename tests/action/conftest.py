"""Small made videos, and a recognizer that knows colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vision.card import Card, Clip, Input
from vision.engine import FakeEngine
from vision.tasks.action import Recognizer
from vision.types import Frame

WriteVideo = Callable[..., Path]
FOUR = Clip(4, 10.0, features=("mean",))


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Write pictures (H,W,3) at given times; lossless unless a codec is named."""

    def write(
        name: str, pictures: Sequence[np.ndarray], times: Sequence[float] | None = None, rate: int = 25,
        codec: str = "libx264rgb", options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tick = Fraction(1, rate) if times is None else Fraction(1, 1000)
        lossless = codec == "libx264rgb"
        with av.open(f"file:{path}", "w") as out:
            chosen = options or ({"qp": "0"} if lossless else {})
            stream: Any = out.add_stream(codec, rate=round(1 / tick), options=chosen)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "bgr24" if lossless else "yuv420p"
            stream.codec_context.time_base = tick
            for i, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=stream.pix_fmt)
                frame.pts = i if times is None else round(times[i] * 1000)
                frame.time_base = tick
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return path

    return write


def numbered(i: int, side: int = 32) -> np.ndarray:
    """A picture that is told from its neighbours by its grey."""
    return np.full((side, side, 3), (i * 7) % 256, np.uint8)


def card(**fields: Any) -> Card:
    """A card of a network on clips of 4 frames, 10 a second."""
    return Card(**{
        "name": "fake", "task": "action", "net": "c3d", "file": "fake", "licence": "", "source": "",
        "input": Input((8, 8), "stretch"), "names": ("blue", "green", "red"), "min_score": 0.6,
        "clip": FOUR, **fields,
    })


class Colours:
    """An engine's function: the logits of a clip or a picture are its mean colours, 0..10, and it counts
    what it saw. The descriptor is the same, unscaled."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        self.batches.append(batch)
        mean = batch.reshape(len(batch), -1, 3).mean(axis=1).astype(np.float32)
        return mean / 25.5, mean

    @property
    def seen(self) -> int:
        return sum(len(batch) for batch in self.batches)


def recognizer(**fields: Any) -> tuple[Recognizer, Colours]:
    """A recognizer of colours, and its engine's function."""
    colours = Colours()
    return Recognizer(FakeEngine(colours), card(**fields)), colours


def coloured(label: int, index: int, time: float, side: int = 8) -> Frame:
    """A frame of one pure colour."""
    image = np.zeros((side, side, 3), np.uint8)
    image[..., label] = 255
    return Frame(image, index, time)

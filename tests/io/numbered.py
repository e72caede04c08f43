"""Small videos whose every frame says which one it is."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CELL, BITS = 16, 10
SIZE_WH = (CELL * BITS, 64)                     # a row of cells, black or white: the number in binary


def numbered(index: int, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """A grey picture (H,W,3) with `index` written into its top row of cells."""
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 235 if index >> bit & 1 else 20
    return image


def number(image: np.ndarray) -> int:
    """The number that `numbered` wrote."""
    cells = image[:CELL, : CELL * BITS].reshape(CELL, BITS, CELL, 3)[4:12, :, 4:12].mean((0, 2, 3))
    return int(sum(1 << bit for bit in range(BITS) if cells[bit] > 128))


MakeVideo = Callable[..., Path]


def add_sound(out: Any, track: Any, seconds: float) -> None:
    """A 440 Hz tone."""
    fmt = track.codec_context.format.name
    resampler = av.AudioResampler(format=fmt, layout=track.codec_context.layout.name, rate=48_000)
    for start in range(0, int(seconds * 48_000), 1024):
        wave = np.sin((start + np.arange(1024)) * 2 * np.pi * 440 / 48_000).astype(np.float32)[None] * 0.3
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        for piece in resampler.resample(frame):
            out.mux(track.encode(piece))
    out.mux(track.encode(None))

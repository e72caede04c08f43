"""Pictures with a line under each, for TensorBoard: what was said of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from vision.types import Image

SHOWN = 16                             # pictures of a batch
_SIDE, _LINE = 160, 22                 # pixels: of a picture's longer side, of the line under it
_LETTERS = 0.45
_RIGHT, _WRONG = (60, 160, 40), (210, 50, 50)             # RGB


def captioned(pictures: Tensor, lines: Sequence[str], right: Sequence[bool]) -> Tensor:
    """(B,3,H,W) uint8 RGB, all of one size, enlarged or reduced to 160 pixels -> (B,3,h,w) with a line under each,
    green where it is right, red where it is wrong."""
    made = [
        _captioned(picture, line, _RIGHT if good else _WRONG)
        for picture, line, good in zip(pictures.cpu().permute(0, 2, 3, 1).numpy(), lines, right, strict=True)
    ]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


def found_for(said: Tensor, truth: Tensor, names: Sequence[str]) -> tuple[list[str], list[bool]]:
    """The lines for probabilities (B,C) and true classes (B,): what was found, and how sure; what it is, where that is
    another; and whether it is right."""
    sure, found = said.max(1)
    rows = list(zip(found.tolist(), sure.tolist(), truth.tolist(), strict=True))
    lines = [f"{names[f]} {p:.2f}" + (f", is {names[t]}" if f != t else "") for f, p, t in rows]
    return lines, [f == t for f, _, t in rows]


def _captioned(picture: Image, line: str, ink: tuple[int, int, int]) -> Image:
    ratio = _SIDE / max(picture.shape[:2])
    how = cv2.INTER_AREA if ratio < 1 else cv2.INTER_NEAREST
    large = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=how)
    strip = np.full((_LINE, large.shape[1], 3), 255, np.uint8)
    plain = line.encode("ascii", "replace").decode()     # the letters that OpenCV draws
    width = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, 1)[0][0]
    size = _LETTERS * min(1.0, (large.shape[1] - 6) / max(1, width))
    cv2.putText(strip, plain, (3, 15), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
    return np.concatenate([large, strip])

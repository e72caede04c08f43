"""A tiny data set with labels, made of rectangles, and a tiny network for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision.card import Card

COLOURS = np.array([(40, 40, 40), (60, 200, 60), (200, 60, 60)], np.uint8)


def write_pair(folder: Path, name: str, labels: np.ndarray, seed: int) -> None:
    """A picture of the labels in noisy colours, and its index PNG."""
    noise = np.random.default_rng(seed).integers(-30, 30, (*labels.shape, 3))
    picture = np.clip(COLOURS[np.minimum(labels, 2)].astype(int) + noise, 0, 255).astype(np.uint8)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), picture)
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), labels)


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 + 4 pictures of 64x48: ground, a block of class 1, a block of class 2, a void border."""
    root = tmp_path_factory.mktemp("rectangles")
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4)):
        for i in range(count):
            labels = np.zeros((48, 64), np.uint8)
            x, y = random.integers(2, 30, 2)
            labels[y : y + 14, x : x + 18] = 1
            labels[4:20, 44:60] = 2
            labels[:2] = 255
            write_pair(root / split, f"{i:02d}", labels, i)
    (root / "classes.txt").write_text("ground\nblock\nother\n", encoding="utf-8")
    return root


def card(**more: Any) -> Card:
    """A card of nothing in particular."""
    return Card(**{"name": "mine", "task": "detect", "file": "", "licence": "mine", "source": "here", **more})

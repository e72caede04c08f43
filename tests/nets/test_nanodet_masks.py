"""Detectors with a head for masks: one graph for pictures of every size, as int8 needs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vision.card import Boxes, Card, Input
from vision.engine.compress import _any_size
from vision.engine.program import program_of
from vision.nets import build
from vision.nets.nanodet_masks import HEADS


@pytest.mark.parametrize("head", HEADS)
def test_a_graph_takes_pictures_of_every_size(head: str, tmp_path: Path) -> None:
    """With the same numbers as torch on a picture of another size than it was exported with."""
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    config = {"classes": 2, "levels": 3, "mask": head}
    path = tmp_path / "masks.pth"
    torch.save(build("nanodet-masks", **config).state_dict(), path)
    card = Card(name="masks", task="instances", net="nanodet-masks", config=config, file=str(path), licence="",
                source="", names=("a", "b"), input=Input((96, 64), "letterbox"), boxes=Boxes(head, 0.6))
    assert _any_size(program_of(card), (64, 96, 3)) is not None

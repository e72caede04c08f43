"""NanoDet: its rows, its boxes, and what training may start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from vision.card import Card, Input
from vision.engine.program import program_of
from vision.nets import build
from vision.nets.gfl import points


@pytest.mark.parametrize(("levels", "size", "cells"), [
    (3, (96, 64), 12 * 8 + 6 * 4 + 3 * 2), (4, (96, 64), 12 * 8 + 6 * 4 + 3 * 2 + 2 * 1), (4, (128, 128), 340),
])
def test_outputs_have_a_row_for_each_cell(levels: int, size: tuple[int, int], cells: int) -> None:
    net = build("nanodet", classes=3, levels=levels).eval()
    with torch.no_grad():
        logits, distances = net(torch.zeros(2, 3, size[1], size[0]))
    assert logits.shape == (2, cells, 3)
    assert distances.shape == (2, cells, 4, 11)
    assert len(points(size, net.strides)[0]) == cells


def test_a_box_is_what_its_cell_says() -> None:
    net = build("nanodet", classes=2)
    cells = len(points((96, 64), net.strides)[0])
    logits, distances = torch.full((1, cells, 2), -9.0), torch.zeros(1, cells, 4, 11)
    cell = 12 * 8 + 6 + 2                                    # stride 16, second row, third column
    logits[0, cell] = torch.tensor([2.0, -9.0])
    for side, bins in enumerate((1, 2, 3, 4)):
        distances[0, cell, side, bins] = 50.0
    boxes, scores = net.decode((logits, distances), (96, 64))
    x, y = 2.5 * 16, 1.5 * 16
    torch.testing.assert_close(boxes[0, cell], torch.tensor([x - 16, y - 32, x + 48, y + 64]), atol=1e-3, rtol=0)
    assert scores.argmax() == 2 * cell
    assert scores.max().item() == pytest.approx(1 / (1 + 2.718281828 ** -(2.0 - 0.000123)), abs=1e-4)


def test_down_and_up_in_the_neck_are_bilinear() -> None:
    """The published graph resizes bilinearly both ways; halving so is the mean of 2x2."""
    x = torch.randn(1, 4, 6, 8)
    halved = torch.nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear")
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(x, 2), halved)


def test_one_graph_is_right_for_every_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    card = Card(
        name="tiny", task="detect", net="nanodet", config={"classes": 3}, file=str(tmp_path / "net.safetensors"),
        licence="ours", source="made", input=Input((128, 128), "letterbox"), names=("a", "b", "c"),
    )
    save_file(build("nanodet", classes=3).state_dict(), card.file)
    program = program_of(card)
    assert program.any_size
    path = tmp_path / "any.onnx"
    path.write_bytes(program.export(None))
    session = onnxruntime.InferenceSession(path)
    deployed = program.module()
    for h, w in ((64, 96), (128, 160), (32, 32)):
        batch = np.random.default_rng(h).integers(0, 256, (1, h, w, 3), np.uint8)
        with torch.no_grad():
            expected = deployed(torch.from_numpy(batch))
        for mine, theirs in zip(session.run(None, {"batch": batch}), expected, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=2e-3)

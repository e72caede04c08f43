"""The first YOLO: its boxes and its loss by hand, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vision.nets import build
from vision.nets.yolo_v1 import YoloV1, boxes_of
from vision.train.start import load_encoder
from vision.train.yolo_v1 import YoloCriterion


def table(**cells: list[float]) -> torch.Tensor:
    """(1,49,12) of zeros, but for `c10=[...]`."""
    made = torch.zeros(1, 49, 12)
    for name, values in cells.items():
        made[0, int(name[1:])] = torch.tensor(values)
    return made


def test_boxes_and_scores_by_hand() -> None:
    outputs = table(c10=[0.5, 0.25, 0.5, 0.4, 0.8, 0, 0, 0, 0, 0.1, 0.9, 0.3])       # row 1, column 3
    boxes = boxes_of(outputs)
    x, y = 3.5 / 7, 1.25 / 7
    assert boxes[0, 10, 0].tolist() == pytest.approx([x - 0.125, y - 0.08, x + 0.125, y + 0.08])
    boxes, scores = YoloV1(2).decode(outputs, (70, 140))
    assert boxes.shape == (1, 98, 4)
    assert boxes[0, 20].tolist() == pytest.approx([26.25, 25 - 11.2, 43.75, 25 + 11.2], abs=1e-3)
    assert scores[0, 20].tolist() == pytest.approx([0.72, 0.24])
    assert scores[0, 21].tolist() == pytest.approx([0.09, 0.03])


class Says(YoloV1):
    """It gives what it was told."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__(2, width=4)
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs


def test_the_loss_by_hand() -> None:
    """An object of class 1 fills the cell in row 1 and column 3 of a picture of 70x70: 10x10 pixels."""
    root = (1 / 7) ** 0.5
    outputs = table(c10=[0.5, 0.5, root, root, 0.6, 0.5, 0.5, 0.1, 0.1, 0.3, 0.2, 0.7], c0=[0, 0, 0, 0, 0.2, *[0] * 7])
    objects, labels = torch.tensor([[[30.0, 10.0, 40.0, 20.0], [0, 0, 0, 0]]]), torch.tensor([[1, -1]])
    terms = YoloCriterion()(Says(outputs), torch.zeros(1, 3, 70, 70), objects, labels)
    assert float(terms["location"]) == pytest.approx(0, abs=1e-6)                     # the first box is the object
    assert float(terms["confidence"]) == pytest.approx(0.4**2 + 0.5 * (0.3**2 + 0.2**2), abs=1e-5)
    assert float(terms["classes"]) == pytest.approx(0.2**2 + 0.3**2)
    moved = objects + torch.tensor([1.0, 0, 1.0, 0])                                  # a tenth of a cell
    assert float(YoloCriterion()(Says(outputs), torch.zeros(1, 3, 70, 70), moved, labels)["location"]) == (
        pytest.approx(5 * 0.1**2, abs=1e-5))
    nothing = YoloCriterion()(Says(outputs), torch.zeros(1, 3, 70, 70), objects, torch.tensor([[-1, -1]]))
    assert float(nothing["confidence"]) == pytest.approx(0.5 * (0.6**2 + 0.3**2 + 0.2**2), abs=1e-5)
    assert float(nothing["location"]) == float(nothing["classes"]) == 0


def test_of_two_objects_in_a_cell_the_first_counts() -> None:
    objects = torch.tensor([[[30.0, 10.0, 40.0, 20.0], [31.0, 11.0, 39.0, 19.0]]])
    both = YoloCriterion()(Says(table()), torch.zeros(1, 3, 70, 70), objects, torch.tensor([[1, 0]]))
    one = YoloCriterion()(Says(table()), torch.zeros(1, 3, 70, 70), objects, torch.tensor([[1, -1]]))
    assert {name: float(value) for name, value in both.items()} == {name: float(value) for name, value in one.items()}


def test_it_learns_one_picture() -> None:
    torch.manual_seed(0)
    net = YoloV1(2, width=32).train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.Dropout):
            layer.eval()
    x, objects, labels = torch.rand(1, 3, 64, 64), torch.tensor([[[8.0, 8, 40, 48]]]), torch.tensor([[1]])
    step = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        step.zero_grad()
        loss = torch.stack(list(YoloCriterion()(net, x, objects, labels).values())).sum()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_it_begins_with_another_detectors_encoder(tmp_path: Path) -> None:
    theirs = build("gfl", classes=3)
    save_file(theirs.state_dict(), tmp_path / "gfl.safetensors")
    mine = YoloV1(2, last=False)
    load_encoder(mine.encoder, tmp_path / "gfl.safetensors")
    last = "features.17.conv.2.weight"
    assert torch.equal(mine.encoder.state_dict()[last], theirs.encoder.state_dict()[last])
    assert mine(torch.zeros(1, 3, 224, 224)).shape == (1, 49, 12)

"""`vision inspect`: counts against papers and by hand, receptive fields against gradients, the page, bad input."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from vision.cli.inspect import inspect
from vision.engine.program import exported
from vision.errors import ModelError, SinkError, UsageError
from vision.inspect.layers import Network, read_layers
from vision.inspect.opened import opened
from vision.inspect.page import lanes, page
from vision.inspect.timing import measure
from vision.nets.deploy import Deploy
from vision.weights import resolve
from vision.zoo import CARDS


class Odd(nn.Module):
    """A fork, a dilated and a grouped convolution, a transposed one, a shared layer, a dense layer on rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.twice = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.first(x)))
        x = torch.cat([self.wide(x), F.max_pool2d(x, 3, 1, 1)], 1)
        x = self.twice(self.twice(self.up(x)))
        return self.fc(x.flatten(2).transpose(1, 2))


def network(net: nn.Module, side: int) -> Network:
    module = Deploy(net.eval(), (0.5,) * 3, (0.5,) * 3)
    graph = exported(module, (side, side, 3), False, "odd", whole=False)
    return read_layers(graph, "odd", {n for n, _ in module.named_parameters()})


def of(model: str) -> Network:
    found = opened(model)
    return read_layers(found.graph, model, found.learns, found.leaves)


def test_counts_are_those_of_a_hand() -> None:
    net = Odd()
    found = network(net, 32)
    layers = {layer.name: layer for layer in found.layers if layer.macs}
    assert {name: layer.macs for name, layer in layers.items()} == {
        "first": 16 * 16 * 8 * 27, "wide": 16 * 16 * 8 * 18, "up": 16 * 16 * 16 * 4 * 4, "twice": 32 * 32 * 4 * 4,
        "twice_1": 32 * 32 * 4 * 4, "fc": 32 * 32 * 4 * 5,
    }
    assert found.parameters == sum(p.numel() for p in net.parameters())          # the shared layer's once
    assert (layers["wide"].groups, layers["wide"].kernel, layers["first"].stride) == (4, (3, 3), (2, 2))
    assert layers["first"].kinds == ["Conv", "BatchNormalization", "Relu"]
    assert layers["first"].memory == 3 * 8 * 16 * 16 * 4
    assert layers["up"].jump == 1


def test_receptive_fields_are_what_gradients_reach() -> None:
    net = Odd().eval()
    wanted = {}
    for name, layers in {"first": [net.first], "wide": [net.first, net.wide]}.items():
        x = torch.ones(1, 3, 64, 64, requires_grad=True)
        y = x
        for layer in layers:
            with torch.no_grad():
                layer.weight.fill_(1.0)
            y = layer(y)
        y[0, :, 16, 16].sum().backward()
        assert x.grad is not None
        reach = torch.nonzero(x.grad[0, 0].abs().sum(0))
        wanted[name] = int(reach.max() - reach.min()) + 1
    found = {layer.name: layer.sees for layer in network(net, 32).layers}
    assert {name: found[name] for name in wanted} == wanted == {"first": 3, "wide": 11}


@pytest.mark.parametrize(("model", "parameters", "macs", "sees"), [
    ("lenet5", 62_006, 651_720, 16), ("alexnet", 60_965_224, 724_406_816, 195),
    ("resnet18", 11_689_512, 1_814_073_344, 435), ("densenet40-32", 176_122, 72_366_540, None),
])
def test_published_figures(model: str, parameters: int, macs: int, sees: int | None) -> None:
    """AlexNet's 195 and ResNet-18's 435 are of Araujo et al. 2019."""
    found = of(model)
    assert found.parameters == parameters
    assert found.macs == pytest.approx(macs, rel=2e-3)
    fields = [layer.sees for layer in found.layers if layer.sees is not None]
    assert sees in (None, max(fields))
    assert found.layers[-1].sees is None                 # a dense layer sees all of it


@pytest.mark.slow
def test_resnet50_is_what_torchvision_states() -> None:
    found = of("torchvision:resnet50")
    assert (found.parameters, round(found.macs / 1e9, 2)) == (25_557_032, 4.09)
    assert max(layer.sees or 0 for layer in found.layers) == 427          # its strides are in the 3x3s; 483 in 1x1s
    assert max(layer.sees or 0 for layer in of("vgg16").layers) == 212


def test_a_shortcut_has_a_lane_of_its_own() -> None:
    found = of("resnet20-32")
    columns = lanes(found)
    adds = [layer for layer in found.layers if layer.kinds[0] == "Add"]
    assert len(adds) == 9
    assert all(len(layer.inputs) == 2 for layer in adds)
    assert max(columns) == 1
    assert max(lanes(of("lenet5"))) == 0


def test_times_are_given_and_the_page_needs_nothing_else(tmp_path: Path) -> None:
    first, other = (opened(name) for name in ("lenet5", "vgg-32"))
    networks = [read_layers(o.graph, "a<b>", o.learns, o.leaves) for o in (first, other)]
    measure(networks[0], first.graph)
    assert networks[0].ms is not None
    assert all(layer.ms is not None for layer in networks[0].layers)
    text = page(networks)
    assert not re.search(r"https?://|src=|@import|a<b>", text)
    rows: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            rows.append(tag)

    Reader().feed(text)
    assert rows.count("circle") == sum(len(network.layers) for network in networks)
    assert rows.count("tr") == rows.count("circle") + 2


def test_an_onnx_file_of_anybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    path = tmp_path / "mine.onnx"
    torch.onnx.export(net.eval(), (torch.zeros(1, 3, 16, 16),), str(path), dynamo=False, input_names=["x"])
    inspect([str(path)], None, tmp_path / "page.html", True)
    told = capsys.readouterr().out
    assert "122 parameters" in told
    assert (tmp_path / "page.html").read_text().count("<circle") == 3
    before = path.read_bytes()
    with pytest.raises(SinkError, match=r"mine\.onnx' would overwrite the input"):
        inspect([str(path)], None, path, False)
    assert path.read_bytes() == before
    shipped = resolve(CARDS["gfl-voc"])
    with pytest.raises(SinkError, match=r"gfl-mobilenetv2-voc\.safetensors' would overwrite the input"):
        inspect(["gfl-voc"], None, shipped, False)


def test_figures_are_of_one_picture_whatever_the_batch_and_the_precision(tmp_path: Path) -> None:
    """A convolution of 3 to 4 channels on 16x16 pixels, whose weights are in int8, and a pool over all of them."""
    value, node, shape = helper.make_tensor_value_info, helper.make_node, (4, 3, 3, 3)
    weights = {"int8": np.ones(shape, np.int8), "scale": np.full(4, 0.1, np.float32), "zero": np.zeros(4, np.int8)}
    found = {}
    for batch in (1, 8):
        graph = helper.make_graph(
            [node("DequantizeLinear", ["int8", "scale", "zero"], ["w"], "/wide", axis=0),
             node("Conv", ["x", "w"], ["a"], "/conv/Conv", pads=[1, 1, 1, 1]),
             node("AveragePool", ["a"], ["y"], "/pool/Pool", kernel_shape=[16, 16])],
            "g", [value("x", TensorProto.FLOAT, [batch, 3, 16, 16])], [value("y", TensorProto.FLOAT, [batch, 4, 1, 1])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        found[batch] = read_layers(made.SerializeToString(), "mine")
    for one in found.values():
        assert (one.parameters, one.macs, one.memory) == (108, 16 * 16 * 108, 4 * (4 * 16 * 16 + 4))
        assert [(layer.sees, layer.jump) for layer in one.layers] == [(3, 1.0), (None, None)]
    assert of("dlib-face").parameters == 5_607_616              # which are bytes in its file


def test_what_cannot_be_looked_at() -> None:
    with pytest.raises(UsageError, match="one network, or two side by side; got 3"):
        inspect(["a", "b", "c"])
    with pytest.raises(UsageError, match="--size is width and height"):
        inspect(["lenet5"], "big")
    with pytest.raises(UsageError, match="such as 320x240; got '²x8'"):
        inspect(["lenet5"], "²x8")
    with pytest.raises(ModelError, match="no model 'resnet5O'"):
        inspect(["resnet5O"])
    with pytest.raises(ModelError, match=r"it has no graph to look at\. Look at gfl-voc"):
        inspect(["gfl-voc-int8"])


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vision", "inspect", "lenet5", "--no-time"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "62,006 parameters, 0.001 G multiply-adds, 0.1 MiB of outputs"
    assert "random ones stand in" in done.stderr


def test_a_graph_whose_shapes_depend_on_values_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(["gfl-voc"], "320x224", None, True)
    told = capsys.readouterr().out.splitlines()[-1]
    assert "3,417,968 parameters, 0.6" in told
    with pytest.raises(ModelError, match="Leave --size out, or take sides that are multiples of 32"):
        inspect(["nanodet-g"], "320x240", None, True)

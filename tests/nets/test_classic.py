"""The classic networks against their papers' figures, and against torchvision's where it has the same network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from vision.classic import CLASSIC
from vision.errors import ModelError
from vision.nets import build
from vision.nets.alexnet import response_norm
from vision.nets.googlenet import GoogLeNet
from vision.nets.lenet import LeNet5Published
from vision.nets.resnet import ResNet32
from vision.nets.vgg import VGG, DenseTest

# millions of parameters in use, and of multiply-adds: from the papers, Caffe's model zoo and torchvision's own tables
FIGURES = {
    "lenet5": (0.062006, 0.65172), "alexnet": (60.965224, 724.41), "vgg11": (132.863336, 7609),
    "vgg13": (133.047848, 11308), "vgg16": (138.357544, 15470), "vgg19": (143.66724, 19632),
    "vgg16-bn": (138.365992, 15470), "googlenet": (6.998552, 1582.67), "googlenet-bn": (6.624904, 1498),
    "inception-v3": (23.834568, 5713), "resnet18": (11.689512, 1814), "resnet34": (21.797672, 3664),
    "resnet50": (25.557032, 4089), "resnet101": (44.549160, 7801), "resnet152": (60.192808, 11514),
    "densenet121": (7.978856, 2834), "resnet20-32": (0.269722, 40.55), "densenet40-32": (0.176122, 72.37),
}
SAME = {name: each.same_as for name, each in CLASSIC.items() if each.same_as}


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        side = CLASSIC[name].side
        return build("classic", arch=name, classes=10 if side == 32 else 1000).eval()


def theirs(arch: str) -> nn.Module:
    made: nn.Module = models.get_model(arch, weights=None, **(
        {"init_weights": False} if arch in ("googlenet", "inception_v3") else {}))
    return made


@pytest.mark.parametrize("name", FIGURES)
def test_parameters_and_multiply_adds_are_the_published_ones(name: str) -> None:
    net, side = on_meta(name), CLASSIC[name].side
    with FlopCounterMode(display=False) as counted:
        net(torch.empty(1, 3, side, side, device="meta"))
    used = sum(p.numel() for n, p in net.named_parameters() if not n.startswith(("aux", "AuxLogits")))
    assert (used / 1e6, counted.get_total_flops() / 2e6) == (
        pytest.approx(FIGURES[name][0], abs=1e-9), pytest.approx(FIGURES[name][1], rel=1e-3))


@pytest.mark.parametrize("name", SAME)
def test_torchvision_s_weights_have_our_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        other = theirs(SAME[name]).state_dict()
    mine = on_meta(name).state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in other.items()}


@pytest.mark.parametrize(("name", "side"), [
    ("resnet18", 64), ("googlenet-bn", 64),
    *(pytest.param(*each, marks=pytest.mark.slow) for each in (
        ("vgg11-bn", 64), ("inception-v3", 139), ("resnet50", 64), ("densenet121", 64))),
])
def test_with_torchvision_s_weights_the_outputs_are_the_same(name: str, side: int) -> None:
    torch.manual_seed(3)
    with torch.device("meta"):
        other = theirs(SAME[name])
    other.to_empty(device="cpu")
    for module in other.modules():                       # random, with statistics that are not 0 and 1
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.uniform_(module.weight, -(bound := (3 / module.weight[0].numel()) ** 0.5), bound)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.1)
    mine = on_meta(name).to_empty(device="cpu")
    mine.load_state_dict(other.state_dict())
    x = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        wanted, found = other.eval()(x), mine.eval()(x)
        assert wanted.std() > 1e-4
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()) + 1e-6)


def test_the_published_names_of_densenet_s_file_are_read() -> None:
    net = on_meta("densenet121")
    state = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value
             for key, value in net.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    net.load_state_dict(state, assign=True)


# LeNet-5, as published

def test_lenet_counts_as_the_paper_does() -> None:
    net = LeNet5Published(10)
    parts = [sum(p.numel() for p in layer.parameters()) for layer in (net.c1, net.s2, net.s4, net.c5, net.f6)]
    table = int(net.seen.sum()) * 25 + 16
    assert (parts, table) == ([156, 12, 32, 48_120, 10_164], 1_516)
    assert net.learning == 60_000
    connections = 28 * 28 * 156 + 14 * 14 * 6 * 5 + 10 * 10 * table + 5 * 5 * 16 * 5 + 48_120 + 10_164 + 84 * 10
    assert connections == 340_908


def test_lenet_s_weights_begin_within_the_paper_s_bounds() -> None:
    """2.4 over the inputs of a unit: 75, 100 or 150 of C3, by table I."""
    torch.manual_seed(0)
    net = LeNet5Published(10)
    largest = (net.c3.weight * net.seen).abs().amax((1, 2, 3)).tolist()
    for found, inputs in zip(largest, [75] * 6 + [100] * 9 + [150], strict=True):
        assert 0.9 * 2.4 / inputs < found <= 2.4 / inputs
    assert net.c1.weight.abs().max().item() == pytest.approx(2.4 / 25, rel=0.1)


def test_lenet_s_output_is_the_distance_to_a_code() -> None:
    net = LeNet5Published(10)
    assert set(net.codes.unique().tolist()) == {-1.0, 1.0}
    with torch.no_grad():
        net.f6.weight.zero_()
        wanted = net.codes[4]                            # what F6 gives, through the tanh, is exactly this code
        net.f6.bias.copy_(torch.atanh(wanted / 1.7159) * 1.5)
    found = net(torch.rand(1, 3, 32, 32))[0]
    assert found[4].item() == pytest.approx(0, abs=1e-4)
    differing = (net.codes != wanted).sum(1)
    torch.testing.assert_close(found, -4.0 * differing, rtol=1e-4, atol=1e-3)


def test_lenet_s_loss_is_the_paper_s() -> None:
    distances, labels = torch.tensor([[3.0, 90.0, 200.0], [100.0, 80.0, 160.0]]), torch.tensor([0, 2])
    wanted = [3 + torch.log(torch.exp(-torch.tensor([1.0, 3, 90, 200]).double()).sum()),
              160 + torch.log(torch.exp(-torch.tensor([1.0, 100, 80, 160]).double()).sum())]
    found = LeNet5Published.criterion(-distances, labels)
    assert found.item() == pytest.approx(float(sum(wanted)) / 2, rel=1e-5)


def test_a_map_of_c3_does_not_see_what_the_table_leaves_out() -> None:
    net = LeNet5Published(10)
    net.c3.weight.grad = None
    net(torch.rand(2, 3, 32, 32)).sum().backward()
    assert net.c3.weight.grad is not None
    seen = net.c3.weight.grad.abs().amax((2, 3)) > 0
    assert seen[0].tolist() == [True, True, True, False, False, False]
    assert seen.sum().item() == 60


# AlexNet, VGG, ResNet

def test_response_normalisation_is_the_paper_s_formula() -> None:
    x = torch.randn(2, 9, 3, 3, dtype=torch.float64)
    wanted = torch.empty_like(x)
    for i in range(9):
        near = x[:, max(0, i - 2):i + 3].square().sum(1)
        wanted[:, i] = x[:, i] / (2 + 1e-4 * near) ** 0.75
    torch.testing.assert_close(response_norm()(x), wanted)


@pytest.mark.slow
def test_vgg_s_dense_layers_as_convolutions_give_its_outputs_and_take_any_size() -> None:
    torch.manual_seed(0)
    net = VGG(7, depth=11).eval()
    dense = DenseTest(net).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(dense.scores(x), net(x), rtol=1e-4, atol=1e-4)
        wide = torch.cat([x, torch.randn(1, 3, 224, 64)], 3)
        scores = dense(wide)
        assert scores.shape == (1, 7, 1, 3)              # a place every 32 pixels
        torch.testing.assert_close(dense.scores(wide), scores.mean((2, 3)))
    assert dense.classifier[0].weight.data_ptr() == net.classifier[0].weight.data_ptr()


def test_a_shortcut_without_weights_takes_every_second_pixel() -> None:
    net = ResNet32(10, 20).eval()
    block = net.get_submodule("layer2.0")
    with torch.no_grad():
        block.bn2.weight.zero_()                         # what the convolutions give is nothing
        block.bn2.bias.zero_()
        x = torch.rand(1, 16, 8, 8)
        found = block(x)
    torch.testing.assert_close(found[:, :16], x[:, :, ::2, ::2])
    assert found.shape == (1, 32, 4, 4)
    assert found[:, 16:].abs().max() == 0
    with pytest.raises(ValueError, match=r"6n \+ 2"):
        ResNet32(10, 21)


@pytest.mark.parametrize("name", [
    "lenet5-1998", "lenet5", "alexnet-32", "vgg-32", "vgg-bn-32", "googlenet-32", "inception-v3-32", "resnet20-32",
    "densenet40-32",
])
def test_a_few_steps_on_a_few_pictures_lower_the_loss(name: str) -> None:
    torch.manual_seed(1)
    net = build("classic", arch=name, classes=4)
    labels = torch.arange(8) % 4
    x = torch.randn(8, 3, 32, 32) * 0.3 + F.one_hot(labels, 4)[:, :3, None, None] * 2.0
    steps = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(40 if name.startswith("lenet") else 6):
        loss = F.cross_entropy(net(x), labels)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < 0.9 * losses[0]


def test_auxiliary_classifiers_speak_in_training_alone() -> None:
    for name, count in (("googlenet-bn", 3), ("inception-v3", 2)):
        net, side = on_meta(name).train(), CLASSIC[name].side
        x = torch.empty(2, 3, side, side, device="meta")
        assert [tuple(one.shape) for one in net(x)] == [(2, 1000)] * count
        assert net.eval()(x).shape == (2, 1000)


@pytest.mark.parametrize(("norm", "windows"), [(False, ((0, 5), (3, 8), (6, 11), (9, 14))),
                                               (True, ((0, 4), (3, 7), (7, 11), (10, 14)))])
def test_an_auxiliary_classifier_pools_as_published(norm: bool, windows: tuple[tuple[int, int], ...]) -> None:
    """5x5 by 3 in the paper; torchvision's divides 14 by 4."""
    aux, seen = GoogLeNet(3, norm).aux1, []
    aux.conv.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = torch.rand(2, 512, 14, 14)
    aux.eval()(x)
    wanted = [[x[:, :, a:b, c:d].mean((2, 3)) for c, d in windows] for a, b in windows]
    torch.testing.assert_close(seen[0], torch.stack([torch.stack(row, -1) for row in wanted], -2))
    assert aux(torch.rand(2, 512, 4, 4)).shape == (2, 3)


def test_probabilities_of_one_class_or_of_many() -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0]])
    one, many = (build("classic", arch="lenet5", classes=3, multilabel=m) for m in (False, True))
    assert one.decode(logits, (32, 32)).sum().item() == pytest.approx(1)
    torch.testing.assert_close(many.decode(logits, (32, 32)), logits.sigmoid())
    with pytest.raises(ModelError, match="no classic network 'lenet6'"):
        build("classic", arch="lenet6")


@pytest.mark.parametrize(("net", "config", "says"), [
    ("single_shot", {"arch": "ssd300_resnet"}, "Unknown model ssd300_resnet"),
    ("faster_rcnn", {"classes": 2, "encoder": "nope"}, "Wrong encoder name"),
    ("yolo_v1", {"classes": 2, "width": "wide"}, "element of type str"),
])
def test_values_that_cannot_be_are_told_in_one_line(net: str, config: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=rf"the network '{net}' cannot be built: .*{says}") as told:
        build(net, **config)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400

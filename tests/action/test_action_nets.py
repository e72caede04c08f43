"""The networks: sizes that the papers state, published names, and twins of the arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from vision.engine import load
from vision.engine.program import program_of
from vision.nets import build
from vision.nets.c3d import C3D
from vision.nets.frame2d import FrameNet, shifted
from vision.pulled import KINETICS_MEAN, KINETICS_STD
from vision.tasks.action import Recognizer
from vision.types import Frame
from vision.zoo import CARDS

# C3D's layers, as MMAction2's checkpoint of UCF101 names and shapes them
PUBLISHED = {
    "backbone.conv1a.conv.weight": (64, 3, 3, 3, 3),
    "backbone.conv2a.conv.weight": (128, 64, 3, 3, 3),
    "backbone.conv3a.conv.weight": (256, 128, 3, 3, 3),
    "backbone.conv3b.conv.weight": (256, 256, 3, 3, 3),
    "backbone.conv4a.conv.weight": (512, 256, 3, 3, 3),
    "backbone.conv4b.conv.weight": (512, 512, 3, 3, 3),
    "backbone.conv5a.conv.weight": (512, 512, 3, 3, 3),
    "backbone.conv5b.conv.weight": (512, 512, 3, 3, 3),
    "backbone.fc6.weight": (4096, 8192),
    "backbone.fc7.weight": (4096, 4096),
    "cls_head.fc_cls.weight": (101, 4096),
}


def test_c3d_has_the_parameters_and_the_multiply_adds_that_are_published() -> None:
    with torch.device("meta"):
        net = build("c3d", classes=101).eval()
        assert sum(p.numel() for p in net.parameters()) == 78_409_573
        adds = 0

        def count(layer: nn.Module, _: object, out: torch.Tensor) -> None:
            nonlocal adds
            adds += out.numel() * layer.weight[0].numel()

        for layer in net.modules():
            if isinstance(layer, nn.Conv3d | nn.Linear):
                layer.register_forward_hook(count)
        logits, fc6, pool5 = net(torch.zeros(1, 3, 16, 112, 112))
    assert logits.shape == (1, 101)
    assert fc6.shape == (1, 4096)
    assert pool5.shape == (1, 8192)
    # MMAction2 states 38,615,475,200: its tool counts biases, ReLUs and pools too
    assert adds == pytest.approx(38_615_475_200, rel=2e-3)


def test_the_first_pool_leaves_time_alone() -> None:
    net = C3D(3, width=1 / 16, side=32).eval()
    seen: list[tuple[int, ...]] = []
    for name in ("conv2a", "conv3a", "conv4a", "conv5a"):
        net.get_submodule(name).register_forward_hook(lambda m, i, o: seen.append(tuple(i[0].shape[2:])))
    net(torch.zeros(1, 3, 16, 32, 32))
    assert seen == [(16, 16, 16), (8, 8, 8), (4, 4, 4), (2, 2, 2)]


def test_lite_is_a_quarter_as_wide_and_has_batch_norm() -> None:
    full, lite = (dict(build(n, classes=3).named_parameters()) for n in ("c3d", "c3d_lite"))
    assert lite["conv4b.0.weight"].shape[0] * 4 == full["conv4b.weight"].shape[0]
    assert lite["fc6.weight"].shape[0] * 4 == full["fc6.weight"].shape[0]
    assert "conv1a.1.weight" in lite


def test_differences_show_what_moves_and_nothing_that_stands_still() -> None:
    net = C3D(3, width=1 / 16, norm=True, side=32, difference=True).eval()
    moving, still = torch.rand(2, 3, 16, 32, 32), torch.rand(2, 3, 1, 32, 32)
    seen: list[torch.Tensor] = []
    net.conv1a.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(moving)
    net(moving + still)
    alone, beside = seen
    torch.testing.assert_close(beside, alone, rtol=0, atol=1e-6)
    assert torch.equal(alone[:, :, 0], torch.zeros(2, 3, 32, 32))          # the first has none before it
    assert torch.equal(alone[:, :, 1:], moving[:, :, 1:] - moving[:, :, :-1])


def test_mmaction2s_checkpoint_loads_by_its_names() -> None:
    with torch.device("meta"):
        published = {k: v.shape for k, v in build("c3d", classes=101).state_dict().items()}
    named = {
        k.replace("cls_head.fc_cls", "fc8").replace("backbone.", "").replace(".conv.", "."): v
        for k, v in PUBLISHED.items()
    }
    assert {k: tuple(v) for k, v in published.items() if k.endswith("weight")} == named

    small, other = C3D(5, width=1 / 16, side=32).eval(), C3D(5, width=1 / 16, side=32).eval()
    theirs = {}
    for key, value in other.state_dict().items():
        layer, leaf = key.split(".")
        if layer.startswith("conv"):
            theirs[f"backbone.{layer}.conv.{leaf}"] = value
        else:
            theirs[f"cls_head.fc_cls.{leaf}" if layer == "fc8" else f"backbone.{key}"] = value
    assert {k for k in theirs if k.endswith("weight")} == set(PUBLISHED)
    small.load_state_dict(theirs)
    clip = torch.rand(1, 3, 16, 32, 32)
    assert torch.equal(small(clip)[0], other(clip)[0])


def test_a_checkpoint_file_with_its_surroundings_runs(tmp_path: Path) -> None:
    config = {"classes": 5, "width": 1 / 16, "side": 32}
    other = C3D(**config).eval()
    state = {f"backbone.{k}": v for k, v in other.state_dict().items() if not k.startswith("fc8")}
    state |= {f"cls_head.fc_cls.{leaf}": other.state_dict()[f"fc8.{leaf}"] for leaf in ("weight", "bias")}
    path = tmp_path / "c3d.pth"
    torch.save({"meta": {"epoch": 45}, "state_dict": state}, path)
    one = replace(CARDS["c3d-ucf101"], file=str(path), sha256="", names=tuple("abcde"), config=config)
    batch = torch.randint(0, 256, (1, 16, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        logits = program_of(one).module()(batch)[0]
        mean = torch.tensor([104.0, 117.0, 128.0])         # of red, green, blue, as MMAction2 subtracts them
        rgb = (batch.flip(-1).float() - mean).permute(0, 4, 1, 2, 3)
        assert torch.allclose(logits, other(rgb)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvisions_kinetics_files_load_and_give_its_scores(arch: str) -> None:
    theirs = getattr(torchvision.models.video, arch)(weights=None, num_classes=4).eval()
    ours = build("video_resnet", arch=arch, classes=4).eval()
    ours.load_state_dict(theirs.state_dict())
    clip = torch.rand(1, 3, 4, 32, 32)
    with torch.inference_mode():
        logits, pool = ours(clip)
        assert torch.allclose(logits, theirs(clip), atol=1e-5)
    assert pool.shape == (1, 512)


@pytest.mark.slow
def test_a_kinetics_file_recognises_on_a_stream(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.video.mc3_18(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "mc3.pth")
    card = replace(CARDS["mc3-18-kinetics"], file=str(tmp_path / "mc3.pth"), sha256="", url=None)
    random = np.random.default_rng(0)
    frames = [Frame(random.integers(0, 256, (90, 120, 3), np.uint8), i, i / 15) for i in range(20)]
    with Recognizer(load(card, precision="fp32"), card) as recognizer:
        stream = recognizer.stream(every=10.0)
        *early, last, _, _, _, _ = [stream(frame) for frame in frames]
        pixels = np.stack([recognizer.pixels(frame.image) for frame in frames[:16]])
    assert early == [None] * 15                          # a window is 16 frames, 15 a second
    clip = torch.from_numpy(pixels[..., ::-1] / 255).float()                    # RGB
    clip = (clip - torch.tensor(KINETICS_MEAN)) / torch.tensor(KINETICS_STD)
    with torch.inference_mode():
        want = theirs(clip.permute(3, 0, 1, 2)[None]).softmax(1)[0].numpy()
    assert last is not None
    assert np.allclose(last.probs, want, atol=2e-4)
    assert len(recognizer.names) == len(last.probs) == 400


def test_the_logits_of_a_clip_are_the_mean_of_its_frames() -> None:
    net = FrameNet(3).eval()
    clip = torch.rand(2, 3, 4, 64, 64)
    with torch.inference_mode():
        whole, pool = net(clip)
        frames, _ = net(clip.transpose(1, 2).flatten(0, 1))
    assert torch.allclose(whole, frames.view(2, 4, 3).mean(1), atol=1e-5)
    assert pool.shape == (2, 1280)


def test_two_streams_lie_beside_each_other_with_length_one() -> None:
    net = FrameNet(3, two_stream=True).eval()
    pairs = torch.rand(2, 3, 2, 64, 64)
    with torch.inference_mode():
        _, pool = net(pairs)
        _, again = net(pairs.flip(2))
    assert pool.shape == (2, 2560)
    assert torch.allclose(pool.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(pool[:, :1280], again[:, 1280:], atol=1e-6)


def test_temporal_shift_against_a_loop() -> None:
    x = torch.rand(6, 16, 2, 2)                            # two clips of three frames
    want = np.zeros_like(x.numpy())
    for clip in range(2):
        for t in range(3):
            for c in range(16):
                source = t - 1 if c < 2 else t + 1 if c < 4 else t
                if 0 <= source < 3:
                    want[clip * 3 + t, c] = x[clip * 3 + source, c]
    assert np.array_equal(shifted(x, 3).numpy(), want)


def test_with_temporal_shift_the_order_of_frames_counts() -> None:
    clip = torch.rand(1, 3, 4, 64, 64) * 4
    with torch.inference_mode():
        for shift, differs in ((False, False), (True, True)):
            torch.manual_seed(0)
            net = FrameNet(3, shift=shift).eval()
            there, back = net(clip)[1], net(clip.flip(2))[1]
            same = torch.allclose(there, back, rtol=1e-4, atol=0)
            assert same is not differs

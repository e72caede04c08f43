"""Make `dlib-face.safetensors` and `face-attributes.safetensors` out of the networks of face-api.js.

    npm pack @vladmandic/face-api@1.7.15
    tar xzf vladmandic-face-api-1.7.15.tgz package/model
    python tools/make_faces.py package/model weights

Its bytes are taken over as they are, each with the scale and the offset of its layer; what the package holds as
floats is stored as bytes too, channel by channel. Layers that multiply and add (dlib's norms, folded there already)
go into the convolution before them. weights/README.md has the digests, weights/faces.md what was measured.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vision.nets.byte_conv import ByteConv2d
from vision.nets.face_attributes import FaceAttributes
from vision.nets.face_resnet import FaceResNet

SHA256 = {
    "face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
    "face_expression_model.bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    "age_gender_model.bin": "49f92bbc0afef2342c4385e4a2b0acb6d7a727c6f0aa539499719a81acf9abaa",
}
LAYERS = (                               # of the recognition network, in the order of its blocks
    *(f"conv32_{i}" for i in (1, 2, 3)), "conv64_down", *(f"conv64_{i}" for i in (1, 2, 3)),
    "conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out",
)


class Model:
    """A model of TensorFlow.js: by name the numbers, and those that are bytes with scale and offset."""

    def __init__(self, folder: Path, name: str) -> None:
        data, at = (folder / f"{name}_model.bin").read_bytes(), 0
        if hashlib.sha256(data).hexdigest() != SHA256[f"{name}_model.bin"]:
            raise SystemExit(f"{folder}/{name}_model.bin is not the file of @vladmandic/face-api 1.7.15")
        self.values: dict[str, np.ndarray] = {}
        self.bytes: dict[str, tuple[np.ndarray, float, float]] = {}
        manifest = json.loads((folder / f"{name}_model-weights_manifest.json").read_text())
        for entry in manifest[0]["weights"]:
            packed = entry.get("quantization")
            kind = np.dtype(np.uint8 if packed else np.float32)
            count = int(np.prod(entry["shape"], dtype=np.int64))
            raw = np.frombuffer(data, kind, count, at).reshape(entry["shape"])
            at += count * kind.itemsize
            if packed:
                self.bytes[entry["name"]] = (raw, packed["scale"], packed["min"])
                raw = raw.astype(np.float32) * np.float32(packed["scale"]) + np.float32(packed["min"])
            self.values[entry["name"]] = raw
        assert at == len(data)

    def fill(self, conv: ByteConv2d, name: str, bias: str = "", factor: str = "") -> None:
        """Give a convolution the filters `name`, with the bias and what follows it as a factor a channel."""
        rows = ByteRows(name)
        times = torch.from_numpy(self.values[f"{factor}/weights"]) if factor else torch.ones(len(conv.bias))
        shift = torch.from_numpy(self.values[bias].copy()) if bias else torch.zeros(len(conv.bias))
        if factor:
            shift = shift * times + torch.from_numpy(self.values[f"{factor}/biases"])
        conv.bias.copy_(shift)
        if name in self.bytes:
            raw, scale, low = self.bytes[name]
            conv.weight.copy_(rows(raw))
            conv.scale.copy_(times * scale)
            conv.low.copy_(times * low)
        else:
            conv.take(rows(self.values[name]) * times.view(-1, 1, 1, 1))


class ByteRows:
    """TensorFlow's order of a filter's numbers to torch's: (h,w,in,out), (h,w,in,1) of channels by themselves,
    (in,out) of a dense layer."""

    def __init__(self, name: str) -> None:
        self.alone = name.endswith("depthwise_filter")

    def __call__(self, values: np.ndarray) -> Tensor:
        if values.ndim == 2:
            values = values[None, None]
        return torch.from_numpy(values.transpose((2, 3, 0, 1) if self.alone else (3, 2, 0, 1)).copy())


@torch.no_grad()
def recognition(folder: Path) -> FaceResNet:
    """The network of identity."""
    model, net = Model(folder, "face_recognition"), FaceResNet()

    def fill(conv: ByteConv2d, name: str) -> None:
        model.fill(conv, f"{name}/conv/filters", f"{name}/conv/bias", f"{name}/scale")

    fill(net.stem, "conv32_down")
    for block, name in zip(net.blocks, LAYERS, strict=True):
        fill(block.conv1, f"{name}/conv1")
        fill(block.conv2, f"{name}/conv2")
    model.fill(net.head, "fc")
    return net


@torch.no_grad()
def attributes(folder: Path) -> FaceAttributes:
    """The networks of expression, age and gender."""
    mood, years, net = Model(folder, "face_expression"), Model(folder, "age_gender"), FaceAttributes()

    def fill(model: Model, part: Any, name: str) -> None:
        convs = [one for one in part.modules() if isinstance(one, ByteConv2d)]
        if len(convs) == 1:
            model.fill(convs[0], f"{name}/filters", f"{name}/bias")
        else:
            model.fill(convs[0], f"{name}/depthwise_filter")
            model.fill(convs[1], f"{name}/pointwise_filter", f"{name}/bias")

    for i, dense in enumerate(net.dense):
        for k, conv in enumerate(dense.convs):
            fill(mood, conv, f"dense{i}/conv{k}")
    mood.fill(net.expression, "fc/weights", "fc/bias")
    enter, _, first, second, one, two, third, last, _ = net.xception
    fill(years, enter, "entry_flow/conv_in")
    for block, name in ((first, "entry_flow/reduction_block_0"), (second, "entry_flow/reduction_block_1"),
                        (third, "exit_flow/reduction_block")):
        for k, conv in enumerate(block.convs):
            fill(years, conv, f"{name}/separable_conv{k}")
        fill(years, block.beside, f"{name}/expansion_conv")
    for block, name in ((one, "middle_flow/main_block_0"), (two, "middle_flow/main_block_1")):
        for k, conv in enumerate(block.convs):
            fill(years, conv, f"{name}/separable_conv{k}")
    fill(years, last, "exit_flow/separable_conv")
    years.fill(net.age, "fc/age/weights", "fc/age/bias")
    years.fill(net.gender, "fc/gender/weights", "fc/gender/bias")
    return net


def write(net: nn.Module, path: Path) -> None:
    """The network's bytes, and its few floats as they are."""
    path.write_bytes(save({name: value.contiguous() for name, value in net.state_dict().items()}))
    print(f"{path}: {path.stat().st_size} bytes, {hashlib.sha256(path.read_bytes()).hexdigest()}")


def main(folder: str, target: str) -> None:
    """Make both files."""
    write(recognition(Path(folder)), Path(target) / "dlib-face.safetensors")
    write(attributes(Path(folder)), Path(target) / "face-attributes.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])

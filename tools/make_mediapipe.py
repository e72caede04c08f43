"""Make the face, hand, pose and person weights that ship out of converted MediaPipe graphs.

    python tools/make_mediapipe.py CONVERTED weights [NAME.onnx ...]

CONVERTED holds the ONNX files that tf2onnx makes of the TFLite files in two PyPI wheels
(weights/README.md says which, with their digests). Each becomes a graph of the engine's contract:
uint8 BGR (B,H,W,3) in, any B, normalisation inside, and outputs after their own decoding.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Recipe:
    """made: the file that ships. low: what byte 0 becomes (byte 255 becomes 1). keep: the outputs
    that are used. anchors: (stride, anchors a cell) of each layer of a detector. any_size: it is to
    take pictures of any size; its anchors, one a cell of one layer, are made in the graph."""

    made: str
    low: float
    keep: tuple[str, ...]
    anchors: tuple[tuple[int, int], ...] = ()
    any_size: bool = False


RECIPES = {
    "fdl_face_detection_full_range": Recipe(
        "blazeface-full.onnx", -1.0, ("reshaped_regressor_face_4", "reshaped_classifier_face_4"), ((4, 1),),
        any_size=True,
    ),
    "fdl_face_detection_back": Recipe(
        "blazeface-back.onnx", -1.0, ("regressors", "classificators"), ((16, 2), (32, 6))
    ),
    "mp_face_landmark": Recipe("facemesh.onnx", 0.0, ("conv2d_21", "conv2d_31")),
    "mp_iris_landmark": Recipe("iris.onnx", 0.0, ("output_eyes_contours_and_brows", "output_iris")),
    "mp_pose_landmark_full": Recipe("blazepose-full.onnx", 0.0, ("Identity", "Identity_1")),
    "mp_selfie_segmentation": Recipe("selfie.onnx", 0.0, ("activation_10",)),
    "mp_palm_detection_full": Recipe("blazepalm.onnx", 0.0, ("Identity", "Identity_1"), ((8, 2), (16, 6))),
    "mp_hand_landmark_lite": Recipe(
        "handmesh.onnx", 0.0, ("Identity", "Identity_1", "Identity_2", "Identity_3"),
    ),
}


class Graph:
    """An ONNX graph under the knife."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(path)
        self.graph = self.model.graph

    def constant(self, name: str, value: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def any_batch(self) -> None:
        """A Reshape to a leading 1 keeps the batch (0: as it came) instead."""
        shapes = {i.name: numpy_helper.to_array(i) for i in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Reshape":
                shape = shapes[node.input[1]].copy()
                shape[0] = 0
                node.input[1] = self.constant(f"{node.output[0]}/shape", shape)

    def half_size(self) -> None:
        """Weights that are float16, unpacked by the converter, become float16 again, with a Cast."""
        casts, kept = [], []
        for tensor in self.graph.initializer:
            values = numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                half = values.astype(np.float16) if values.dtype == np.float32 else values
            if values.dtype != np.float32 or values.size < 16 or (half.astype(np.float32) != values).any():
                kept.append(tensor)
                continue
            kept.append(numpy_helper.from_array(half, f"{tensor.name}_h"))
            casts.append(helper.make_node("Cast", [f"{tensor.name}_h"], [tensor.name], to=TensorProto.FLOAT))
        body = list(self.graph.node)
        del self.graph.initializer[:], self.graph.node[:]
        self.graph.initializer.extend(kept)
        self.graph.node.extend([*casts, *body])

    def bytes_in(self, low: float, any_size: bool) -> tuple[int, int]:
        """The input becomes uint8 BGR, of any batch; returns the height and width that it had."""
        old = self.graph.input[0]
        height, width = (d.dim_value for d in old.type.tensor_type.shape.dim[1:3])
        body = list(self.graph.node)
        del self.graph.node[:], self.graph.input[:]
        sides = ["height", "width"] if any_size else [height, width]
        self.graph.input.append(
            helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *sides, 3])
        )
        order = self.constant("rgb_of_bgr", np.array([2, 1, 0]))
        rgb = self.node("Gather", ["image", order], "rgb", axis=3)
        x = self.node("Cast", [rgb], "rgb/float", to=TensorProto.FLOAT)
        scale = self.constant("scale", np.float32((1.0 - low) / 255.0))
        x = self.node("Mul", [x, scale], "rgb/scaled")
        self.node("Add", [x, self.constant("low", np.float32(low))], old.name)
        self.graph.node.extend(body)
        return height, width

    def centred(self, rows: str, columns: int, output: str) -> str:
        """Rows that begin with x, y, moved by half a pixel. The networks learned from crops whose pixel
        i was sampled at i, so that theirs are places of pixel centres; ours are of pixels' corners."""
        half = np.zeros(columns, np.float32)
        half[:2] = 0.5
        return self.node("Add", [rows, self.constant(f"{output}/half", half)], output)

    def anchors(self, stride: int) -> str:
        """(A,16): what the places among a row's numbers are relative to: its cell's centre in pixels."""
        sides = self.node("Shape", ["image"], "sides", start=1, end=3)
        cells = self.node("Div", [sides, self.constant("stride", np.array(stride))], "cells")
        one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
        ones = self.node("ConstantOfShape", [cells], "ones", value=one)
        yx = self.node("Transpose", [self.node("NonZero", [ones], "indices")], "yx", perm=[1, 0])
        yx = self.node("Cast", [yx], "yx/float", to=TensorProto.FLOAT)
        yx = self.node("Add", [yx, self.constant("middle", np.float32(0.5))], "centres")
        spread = np.tile(np.array([[0, 1], [1, 0]], np.float32) * stride, 8)
        spread[:, 2:4] = 0                   # width and height are no places
        return self.node("MatMul", [yx, self.constant("spread", spread)], "anchors")

    def outputs(self, shapes: dict[str, tuple[int | str, ...]]) -> None:
        """These outputs and what they need: everything else goes."""
        del self.graph.output[:], self.graph.value_info[:]
        for name, shape in shapes.items():
            info = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            self.graph.output.append(info)
        needed, live = set(shapes), []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                live.append(node)
                needed.update(node.input)
        kept = [i for i in self.graph.initializer if i.name in needed]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(reversed(live))
        self.graph.initializer.extend(kept)


def grid(size_hw: tuple[int, int], layers: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The anchors' centres: (A,2) xy in input pixels, row by row, the anchors of a cell together."""
    parts = []
    for stride, repeats in layers:
        y, x = np.mgrid[: size_hw[0] // stride, : size_hw[1] // stride].astype(np.float32) + 0.5
        parts.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2) * stride, repeats, axis=0))
    return np.concatenate(parts)


def make(source: Path, target: Path, recipe: Recipe) -> None:
    g = Graph(source)
    g.any_batch()
    g.half_size()
    size = g.bytes_in(recipe.low, recipe.any_size)
    first = recipe.keep[0]
    if recipe.anchors:                       # (B,A,17): centre, size and six points in pixels, and a score; palms 19
        if recipe.any_size:
            count, anchors = "anchors", g.anchors(recipe.anchors[0][0])
        else:
            centres = grid(size, recipe.anchors)
            columns = 19 if recipe.made == "blazepalm.onnx" else 17
            shift = np.tile(centres, (1, columns // 2))
            shift[:, 2:4] = 0                # width and height are no places
            count, anchors = len(centres), g.constant("anchors", shift[None])
        boxes = g.node("Add", [first, anchors], "placed")
        scores = g.node("Sigmoid", [recipe.keep[1]], "probability")
        columns = 17 if recipe.any_size else columns
        name = "palms" if columns == 19 else "faces"
        g.outputs({g.node("Concat", [boxes, scores], name, axis=2): (count, columns)})
    elif recipe.made == "facemesh.onnx":
        shape = g.constant("points/shape", np.array([0, 468, 3]))
        points = g.centred(g.node("Reshape", [first, shape], "rows"), 3, "points")
        flat = g.node("Reshape", [recipe.keep[1], g.constant("presence/shape", np.array([0]))], "logit")
        g.outputs({points: (468, 3), g.node("Sigmoid", [flat], "presence"): ()})
    elif recipe.made == "iris.onnx":
        eye = g.node("Reshape", [first, g.constant("eye/shape", np.array([0, 71, 3]))], "eye/rows")
        iris = g.node("Reshape", [recipe.keep[1], g.constant("iris/shape", np.array([0, 5, 3]))], "iris/rows")
        eye, iris = g.centred(eye, 3, "eye"), g.centred(iris, 3, "iris")
        g.outputs({eye: (71, 3), iris: (5, 3)})
    elif recipe.made == "handmesh.onnx":
        shape = g.constant("hand/shape", np.array([0, 21, 3]))
        points = g.centred(g.node("Reshape", [first, shape], "rows"), 3, "points")
        world = g.node("Reshape", [recipe.keep[3], shape], "world")
        alone = g.constant("flag/shape", np.array([0]))
        presence, left = (g.node("Reshape", [recipe.keep[k], alone], name)
                          for k, name in ((1, "presence"), (2, "side")))
        g.outputs({points: (21, 3), presence: (), left: (), world: (21, 3)})
    elif recipe.made == "blazepose-full.onnx":
        shape = g.constant("points/shape", np.array([0, 39, 5]))
        rows = g.node("Reshape", [first, shape], "rows")

        def part(name: str, start: int, end: int) -> str:
            cut = [g.constant(f"{name}/start", np.array([0, start])),
                   g.constant(f"{name}/end", np.array([33, end])),
                   g.constant(f"{name}/axes", np.array([1, 2]))]
            return g.node("Slice", [rows, *cut], name)

        sure = g.node("Sigmoid", [part("logits", 3, 5)], "probabilities")
        points = g.node("Concat", [g.centred(part("crop", 0, 3), 3, "places"), sure], "points", axis=2)
        flag = g.node("Reshape", [recipe.keep[1], g.constant("flag/shape", np.array([0]))], "presence")
        g.outputs({points: (33, 5), flag: ()})
    else:
        mask = g.node("Reshape", [first, g.constant("mask/shape", np.array([0, *size]))], "mask")
        g.outputs({mask: size})
    g.graph.name = target.stem
    g.model.producer_name, g.model.producer_version, g.model.doc_string = "vision", "", ""
    model = onnx.shape_inference.infer_shapes(g.model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def main() -> None:
    converted, folder = map(Path, sys.argv[1:3])
    for name, recipe in RECIPES.items():
        if sys.argv[3:] and recipe.made not in sys.argv[3:]:
            continue
        make(converted / f"{name}.onnx", folder / recipe.made, recipe)


if __name__ == "__main__":
    main()

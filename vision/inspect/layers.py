"""A network's graph, layer by layer: shapes, parameters, multiply-adds, memory, receptive fields. Read off ONNX, which
every model of the suite becomes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vision.errors import ModelError

# what is written beside the layer that it follows, where nothing else sees what lies between
_FOLLOWERS = frozenset({
    "BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu",
    "Selu", "Gelu", "Softplus", "Softmax", "Mish", "Dropout", "Identity", "LRN", "Flatten", "Cast",
})
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
_KERNELS = _POOLS | {"Conv", "ConvTranspose"}
_WHOLE = frozenset({"GlobalAveragePool", "GlobalMaxPool", "Gemm", "MatMul", "ReduceMean", "ReduceSum", "ReduceMax"})
_MOVED = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout"})
_TYPES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}           # bytes, by ONNX's number of a type


@dataclass
class Layer:
    """One layer, with what only follows it (`BatchNormalization`, `Relu`).

    name: of the module, as in the weights' keys. kinds: ONNX operators, in order. inputs: places of the layers whose
    output it takes; -1: the picture. shape: of its output. kernel, stride: (h, w), of a convolution or pool; groups.
    parameters: how many numbers learn here, counted where they are first used. macs: multiply-adds of convolutions and
    matrix products, for one picture. memory: bytes of its output. sees: pixels of the input, a side, that one place of
    its output sees; None: all of it. jump: pixels between two places. ms: time of it, where that was measured.
    nodes: names in the ONNX graph.
    """

    name: str
    kinds: list[str]
    inputs: tuple[int, ...]
    shape: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    parameters: int = 0
    macs: int = 0
    memory: int = 0
    sees: int | None = 1
    jump: float | None = 1.0
    ms: float | None = None
    nodes: list[str] = field(default_factory=list)


@dataclass
class Network:
    """A network's layers, in the order in which they run. title: for people. shape: of its input."""

    title: str
    shape: tuple[int, ...]
    layers: list[Layer]

    @property
    def parameters(self) -> int:
        """How many numbers learn."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        return sum(layer.macs for layer in self.layers)

    @property
    def memory(self) -> int:
        """Bytes of all outputs: what training keeps, for one picture."""
        return sum(layer.memory for layer in self.layers)

    @property
    def ms(self) -> float | None:
        """Time of all layers together."""
        times = [layer.ms for layer in self.layers if layer.ms is not None]
        return sum(times) if times else None


def _run(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Every tensor that a graph makes of an empty picture; none where it does not run."""
    import onnx
    import onnxruntime

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {one.name for one in whole.graph.output}
    names = list(dict.fromkeys(name for node in whole.graph.node for name in node.output if name))
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(one) for one in names if one not in known)
    constant = {one.name for one in whole.graph.initializer}
    taken = {one.name: np.zeros([side or 1 for side in shapes[one.name]],
                                onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type))
             for one in whole.graph.input if one.name not in constant}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL      # nothing is fused away
    try:
        session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(names, taken), strict=True))
    except Exception:                                    # of onnxruntime: what is inferred has to do
        return {}


def read_layers(
    graph: bytes, title: str, learns: Iterable[str] | None = None, leaves: Collection[str] = (),
) -> Network:
    """The layers of an ONNX graph for pictures of one size.

    learns: names of the tensors that learn, where they are known; else every float tensor that a layer uses does, but
        for the statistics of batch normalisation, and so do weights in int8.
    leaves: modules that are one layer, however many nodes they became.
    Raises ModelError for a graph in which nothing is made of the picture.
    """
    import onnx

    model = onnx.load_from_string(graph)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = {v.name: v.type.tensor_type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    shapes = {name: tuple(d.dim_value for d in kind.shape.dim) for name, kind in values.items()}
    sizes = {name: _TYPES.get(kind.elem_type, 4) for name, kind in values.items()}
    if any(0 in shapes.get(name, (0,))[1:] for node in model.graph.node for name in node.output):
        found = _run(model, shapes)                      # some shapes depend on values: they are seen, not inferred
        shapes |= {name: array.shape for name, array in found.items()}
        sizes |= {name: array.itemsize for name, array in found.items()}
    weights = {w.name: w for w in model.graph.initializer}
    for name, weight in weights.items():
        shapes[name] = tuple(weight.dims)
    picture = next(v for v in model.graph.input if v.name not in weights)
    reader = _Reader(shapes, sizes, weights, None if learns is None else set(learns))
    reader.made[picture.name] = -1
    for node in model.graph.node:
        reader.take(node)
    if not reader.layers:
        raise ModelError(f"{title} has no layers: nothing is made of its input.")
    batch = max(1, shapes[picture.name][0])
    for layer in reader.layers:                          # of one picture
        layer.macs, layer.memory = layer.macs // batch, layer.memory // batch
    return Network(title, shapes[picture.name], _joined(reader.layers, leaves))


class _Reader:
    """Takes nodes in order. made: of each tensor that depends on the picture, the layer that gives it."""

    def __init__(
        self, shapes: dict[str, tuple[int, ...]], sizes: dict[str, int], weights: Mapping[str, Any],
        learns: set[str] | None,
    ) -> None:
        self.shapes, self.sizes, self.weights, self.learns = shapes, sizes, weights, learns
        self.layers: list[Layer] = []
        self.made: dict[str, int] = {}
        self.held: dict[str, set[str]] = {name: {name} for name in weights}      # tensors -> weights they are made of
        self.counted: set[str] = set()
        self.rounded: set[str] = set()                                # weights in int8

    def take(self, node: Any) -> None:
        """One node: a layer, where it works on what comes of the picture and gives more than sizes of it."""
        given = [name for name in node.input if name]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):     # scales say how numbers are written; none learns
            given = given[:1]
        fixed = set().union(*(self.held.get(name, set()) for name in given)) if given else set()
        moving = [name for name in given if name in self.made]
        if node.op_type == "DequantizeLinear":
            self.rounded |= fixed
        if not moving or node.op_type in ("Shape", "Size"):
            for name in node.output:
                self.held[name] = fixed
            return
        options = {a.name: a for a in node.attribute}
        out = node.output[0]
        layer = Layer(
            _module(node.name), [node.op_type], tuple(dict.fromkeys(self.made[name] for name in moving)),
            self.shapes.get(out, ()), nodes=[node.name],
        )
        layer.memory = math.prod(layer.shape) * self.sizes.get(out, 4) if node.op_type not in _MOVED else 0
        layer.parameters = self._parameters(node, fixed)
        layer.macs = self._macs(node, options, layer)
        self._window(node, options, layer)
        self._field(node, layer, moving)
        for name in node.output:
            self.made[name] = len(self.layers)
        self.layers.append(layer)

    def _parameters(self, node: Any, fixed: set[str]) -> int:
        if node.op_type == "BatchNormalization":                      # its last two inputs are statistics
            fixed = fixed - set(node.input[3:5])
        new = {
            name for name in fixed - self.counted
            if (name in self.learns if self.learns is not None else
                (name in self.rounded or self.weights[name].data_type in (1, 10, 16))
                and not name.startswith("normalise."))
        }
        self.counted |= new
        return sum(math.prod(self.weights[name].dims) for name in new)

    def _macs(self, node: Any, options: dict[str, Any], layer: Layer) -> int:
        first, *rest = (self.shapes.get(name, ()) for name in node.input)
        if node.op_type == "Conv":
            return math.prod(layer.shape) * math.prod(rest[0][1:])
        if node.op_type == "ConvTranspose":
            return math.prod(first) * math.prod(rest[0][1:])
        if node.op_type == "Gemm":
            transposed = "transA" in options and options["transA"].i
            return math.prod(layer.shape) * (first[0] if transposed else first[-1])
        if node.op_type == "MatMul" and first:
            return math.prod(layer.shape) * first[-1]
        return 0

    def _window(self, node: Any, options: dict[str, Any], layer: Layer) -> None:
        if node.op_type not in _KERNELS:
            return
        sides = len(layer.shape) - 2
        kernel = options["kernel_shape"].ints if "kernel_shape" in options else self.shapes[node.input[1]][2:]
        layer.kernel = tuple(kernel)
        layer.stride = tuple(options["strides"].ints) if "strides" in options else (1,) * sides
        layer.groups = options["group"].i if "group" in options else 1
        self.spread = tuple(options["dilations"].ints) if "dilations" in options else (1,) * sides

    def _field(self, node: Any, layer: Layer, moving: list[str]) -> None:
        """The receptive field and the jump, from those of what comes in (Araujo et al. 2019)."""
        came = [self.layers[self.made[name]] for name in moving if self.made[name] >= 0]
        fields = [one.sees for one in came] or [1]
        jumps = [one.jump for one in came if one.jump is not None]
        jump = max(jumps) if jumps else (1.0 if not came else None)
        seen = None if None in fields else max(f for f in fields if f is not None)
        axes = len(self.shapes.get(moving[0], ()))
        every = node.op_type in _POOLS and layer.kernel == self.shapes.get(moving[0], ())[2:]
        if every or (node.op_type in _WHOLE and axes in (2, 4) and self._spans(node, layer, moving)):
            seen, jump = None, None
        elif layer.kernel and seen is not None and jump is not None:
            size = max((k - 1) * d + 1 for k, d in zip(layer.kernel[-2:], self.spread[-2:], strict=True))
            if node.op_type == "ConvTranspose":
                jump = jump / layer.stride[-1]
            seen = seen + round((size - 1) * jump)
            jump = jump if node.op_type == "ConvTranspose" else jump * layer.stride[-1]
        elif node.op_type in ("Resize", "Upsample") and jump is not None:
            before, after = self.shapes.get(moving[0], ()), layer.shape
            if len(before) == len(after) == 4 and before[-1] and after[-1]:
                seen = None if seen is None else seen + round(jump)
                jump = jump * before[-1] / after[-1]
        layer.sees, layer.jump = seen, jump

    def _spans(self, node: Any, layer: Layer, moving: list[str]) -> bool:
        """Whether the node looks at every place: a pool over all, a dense layer over more than channels."""
        before = self.shapes.get(moving[0], ())
        if node.op_type in ("Gemm", "MatMul"):
            return len(before) == 2 or len(moving) > 1
        return len(before) == 4 and math.prod(layer.shape[2:] or (1,)) == 1


def _module(name: str) -> str:
    """`/net/layer1/layer1.0/conv1/Conv` as torch's name of the module: `layer1.0.conv1`."""
    made = ""
    for part in name.strip("/").split("/")[:-1]:
        if part == "net" and not made:
            continue
        made = part if not made or part.startswith(f"{made}.") else f"{made}.{part}"
    return made or name.strip("/").split("/")[-1]


def _joined(layers: list[Layer], leaves: Collection[str]) -> list[Layer]:
    """What only follows a layer, as a part of it; and without what moves numbers about in front of all layers."""
    users: dict[int, int] = {}
    for layer in layers:
        for place in layer.inputs:
            users[place] = users.get(place, 0) + 1
    kept: list[Layer] = []
    into: dict[int, int] = {-1: -1}
    for place, layer in enumerate(layers):
        if kept and layer.name in leaves and layer.name == kept[-1].name and layer.inputs[0] >= 0:
            _absorb(kept[-1], layer)
            into[place] = len(kept) - 1
            continue
        before = into[layer.inputs[0]] if len(layer.inputs) == 1 else -2
        follows = layer.kinds[0] in _FOLLOWERS or (layer.kinds[0] in _MOVED)
        if before >= 0 and follows and users[layer.inputs[0]] == 1:
            _absorb(kept[before], layer)
            into[place] = before
            continue
        if before == -1 and not layer.macs and layer.kinds[0] not in _KERNELS and len(layer.inputs) == 1 \
                and len(layer.shape) in (4, 5) and (layer.sees or 0) <= 1 and all(k == -1 for k in into.values()):
            into[place] = -1                             # bytes to normalised numbers: no layer of the network
            continue
        layer.inputs = tuple(dict.fromkeys(into[i] for i in layer.inputs))
        into[place] = len(kept)
        kept.append(layer)
    return kept


def _absorb(host: Layer, layer: Layer) -> None:
    """Make a layer a part of the one that it follows."""
    host.kinds += layer.kinds
    host.nodes += layer.nodes
    host.parameters += layer.parameters
    host.macs += layer.macs
    host.memory += layer.memory
    host.shape, host.sees, host.jump = layer.shape, layer.sees, layer.jump

"""What a back end compiles: a card's network as a torch module, or as an ONNX file.

The graphs of networks that ship, ship too (`vision.engine.skeleton`). Those of others are exported once,
with torch, and kept in the user's cache: no back end but torch's own has to import torch then.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.card import Card
from vision.engine import cache, skeleton
from vision.engine.base import CannotRun, refuse_fork
from vision.errors import EngineError, VisionError, WeightsError
from vision.weights import resolve, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from vision.nets.deploy import Deploy

Shape = tuple[int, ...]                       # of one picture (H,W,3), or one clip (T,H,W,3)

_log = logging.getLogger("vision.engine")
_PACKAGE = Path(__file__).resolve().parent.parent
_ANY_SIZE = frozenset({"gfl", "nanodet", "nanodet-masks"})     # their graph, exported once, is right for every size
_EXPORTING = threading.Lock()                 # torch's exporter is for one thread at a time


class Program(ABC):
    """A card's graph, in the form that a back end asks for; `program_of` makes the one for a card's form.

    Its weights are found and verified. reference: the back end that others are compared with; empty
    where one alone runs it. compressed: to int8. alone: the only back end that runs it, else empty.
    """

    reference: str
    compressed = False
    alone = ""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.weights = resolve(card)

    @cached_property
    def input_wh(self) -> tuple[int, int] | None:
        """The only picture size that the graph takes, or None: any."""
        return self.card.input.size_wh if self.card.input.fixed else None

    @property
    def any_size(self) -> bool:
        """Whether one graph, `onnx(None)`, takes pictures of every size."""
        return self.input_wh is None

    @property
    def shape(self) -> Shape:
        """What is usually run: a picture (H,W,3) of the card's size, or a clip (T,H,W,3)."""
        width, height = self.input_wh or self.card.input.size_wh
        clip = self.card.clip
        if clip.per_frame:
            return (2, height, width, 3) if clip.channels == "two-stream" else (height, width, 3)
        return (clip.frames, height, width, 3) if clip.frames > 1 else (height, width, 3)

    @abstractmethod
    def module(self) -> Deploy:
        """The graph in torch: float32, on the CPU, in evaluation mode. Raises CannotRun where torch does
        not run it."""

    @abstractmethod
    def onnx(self, shape: Shape | None, any_batch: bool = False) -> bytes:
        """The graph as ONNX, uint8 BGR in: for single pictures of `shape`, or of any size where that is
        None; any_batch: for batches of any number of them. Raises CannotRun where it cannot be."""

    def at_hand(self, shape: Shape) -> bool:
        """Whether the graph for `shape` is there without an export by torch."""
        return True

    @cached_property
    def digest(self) -> str:
        """Of everything that the graph depends on: weights, card, code and packages."""
        return str(self._digest().hexdigest())[:24]

    def _digest(self) -> Any:
        facts = (self.card.form, self.card.input.mean, self.card.input.std, sorted(self.card.config.items()))
        return hashlib.sha256((sha256(self.weights) + repr(facts)).encode())


class _Network(Program):
    """Weights of one of `vision.nets`, which torch builds and exports."""

    reference = "torch"
    _process = 0                                        # where torch ran first
    _code = (Path(__file__), *sorted(_PACKAGE.glob("nets/*.py")))
    _packages = ("torch", "torchvision", "segmentation-models-pytorch", "timm")

    @property
    def any_size(self) -> bool:
        """As `_ANY_SIZE` has it; what is stretched is of one size anyway."""
        return self.input_wh is None and self.card.net in _ANY_SIZE

    def module(self) -> Deploy:
        """The network with its weights, between normalisation and decoding."""
        from vision.nets import build
        from vision.nets.deploy import Deploy

        _Network._process = _Network._process or os.getpid()
        refuse_fork(_Network._process, "torch")
        net = build(self.card.net, **self.card.config)
        tensors = state_dict(self.weights, self.card.without)
        try:
            net.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"{str(self.weights)!r} does not fit the network {self.card.net!r} of {self.card.name!r}: "
                f"{_other_widths(net.state_dict(), tensors) or _line(error)}"
            ) from error
        return Deploy(net, self.card.input.mean, self.card.input.std).float().eval()

    def onnx(self, shape: Shape | None, any_batch: bool = False) -> bytes:
        """From the graph that ships, from the cache, or exported now and put there."""
        if self._shipped is not None and not any_batch and self._ships(shape):
            return sized(skeleton.fill(self._shipped[0], self.weights), shape)
        name = self._name(shape, any_batch)
        with _EXPORTING:
            kept = cache.read(name)
            if kept is None:
                _log.info("making the graph of %s", self.card.name)
                kept = self.export(shape, any_batch)
                cache.write(name, kept)
        return kept

    def export(self, shape: Shape | None, any_batch: bool = False, whole: bool = True) -> bytes:
        """`onnx`, by torch's older exporter: two to seven times as fast as the one on torch.export, and it
        knows every network here. It follows one picture, hence `traceable`. whole: layers may be joined;
        else each weight keeps its name and value."""
        module = self.module()
        if not getattr(module.net, "traceable", True):
            raise CannotRun(f"only torch runs {self.card.name!r}, whose steps depend on the picture")
        return exported(module, shape, any_batch, self.card.name, whole, self.shape)

    def at_hand(self, shape: Shape) -> bool:
        """With the graph that ships, or from the cache."""
        return self._ships(shape) or cache.holds(self._name(shape, False))

    def _ships(self, shape: Shape | None) -> bool:
        anything = (0, 0, 3)
        return self._shipped is not None and self._shipped[1] in (shape or anything, anything)

    def _name(self, shape: Shape | None, any_batch: bool) -> str:
        size = "any" if shape is None else "x".join(map(str, shape[:-1]))
        return f"graphs/{self.digest}-{size}{'-batch' if any_batch else ''}.onnx"

    @cached_property
    def _shipped(self) -> tuple[bytes, Shape] | None:
        """The graph that ships, without its weights, and the pictures that it takes."""
        found = skeleton.find(self.card, self.weights)
        return None if found is None else (found, skeleton.size(found))

    def _digest(self) -> Any:
        digest = super()._digest()
        digest.update(self.card.net.encode())
        if self._shipped is not None:
            digest.update(self._shipped[0])
        else:
            digest.update(repr([version(package) for package in self._packages]).encode())
            for file in self._code:
                digest.update(file.read_bytes())
        return digest


class _OnnxGraph(Program):
    """Somebody's ONNX file, made to take uint8 BGR; or one in int8, as `vision compress` writes it."""

    reference = "onnxruntime"

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self.compressed = card.config.get("precision") == "int8"
        if self.compressed:                              # OpenVINO ran such graphs less exactly
            self.reference, self.alone = "", "onnxruntime"

    @property
    def any_size(self) -> bool:
        """Whether it takes pictures of every size."""
        return self.input_wh is None

    @cached_property
    def input_wh(self) -> tuple[int, int] | None:
        """As the graph says."""
        from vision.engine import onnx_graph

        return onnx_graph.input_wh(self.weights, self.card)

    def module(self) -> Deploy:
        """Raises CannotRun."""
        raise CannotRun(f"torch does not run ONNX files such as {str(self.weights)!r}")

    def onnx(self, shape: Shape | None, any_batch: bool = False) -> bytes:
        """The graph with what turns bytes into its own input before it."""
        from vision.engine import onnx_graph

        sides: tuple[int | str, ...] = ("H", "W", 3) if shape is None else shape
        batch: int | str = "B" if any_batch else 1
        return bytes(onnx_graph.adapt(self.weights, self.card, (batch, *sides)).SerializeToString())

    def _digest(self) -> Any:
        from vision.engine import onnx_graph

        digest = super()._digest()
        digest.update(Path(onnx_graph.__file__).read_bytes())
        for path in onnx_graph.files_beside(self.weights):
            digest.update(sha256(path).encode())
        return digest


class _Alone(Program):
    """A graph that one back end alone runs. what: it is."""

    what = ""

    def module(self) -> Any:
        """Raises CannotRun."""
        raise self._refusal()

    def onnx(self, shape: Shape | None, any_batch: bool = False) -> bytes:
        """Raises CannotRun."""
        raise self._refusal()

    def _refusal(self) -> CannotRun:
        return CannotRun(f"{self.alone} alone runs {self.card.name!r}, which is {self.what}")


class _Compressed(_Alone):
    """OpenVINO's own graph: in int8, as `vision compress` writes it, or as `vision export` does."""

    alone, what = "openvino", "a graph of its own"

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        exported = self.weights.suffix == ".xml"
        self.compressed = not exported or card.config.get("precision") == "int8"
        self.reference = "" if self.compressed else "openvino"

    @property
    def any_size(self) -> bool:
        """Not in int8, which OpenVINO does not run so."""
        return self.input_wh is None and not self.compressed

    def _digest(self) -> Any:
        digest = super()._digest()
        if self.weights.suffix == ".xml":
            digest.update(sha256(self.weights.with_suffix(".bin")).encode())
        return digest


class _TorchScript(_Alone):
    """What `vision export` wrote for torch's own loader: whole, code and weights."""

    reference = alone = "torch"
    what = "TorchScript"

    def module(self) -> Any:
        """The archive's graph. Raises WeightsError where torch cannot read it."""
        import warnings

        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")                # that torch.export is the younger one
                opened: Any = torch.jit                        # which has no types
                return opened.load(str(self.weights), map_location="cpu").eval()
        except Exception as error:
            raise WeightsError(f"{str(self.weights)!r} is no TorchScript archive ({_line(error)[:200]}).") from error


class _Tflite(_Alone):
    """What `vision export` wrote for LiteRT, for single pictures of one size."""

    reference = alone = "litert"
    what = "a TFLite file"


def exported(
    module: Deploy, shape: Shape | None, any_batch: bool, name: str, whole: bool = True, usual: Shape = ()
) -> bytes:
    """What torch exports of a module, traced on a picture of `shape`, or of `usual` for a graph of any size. name:
    the model's. Raises CannotRun where torch cannot."""
    import io
    import warnings

    import torch
    from torch.backends import mha

    example = torch.zeros((2 if any_batch else 1, *(shape or usual)), dtype=torch.uint8)
    axes = {0: "B"} if any_batch else {}
    if shape is None:
        axes |= {1: "H", 2: "W"}
    mode = torch.onnx.TrainingMode.EVAL if whole else torch.onnx.TrainingMode.PRESERVE
    target: Any = io.BytesIO()                      # taken, whatever the hint says
    fused = mha.get_fastpath_enabled()
    torch._C._jit_set_onnx_log_output_stream("stderr")      # not among the records that go to standard output
    with warnings.catch_warnings(), torch.inference_mode(), torch.autocast("cpu", enabled=False):   # of a training
        warnings.simplefilter("ignore")
        mha.set_fastpath_enabled(False)                     # an attention that ONNX has no operator for
        try:
            torch.onnx.export(
                module, (example,), target, dynamo=False, opset_version=17, input_names=["batch"],
                dynamic_axes={"batch": axes}, do_constant_folding=whole, training=mode,
            )
        except VisionError:
            raise
        except Exception as error:  # whatever the exporter stumbles on: it is the net that it cannot do
            raise CannotRun(
                f"{name!r} cannot be exported to ONNX ({type(error).__name__}: {_line(error)})"
            ) from error
        finally:
            mha.set_fastpath_enabled(fused)
    return bytes(target.getvalue())


def sized(graph: bytes, shape: Shape | None) -> bytes:
    """An ONNX graph for pictures of any size as one for pictures of `shape`."""
    if shape is None:
        return graph
    import onnx

    model = onnx.load_from_string(graph)
    (batch,) = model.graph.input
    for dim, side in zip(batch.type.tensor_type.shape.dim[1:], shape, strict=True):
        dim.dim_value = side
    return bytes(model.SerializeToString())


_FORMS: dict[str, type[Program]] = {"network": _Network, "onnx": _OnnxGraph, "openvino": _Compressed,
                                   "torchscript": _TorchScript, "tflite": _Tflite}


def program_of(card: Card) -> Program:
    """What a back end compiles for the card: the one place that asks for its form.

    Raises WeightsError where the weights are missing or not the card's, EngineError for a YOLO `.pt`.
    """
    if card.form == "module":
        raise EngineError(f"{card.name!r} was a module in memory: no file holds it.")
    if card.form not in _FORMS:
        raise EngineError(f"{card.name!r} is a pickle of {card.form}: Detector.load({card.file!r}) opens it.")
    return _FORMS[card.form](card)


def state_dict(path: Path, without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of a weights file in float32: safetensors, or a `.pth` that holds only tensors. without: beginnings
    of names that are left out."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            tensors = tensors.get("state_dict", tensors)           # a checkpoint with its surroundings
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()
                if not name.startswith(without)}
    except Exception as error:
        raise WeightsError(
            f"{str(path)!r} is not a file of named tensors ({type(error).__name__}: {_line(error)[:80]}). A "
            "pickle is never executed: save the network's state_dict() as safetensors."
        ) from error


def _other_widths(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """That a network was pruned, where it has its layers and only they have fewer channels than the card says."""
    other = [name for name in wanted if name in found and found[name].shape != wanted[name].shape]
    if not other or wanted.keys() != found.keys() or any(
        found[name].ndim != wanted[name].ndim or found[name].numel() > wanted[name].numel() for name in other
    ):
        return ""
    name = other[0]
    return (f"{len(other)} of its layers are narrower than the card says ({name}: {list(found[name].shape)}, not "
            f"{list(wanted[name].shape)}). It was pruned, and its card does not say how; files of `vision compress "
            "--prune` do")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

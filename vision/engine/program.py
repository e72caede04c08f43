"""What a back end compiles: a card's network as a torch module, or as an ONNX file.

The ONNX file of a picture size is made once, with torch, and kept in the user's cache, so that from
the second time on no back end but torch's own has to import torch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vision.card import Card
from vision.engine import cache
from vision.engine.base import CannotRun, refuse_fork
from vision.errors import EngineError, VisionError, WeightsError
from vision.weights import resolve, sha256

if TYPE_CHECKING:
    from torch import Tensor

    from vision.nets.deploy import Deploy

Shape = tuple[int, ...]                       # of one picture (H,W,3), or one clip (T,H,W,3)

_log = logging.getLogger("vision.engine")
_PACKAGE = Path(__file__).resolve().parent.parent
# the largest change of a score that rounding was seen to make on the networks of this project
_ROUNDING = {"fp32": 0.0, "fp16": 0.01, "bf16": 0.1}


class Program(ABC):
    """A card's graph, in the form that a back end asks for; `program_of` makes the one for a card's form.

    Its weights are found and verified. reference: the back end that others are compared with; empty
    where one alone runs it. compressed: to int8, for OpenVINO.
    """

    reference: str
    compressed = False
    _code: Sequence[Path]                               # what, beside weights and card, makes the ONNX file
    _packages: Sequence[str]

    def __init__(self, card: Card) -> None:
        self.card = card
        self.weights = resolve(card)
        self._lock = threading.Lock()
        self._taken: set[Path] = set()                  # graphs from the cache, not made here

    @cached_property
    def input_wh(self) -> tuple[int, int] | None:
        """The only picture size that the graph takes, or None: any."""
        return self.card.input.size_wh if self.card.input.fixed else None

    def allows(self, precision: str) -> bool:
        """Whether `auto` may take this precision: its rounding stays within the card's tolerance."""
        return _ROUNDING[precision] <= self.card.tolerance

    @abstractmethod
    def module(self) -> Deploy:
        """The graph in torch: float32, on the CPU, in evaluation mode. Raises CannotRun where torch does
        not run it."""

    @abstractmethod
    def write(self, size: Shape, axes: dict[int, str], target: Path) -> None:
        """Write the graph as ONNX, for pictures of `size`; axes: those of the input (B,H,W,3) that may
        have any size, with a name each. Raises CannotRun where it cannot be."""

    def write_any_size(self, size: Shape, target: Path) -> bool:
        """Write the graph as ONNX with a batch, height and width of any size, made from pictures of `size`;
        whether it takes other sizes then is for the caller to try. False where it takes one alone."""
        if self.input_wh is not None or self.card.input.resize != "letterbox":
            return False                                # what is stretched is always of one size
        self.write(size, {0: "B", 1: "H", 2: "W"}, target)
        return True

    def onnx(self, shape: Shape, any_batch: bool = False) -> Path:
        """The graph as an ONNX file for single pictures of `shape` (or batches of any size), uint8
        BGR in: from the cache, or made now and put there. Raises CannotRun where it cannot be."""
        size = "x".join(map(str, shape[:-1])) + ("-any" if any_batch else "")
        name = f"onnx/{Path(self.card.name).name}-{size}-{self._key}.onnx"
        with self._lock:
            target = cache.find(name)
            if target.is_file():
                cache.used(target)
                self._taken.add(target)
                return target
            _log.info("making the graph of %s for %s", self.card.name, size)
            with cache.whole(target) as part:
                self.write(shape, {0: "B"} if any_batch else {}, part)
            cache.trim(target.parent, "*.onnx")
        return target

    def renew(self) -> bool:
        """Whether a graph from the cache was broken, by a crash or the disk: deleted, it is made anew."""
        import onnx

        with self._lock:
            taken, self._taken = self._taken, set()
        broken = False
        for path in taken:
            with suppress(Exception):                   # google.protobuf's, and the system's
                if onnx.load(path).graph.node:          # an empty file is read as an empty graph
                    continue
            _log.warning("%s is broken, and made anew", path)
            path.unlink(missing_ok=True)
            broken = True
        return broken

    @cached_property
    def _key(self) -> str:
        """A digest of everything that the ONNX file depends on: weights, card, code and packages."""
        card = self.card
        digest = hashlib.sha256(sha256(self.weights).encode())
        digest.update(repr((card.net, sorted(card.config.items()), card.input.mean, card.input.std)).encode())
        digest.update(repr([version(package) for package in self._packages]).encode())
        for file in self._code:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


class _Network(Program):
    """Weights of one of `vision.nets`, which torch builds and exports."""

    reference = "torch"
    _process = 0                                        # where torch ran first
    _code = (Path(__file__), *sorted(_PACKAGE.glob("nets/*.py")))
    _packages = ("torch", "torchvision", "segmentation-models-pytorch", "timm")

    def module(self) -> Deploy:
        """The network with its weights, between normalisation and decoding."""
        from vision.nets import build
        from vision.nets.deploy import Deploy

        _Network._process = _Network._process or os.getpid()
        refuse_fork(_Network._process, "torch")
        net = build(self.card.net, **self.card.config)
        try:
            net.load_state_dict(state_dict(self.weights))
        except RuntimeError as error:
            raise WeightsError(
                f"{str(self.weights)!r} does not fit the network {self.card.net!r} of {self.card.name!r}: "
                f"{_line(error)}"
            ) from error
        return Deploy(net, self.card.input.mean, self.card.input.std).float().eval()

    def write(self, size: Shape, axes: dict[int, str], target: Path) -> None:
        """By torch's older exporter: two to seven times as fast as the one on torch.export, and it knows
        every network here. It follows one picture, hence `traceable`."""
        import warnings

        import torch

        module = self.module()
        if not getattr(module.net, "traceable", True):
            raise CannotRun(f"only torch runs {self.card.name!r}, whose steps depend on the picture")
        example = torch.zeros((2 if 0 in axes else 1, *size), dtype=torch.uint8)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(
                    module,
                    (example,),
                    target,
                    dynamo=False,
                    opset_version=17,
                    input_names=["batch"],
                    dynamic_axes={"batch": axes},
                )
            except VisionError:
                raise
            except Exception as error:  # whatever the exporter stumbles on: it is the net that it cannot do
                raise CannotRun(
                    f"{self.card.name!r} cannot be exported to ONNX ({type(error).__name__}: {_line(error)})"
                ) from error


class _OnnxGraph(Program):
    """Somebody's ONNX file, made to take uint8 BGR."""

    reference = "onnxruntime"
    _code = (_PACKAGE / "engine" / "onnx_graph.py",)
    _packages = ("onnx",)

    @cached_property
    def input_wh(self) -> tuple[int, int] | None:
        """As the graph says."""
        from vision.engine import onnx_graph

        return onnx_graph.input_wh(self.weights, self.card)

    def module(self) -> Deploy:
        """Raises CannotRun."""
        raise CannotRun(f"torch does not run ONNX files such as {str(self.weights)!r}")

    def write(self, size: Shape, axes: dict[int, str], target: Path) -> None:
        """The graph with what turns bytes into its own input before it."""
        import onnx

        from vision.engine import onnx_graph

        if len(size) != 3:
            raise CannotRun(f"{str(self.weights)!r} takes pictures, not clips")
        batch: list[int | str] = [axes.get(i, side) for i, side in enumerate((1, *size))]
        onnx.save(onnx_graph.adapt(self.weights, self.card, batch), target)


class _Compressed(Program):
    """OpenVINO's own graph in int8, which `vision models compress` wrote."""

    reference = ""
    compressed = True

    def module(self) -> Deploy:
        """Raises CannotRun."""
        raise self._refusal()

    def write(self, size: Shape, axes: dict[int, str], target: Path) -> None:
        """Raises CannotRun."""
        raise self._refusal()

    def onnx(self, shape: Shape, any_batch: bool = False) -> Path:
        """Raises CannotRun."""
        raise self._refusal()

    def _refusal(self) -> CannotRun:
        return CannotRun(f"openvino alone runs {self.card.name!r}, which is compressed for it")


_FORMS: dict[str, type[Program]] = {"network": _Network, "onnx": _OnnxGraph, "openvino": _Compressed}


def program_of(card: Card) -> Program:
    """What a back end compiles for the card: the one place that asks for its form.

    Raises WeightsError where the weights are missing or not the card's, EngineError for a YOLO `.pt`.
    """
    if card.form not in _FORMS:
        raise EngineError(f"{card.name!r} is a pickle of {card.form}: Detector.load({card.file!r}) opens it.")
    return _FORMS[card.form](card)


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file in float32: safetensors, or a `.pth` that holds only tensors."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            tensors = tensors.get("state_dict", tensors)           # a checkpoint with its surroundings
        return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    except Exception as error:
        raise WeightsError(
            f"{str(path)!r} is not a file of named tensors ({type(error).__name__}: {_line(error)[:80]}). A "
            "pickle is never executed: save the network's state_dict() as safetensors."
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


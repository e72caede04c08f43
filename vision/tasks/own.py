"""Models of one's own: a function, a torch module, or an ONNX graph that is decoded in Python.

Each becomes an engine whose outputs are those of the task, so that everything else (steps, sinks, evaluation) works
as with any other model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Boxes, Card, Input, Resize, Triple
from vision.engine import Engine, FakeEngine, Outputs, load
from vision.errors import DataError, ModelError, UsageError
from vision.tasks.model import Model
from vision.types import Image, Names

if TYPE_CHECKING:
    from torch import nn

Function = Callable[..., Any]
_VOID = 255                      # a pixel's class where it has none


class OwnModel(Model):
    """A model that may also be made of a function, a torch module or an ONNX graph of the user's own.

    What the function or the decoder gives for a picture is said by the task: a detector's boxes (N,4) xyxy in pixels
    of what it was given, scores (N,) and labels (N,), or `Detections`; a classifier's probabilities (C,); a
    segmenter's class a pixel (h,w).
    """

    decoder: ClassVar[Function | None] = None            # of networks that come without one
    layout: ClassVar[str] = "dense"                      # of what `outputs` gives: `Boxes.layout`

    @staticmethod
    @abstractmethod
    def outputs(result: Any, names: Names = ()) -> Outputs:
        """What a function gives for a picture, as the task's outputs for a batch of one. Raises DataError, also for a
        class without a name where there are names."""

    @classmethod
    def from_function(cls, function: Callable[[Image], Any], names: Names = (), *, min_score: float = 0.25) -> Self:
        """A model of any function of a picture.

        function: called with (H,W,3) uint8 BGR, one picture at a time, in the order in which they come.
        names: of the classes, by label. min_score: the default threshold, 0..1.

        Raises UsageError for what is no function. What it gives is checked at each picture: ModelError.
        """
        if not callable(function):
            raise UsageError(f"a model is made of a function of a picture; got {type(function).__name__}")

        outputs = partial(cls.outputs, names=tuple(names))

        def run(batch: np.ndarray) -> Outputs:
            return _joined([_checked(function, outputs, image) for image in batch])

        engine = FakeEngine(run)
        engine.label = engine.backend = "python"
        name = getattr(function, "__name__", type(function).__name__)
        return cls(engine, cls._own_card(name, "", Input((1, 1), "none"), names, min_score, "onnx"))

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        names: Names = (),
        size_wh: tuple[int, int] = (640, 640),
        *,
        decoder: Function | None = None,
        resize: Resize = "stretch",
        mean: Triple = IMAGENET_MEAN,
        std: Triple = IMAGENET_STD,
        min_score: float = 0.25,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> Self:
        """A model of a torch module. What torch can export of it runs on the other back ends, too.

        module: takes (B,3,h,w) float32 RGB, normalised, and gives a tensor or a tuple of them. It is copied.
        names, min_score: as in `from_function`. size_wh: of its input, in pixels.
        decoder: called with the outputs for one picture, arrays without the batch's axis, it gives the task's result
            in pixels of the input. A classifier's is softmax unless given, a segmenter's the best of (C,h,w).
        resize: how a picture gets to that size: stretch, letterbox or corner; for a classifier also crop.
        mean, std: of RGB in 0..1. device, precision, backend: as `load` has them.

        Raises UsageError for a detector without a decoder, EngineError where nothing here runs the module.
        """
        from vision.engine.module import ModuleProgram

        wanted = Input(size_wh, resize, fixed=True, mean=mean, std=std)
        card = cls._own_card(type(module).__name__, "", wanted, names, min_score, "module")
        engine = load(card, device, precision, backend, ModuleProgram(card, module))
        return cls(DecodedEngine(engine, cls._decoder_or_refuse(decoder), partial(cls.outputs, names=card.names)), card)

    @classmethod
    def from_onnx(
        cls,
        path: str | Path,
        names: Names = (),
        size_wh: tuple[int, int] = (640, 640),
        *,
        decoder: Function | None = None,
        resize: Resize = "stretch",
        mean: Triple = IMAGENET_MEAN,
        std: Triple = IMAGENET_STD,
        channels: str = "RGB",
        min_score: float = 0.25,
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
    ) -> Self:
        """A model of an ONNX file that is decoded in Python. `load` opens those whose outputs are of a known family.

        path: of a graph with one input of 4 axes, the pictures. size_wh: in pixels, where the graph takes any size.
        channels: RGB or BGR, as the graph wants them. Everything else is as in `from_module`.

        Raises UsageError for a detector without a decoder, ModelError for a file that is no such graph.
        """
        from vision.engine.onnx_graph import input_wh

        if channels not in ("RGB", "BGR"):
            raise UsageError(f"channels are RGB or BGR; got {channels!r}")
        file = str(Path(path).absolute())
        wanted = Input(size_wh, resize, fixed=True, mean=mean, std=std)
        card = cls._own_card(Path(path).name, file, wanted, names, min_score, "onnx", channels=channels)
        own = input_wh(Path(path), card)
        if own is not None:
            card = replace(card, input=replace(wanted, size_wh=own))
        engine = load(card, device, precision, backend)
        return cls(DecodedEngine(engine, cls._decoder_or_refuse(decoder), partial(cls.outputs, names=card.names)), card)

    @classmethod
    def _own_card(
        cls, name: str, file: str, wanted: Input, names: Names, min_score: float, form: Any, **config: str
    ) -> Card:
        if isinstance(names, str) or not isinstance(names, Iterable):
            such = (names,) if isinstance(names, str) else ("person", "car")
            raise UsageError(f"names are several, such as {such!r}; got {names!r}")
        return Card(
            name=name, task=cls.task, file=file, licence="its owner's", source="made in Python", form=form,
            input=wanted, names=tuple(names), min_score=min_score, boxes=Boxes(cls.layout, 1.0), config=config,
        )

    @classmethod
    def _decoder_or_refuse(cls, decoder: Function | None) -> Function:
        found = decoder or cls.decoder
        if found is None:
            raise UsageError(
                f"a {cls.__name__} of a network needs decoder=: a function of its outputs for one picture that gives "
                "boxes (N,4) xyxy in pixels of the input, scores (N,) and labels (N,)"
            )
        return found


class DecodedEngine:
    """An engine whose raw outputs a function turns into those of the task, picture by picture.

    engine: runs the network. decoder: called with the network's outputs for one picture, an array each without the
    batch's axis. outputs: what it gives -> a batch of one.
    """

    def __init__(self, engine: Engine, decoder: Function, outputs: Callable[[Any], Outputs]) -> None:
        self._engine, self._decoder, self._outputs = engine, decoder, outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; what the decoder raises comes out of `result()`."""
        decoded: Future[Outputs] = Future()

        def landed(raw: Future[Outputs]) -> None:
            try:
                decoded.set_result(self._decode(raw.result()))
            except BaseException as error:
                decoded.set_exception(error)

        self._engine.submit(batch).add_done_callback(landed)
        return decoded

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        return self._decode(self._engine(batch))

    def _decode(self, raw: Outputs) -> Outputs:
        return _joined([
            _checked(self._decoder, self._outputs, *(output[i] for output in raw)) for i in range(len(raw[0]))
        ])


def rows(result: Any, names: Names = ()) -> Outputs:
    """Boxes (N,4) xyxy, scores (N,) and labels (N,), or Detections, as outputs of the layout "rows"."""
    from vision.types import Detections

    if not isinstance(result, Detections):
        if not (isinstance(result, tuple | list) and len(result) == 3):
            raise DataError(f"expected Detections, or boxes (N,4) xyxy, scores (N,) and labels (N,); got "
                            f"{type(result).__name__}")
        result = Detections(*result)
    if not (np.isfinite(result.boxes).all() and (result.boxes[:, 2:] >= result.boxes[:, :2]).all()):
        raise DataError("expected boxes as left, top, right, bottom, left no larger than right and top than bottom")
    if not ((result.scores >= 0) & (result.scores <= 1)).all() or (result.labels < 0).any():
        raise DataError("expected scores in 0..1 and labels from 0")
    if names and (result.labels >= len(names)).any():
        raise DataError(f"expected labels of the {len(names)} names; got {result.labels.max()}")
    return result.boxes[None], result.scores[None], result.labels[None]


def probabilities(result: Any, names: Names = ()) -> Outputs:
    """Probabilities (C,) as outputs."""
    given = np.asarray(result, np.float32)
    if given.ndim != 1 or not len(given) or not ((given >= 0) & (given <= 1)).all():
        raise DataError(f"expected a probability a class, (C,) in 0..1; got {given.dtype} {given.shape}")
    if names and len(given) != len(names):
        raise DataError(f"expected a probability for each of {len(names)} names; got {len(given)}")
    return (given[None],)


def labels(result: Any, names: Names = ()) -> Outputs:
    """A class for each pixel, (h,w), as outputs."""
    given = np.asarray(result)
    if given.ndim != 2 or given.dtype.kind not in "iub" or (given.size and not 0 <= given.min() <= given.max() <= 255):
        raise DataError(f"expected a class a pixel, (h,w) whole numbers in 0..255; got {given.dtype} {given.shape}")
    if names and given.size and (best := int(given[given != _VOID].max(initial=0))) >= len(names):
        raise DataError(f"expected classes of the {len(names)} names, or {_VOID} for none; got {best}")
    return (given.astype(np.uint8)[None],)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits (C,) -> probabilities (C,)."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)


def argmax(logits: np.ndarray) -> np.ndarray:
    """Logits (C,h,w) -> the best class of each pixel, (h,w)."""
    return np.asarray(logits.argmax(0), np.uint8)


def _checked(function: Function, outputs: Callable[[Any], Outputs], *given: np.ndarray) -> Outputs:
    result = function(*given)
    try:
        return outputs(result)
    except DataError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise ModelError(f"{name!r} gave something else than the task's result: {error}") from error


def _joined(pictures: list[Outputs]) -> Outputs:
    """One batch of them. Raises ModelError where their outputs have different shapes."""
    if len(pictures) == 1:
        return pictures[0]
    try:
        return tuple(np.concatenate(column) for column in zip(*pictures, strict=True))
    except ValueError as error:
        raise ModelError(f"the pictures of a batch have results of different sizes: give them one by one ({error})"
                         ) from error

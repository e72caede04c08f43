"""The settings of a training: each option once, with its default, its range and its help, for Python, the command
line and the record of a run. Nothing here imports torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from vision.errors import UsageError
from vision.spec import Described, Option, options, spec

# what may change between a run and its continuation without making it another run
_FREE = frozenset({"epochs", "workers", "threads", "devices", "patience", "encoder_weights", "weights"})
RECORD = Path("log", "hparams.yaml")   # every setting of a run, where TensorBoard looks for it
_SMALLEST = 32                         # pixels of a side

# of several tasks, each with its own default
Epochs = Annotated[int, Option("passes over the data", min=1)]
Batch = Annotated[int, Option("pictures in a step", min=1)]
Rate = Annotated[float, Option("the highest learning rate", min=0)]
BackboneRate = Annotated[float, Option("factor on the learning rate for a pre-trained encoder", min=0)]
Decay = Annotated[float, Option("weight decay; norms and biases have none", min=0)]
Averaging = Annotated[float, Option("decay of the average of weights that is kept; 0: none", min=0, max=1)]
Clip = Annotated[float, Option("clip the gradient to this norm; 0: do not", min=0)]
Size = Annotated[tuple[int, int], Option("size of the network's input in use", "pixels", separator="x", min=_SMALLEST)]
Crop = Annotated[tuple[int, int], Option("size of its input in training", "pixels", separator="x", min=_SMALLEST)]
Area = Annotated[tuple[float, float], Option("share of a picture that a crop covers", "0..1", separator=",", max=1)]
Colour = Annotated[float, Option("strength of the changes of brightness, contrast and saturation", min=0)]
Mosaic = Annotated[float, Option("share of pictures made of four", "0..1", min=0, max=1)]
EncoderWeights = Annotated[str, Option("weights of a new encoder: a path, none, or auto (the shipped MobileNetV2)")]
Weights = Annotated[Path | None, Option("weights to start from")]
Frozen = Annotated[tuple[str, ...], Option(
    "parameters that do not learn, by the beginning of their names: encoder.features.0.,encoder.features.1.",
    separator=",")]
NetworkOptions = Annotated[dict[str, Any], Option('arguments of the network as JSON, such as {"channels": 128}')]


@spec
class Settings(Described):
    """How a network is trained, whatever its task."""

    epochs: Epochs = 50
    batch: Batch = 8
    lr: Rate = 1e-3
    backbone_lr: BackboneRate = 1.0
    optimiser: Annotated[Literal["adamw", "sgd"], Option("adamw, or sgd with momentum 0.9")] = "adamw"
    weight_decay: Decay = 0.01
    schedule: Annotated[Literal["cosine", "poly", "step", "constant", "one-cycle", "plateau"], Option(
        "of the learning rate: cosine and poly end at 0, step divides by ten at 60 % and 85 %, one-cycle rises over "
        "the first 30 %, plateau divides by ten after 3 validations without a better one")] = "cosine"
    snapshots: Annotated[int, Option(
        "cycles of the cosine, each of which ends at 0 and leaves a model, snapshot1.safetensors ...; 0: one, and none",
        min=0)] = 0
    warmup: Annotated[float, Option("time over which the learning rate rises at first", "epochs", min=0)] = 1.0
    ema: Averaging = 0.0
    clip: Clip = 0.0
    precision: Annotated[Literal["float32", "bfloat16", "float16", "auto"], Option(
        "of the forward pass; parameters stay float32. auto: bfloat16 where a processor computes in it, which takes "
        "two thirds of the time")] = "float32"
    qat: Annotated[bool, Option(
        "learn with weights and activations rounded as in int8, so that `vision compress` costs less")] = False
    val_every: Annotated[int, Option("time between two validations", "epochs", min=1)] = 1
    patience: Annotated[int, Option("stop after so many validations without a better one; 0: never", min=0)] = 0
    seed: Annotated[int, Option("seed of everything random", min=0)] = 0
    workers: Annotated[int, Option("processes that load data", min=0)] = 0
    devices: Annotated[int, Option("number of devices; more than 1: DDP", min=1)] = 1
    threads: Annotated[int, Option("threads of torch; 0: its own choice", min=0)] = 0

    def __post_init__(self) -> None:
        for each in options(type(self)):
            value = getattr(self, each.name)
            if get_origin(each.type) is dict and not isinstance(value, dict):
                object.__setattr__(self, each.name, _json_object(each.name, value))
        super().__post_init__()
        for name in ("scale", "mosaic_scale", "area"):
            low, high = getattr(self, name, (1, 1))
            if not 0 < low <= high:
                raise UsageError(f"{name} is a range above 0 that rises, for example 0.5,1.0; got {low:g},{high:g}.")
        if self.val_every > self.epochs:
            raise UsageError(f"val_every is at most epochs ({self.epochs}); got {self.val_every}.")
        if self.snapshots and (self.epochs % self.snapshots or self.schedule != "cosine"):
            raise UsageError(
                f"snapshots are the ends of cosines of whole epochs: epochs is a multiple of {self.snapshots} and "
                f"schedule is cosine; got {self.epochs} and {self.schedule}.")
        if not self.lr or self.ema == 1:
            raise UsageError(f"lr is above 0 and ema below 1; got {self.lr:g} and {self.ema:g}.")

    @property
    def checkpoint(self) -> str:
        """What a run leaves to go on from."""
        return "last.ckpt"

    def record(self) -> dict[str, Any]:
        """Every setting in plain values, whether it differs from its default or not."""
        plain: dict[str, Any] = json.loads(json.dumps(
            {each.name: getattr(self, each.name) for each in options(type(self))}, default=str
        ))
        return plain


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What would make a resumed run another run: `lr 0.001 -> 0.01`, one entry a setting."""
    names = sorted((saved.keys() | now.keys()) - _FREE)
    return [f"{n} {saved.get(n)} -> {now.get(n)}" for n in names if saved.get(n) != now.get(n)]


def _json_object(name: str, text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f'{name} is JSON, an object as {{"dropout": 0.5}}; got {str(text)[:80]!r}.')
    return value

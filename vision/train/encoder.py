"""Where the encoder of a new network starts: ImageNet's weights, or others of the same layers."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vision.engine.program import state_dict
from vision.errors import WeightsError
from vision.weights import resolve
from vision.zoo import CARDS

_COUNTER = "num_batches_tracked"       # of a norm; plays no part in what it computes


def encoder_file(choice: str, mobilenet: bool) -> Path | None:
    """The file of an encoder's weights: `auto` is the shipped MobileNetV2 where the encoder is one,
    `none` is none, anything else a path. Raises WeightsError where it is not there."""
    if choice == "auto":
        return resolve(CARDS["mobilenet-v2"]) if mobilenet else None
    if choice == "none":
        return None
    if not Path(choice).is_file():
        raise WeightsError(f"there are no encoder weights at {choice!r}. Give a file, auto or none.")
    return Path(choice)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load ImageNet weights strictly into an encoder: by name, or - where the file has the same
    layers in the same order under other names - by order and shape. A classifier that the file
    has beyond the encoder is left out. Raises WeightsError where they do not fit."""
    state = state_dict(path)
    mine = {name: v for name, v in encoder.state_dict().items() if not name.endswith(_COUNTER)}
    if not mine.keys() <= state.keys():
        state = dict(zip(mine, (v for n, v in state.items() if not n.endswith(_COUNTER)), strict=False))
    wrong = [n for n, v in mine.items() if n not in state or state[n].shape != v.shape]
    if wrong:
        raise WeightsError(
            f"{str(path)!r} does not fit the encoder: {len(wrong)} tensors differ, first {wrong[0]}."
        )
    nn.Module.load_state_dict(encoder, {n: state[n] for n in mine}, strict=False)   # all but counters

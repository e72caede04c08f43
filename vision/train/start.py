"""Where a network starts: the weights of an encoder, or of a whole network with other classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision.card import alike
from vision.errors import UsageError, WeightsError
from vision.spec import nearest
from vision.weights import resolve
from vision.zoo import CARDS

if TYPE_CHECKING:
    from torch import Tensor, nn

_COUNTER = "num_batches_tracked"       # of a norm; plays no part in what it computes
_ENCODER = "encoder."                   # of a whole network of `vision train`: its encoder alone is wanted
_LAST_LAYER = ("fc.", "fc8.")          # of the networks on clips


def there(weights: Path | None) -> None:
    """Raise WeightsError where weights to start from are asked for and are not there."""
    if weights is not None and not weights.is_file():
        raise WeightsError(f"there are no weights at {str(weights)!r}. Give a file, such as a run's best.safetensors.")


def encoder_file(choice: str, mobilenet: bool) -> Path | None:
    """The file of an encoder's weights: `auto` is the shipped MobileNetV2 where the encoder is one, `none` is none,
    anything else a path. Raises WeightsError where it is not there."""
    if choice == "auto":
        return resolve(CARDS["mobilenet-v2"]) if mobilenet else None
    if choice == "none":
        return None
    if not Path(choice).is_file():
        raise WeightsError(f"there are no encoder weights at {choice!r}. Give a file, auto or none.")
    return Path(choice)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load ImageNet weights strictly into an encoder: by name, or - where the file has the same layers in the same
    order under other names - by order and shape. What the file has beyond the encoder is left out: a classifier, the
    rest of a network of `vision train`.
    Raises WeightsError where they do not fit."""
    state = _state(path)
    mine = {name for name in encoder.state_dict() if not name.endswith(_COUNTER)}
    if inner := {name.removeprefix(_ENCODER): t for name, t in state.items() if name.startswith(_ENCODER)}:
        state = inner
    if not mine <= state.keys():
        names = (name for name in encoder.state_dict() if name in mine)
        state = dict(zip(names, (v for n, v in state.items() if not n.endswith(_COUNTER)), strict=False))
    _load(encoder, path, state, allowed=())


def load_net(net: nn.Module, path: Path, new_last_layer: bool = False) -> None:
    """Load the weights of a whole network; with `new_last_layer` those of other classes too, but for the last layer.
    An image classifier's `features` become a 2D network's `encoder`. Raises WeightsError where they do not fit."""
    state = _state(path)
    if new_last_layer:
        state = {name.replace("features.", "encoder.", 1): t for name, t in state.items()}
        for hook in net._load_state_dict_pre_hooks.values():
            hook(state, "", {}, True, [], [], [])
    _load(net, path, state, _LAST_LAYER if new_last_layer else ())


def head_of(net: nn.Module, classes: int) -> str:
    """The name of a classifier's last layer, with a point: the last one that gives so many channels."""
    from torch.nn import Conv2d, Linear

    names = [name for name, layer in net.named_modules()
             if (isinstance(layer, Linear) and layer.out_features == classes)
             or (isinstance(layer, Conv2d) and layer.out_channels == classes)]
    return f"{names[-1]}." if names else "\0"


def load_but_head(net: nn.Module, path: Path, head: str) -> None:
    """Load the weights of a whole classifier, of other classes too: then its last layer, and those beside, stay as
    they are. Raises WeightsError where the rest does not fit."""
    state = _state(path)
    for hook in net._load_state_dict_pre_hooks.values():
        hook(state, "", {}, True, [], [], [])
    mine = net.state_dict()
    classes = mine[f"{head}weight"].shape[0] if f"{head}weight" in mine else -1
    other = tuple(name for name, value in mine.items() if value.ndim and value.shape[0] == classes
                  and (name not in state or state[name].shape[1:] == value.shape[1:]))
    _load(net, path, state, allowed=other)


def namesakes(names: Sequence[str], known: Sequence[str]) -> dict[int, int]:
    """Which of the classes `names` a network knows already, by the place of each in `known`: by name, in the singular
    or the plural, capitals and spaces aside."""
    place_of = {_singular(name): place for place, name in reversed(list(enumerate(known)))}
    return {i: place_of[_singular(name)] for i, name in enumerate(names) if _singular(name) in place_of}


def begin_as_namesakes(net: nn.Module, path: Path, head: str, same: Mapping[int, int]) -> None:
    """The last layer begins with what the network in `path` knows of classes that it has too; any other class begins
    as the mean of all that it has. same: the place of each such class there."""
    import torch

    state, mine = _state(path), net.get_submodule(head.removesuffix("."))
    for name, parameter in mine.named_parameters():
        old = state.get(f"{head}{name}")
        if same and old is not None and old.shape[1:] == parameter.shape[1:]:
            with torch.no_grad():
                old = old.to(parameter)
                parameter.copy_(old.mean(0).expand_as(parameter))
                parameter[list(same)] = old[list(same.values())]


def _singular(name: str) -> str:
    plain = alike(name).casefold().replace("_", " ").replace("-", " ")
    return plain[:-1] if plain.endswith("s") and not plain.endswith("ss") else plain


def regularise(net: nn.Module, dropout: float | None, depth: float) -> None:
    """Set a network's dropout, and the shares of its residual blocks that are left out, rising to `depth`. Raises
    UsageError where it has none."""
    from torch.nn.modules.dropout import _DropoutNd
    from torchvision.ops import StochasticDepth

    if dropout is not None:
        layers = [layer for layer in net.modules() if isinstance(layer, _DropoutNd)]
        if not layers:
            raise UsageError("this network has no dropout layers: leave --dropout out.")
        for layer in layers:
            layer.p = dropout
    if depth:
        blocks = [block for block in net.modules()
                  if isinstance(block, StochasticDepth) or type(block).__name__ == "DropPath"]
        if not blocks:
            raise UsageError("this network has no residual blocks that can be left out: leave --stochastic-depth out.")
        for place, block in enumerate(blocks, start=1):
            share = depth * place / len(blocks)
            setattr(block, "drop_prob" if hasattr(block, "drop_prob") else "p", share)


def freeze(net: nn.Module, beginnings: tuple[str, ...]) -> None:
    """Parameters whose names begin so do not learn, which saves their backward pass; their norms stand still."""
    for name, parameter in net.named_parameters():
        if beginnings and name.startswith(beginnings):
            parameter.requires_grad_(False)


def freeze_as_asked(net: nn.Module, beginnings: tuple[str, ...]) -> None:
    """`freeze`, as --frozen asks for it. Raises UsageError for a beginning that no name has, and where nothing is left
    to learn."""
    known = [name for name, _ in net.named_parameters()]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in known):
            parts = dict.fromkeys(".".join(name.split(".")[:2]) for name in known)
            raise UsageError(f"--frozen: no layer's name begins with {beginning!r}. {nearest(beginning, parts)}")
    if beginnings and all(name.startswith(beginnings) for name in known):
        raise UsageError("--frozen leaves nothing to learn.")
    freeze(net, beginnings)


def _state(path: Path) -> dict[str, Tensor]:
    from vision.engine.program import state_dict

    return state_dict(path)


def _load(net: nn.Module, path: Path, state: Mapping[str, Tensor], allowed: tuple[str, ...]) -> None:
    """Load what fits by name and shape. allowed: beginnings of names that need not be there."""
    from torch.nn import Module

    mine = net.state_dict()
    fits = {name: t for name, t in state.items() if name in mine and mine[name].shape == t.shape}
    lacking = [n for n in mine if n not in fits and not n.endswith(_COUNTER) and not n.startswith(allowed or "\0")]
    if lacking:
        raise WeightsError(
            f"{str(path)!r} has the weights of another network: {len(lacking)} of {len(mine)} tensors are missing or "
            f"have another shape, first {lacking[0]!r}."
        )
    Module.load_state_dict(net, fits, strict=False)      # a view of some layers has its own way to load

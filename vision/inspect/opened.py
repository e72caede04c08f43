"""Any model that the suite opens, as an ONNX graph whose weights keep their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vision import zoo
from vision.card import Card, Input
from vision.classic import CLASSIC
from vision.errors import ModelError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vision.nets.deploy import Deploy


@dataclass(frozen=True)
class Opened:
    """A model's graph. title: its name for people. random: its weights are. learns, leaves: names of what learns, and
    of the modules without others inside, where they are known."""

    title: str
    graph: bytes
    random: bool = False
    learns: frozenset[str] | None = None
    leaves: frozenset[str] = frozenset()


def card_of(model: str) -> Card:
    """The card of a classic network by its name, or of what `vision.zoo.find` knows."""
    if model not in CLASSIC:
        return zoo.find(model)
    side = CLASSIC[model].side
    classes = 10 if side == 32 else 1000
    return Card(
        name=model, task="classify", net="classic", file="", licence="", source=CLASSIC[model].paper,
        names=tuple(map(str, range(classes))), input=Input((side, side), "crop"),
        config={"arch": model, "classes": classes},
    )


def module_of(model: str) -> tuple[Card, Deploy, bool]:
    """A network of torch with its card: after normalisation, float32, in evaluation mode; and whether its weights are
    random, because there are none. Raises ModelError for what is no network of torch."""
    from vision.engine.base import CannotRun
    from vision.engine.program import program_of
    from vision.nets import build
    from vision.nets.deploy import Deploy

    card = card_of(model)
    published = model.startswith(("torchvision:", "timm:")) and "@" not in model
    if card.form == "network" and (model in CLASSIC or published):
        try:
            if model in CLASSIC:
                raise WeightsError("none")
            return card, program_of(card).module(), False
        except WeightsError:
            return card, Deploy(build(card.net, **card.config), card.input.mean, card.input.std).eval(), True
    try:
        return card, program_of(card).module(), False
    except CannotRun as error:
        raise ModelError(f"{card.name!r} has no network of torch to look into ({error}).") from error


def opened(model: str, size_wh: tuple[int, int] | None = None) -> Opened:
    """The graph of a model for pictures of a size; its own unless given. Raises ModelError for what has none."""
    from vision.engine.base import CannotRun
    from vision.engine.program import exported, program_of

    path = Path(model)
    if path.suffix == ".onnx" and path.is_file():
        return Opened(path.name, _fixed(path, size_wh))
    card = card_of(model)
    if card.form not in ("network", "onnx"):
        plain = model.removesuffix("-int8")
        raise ModelError(f"{card.name!r} is compressed, or a pickle: it has no graph to look at. Look at "
                         f"{plain if plain in zoo.CARDS else 'the model that it was made of'}.")
    try:
        if card.form == "onnx":
            program = program_of(card)
            shape = (*reversed(size_wh), 3) if size_wh else program.shape
            return Opened(card.name, program.onnx(shape))
        card, module, random = module_of(model)
        width, height = size_wh or card.input.size_wh
        clip = card.clip
        frames = (2,) if clip.per_frame and clip.channels == "two-stream" else (
            (clip.frames,) if clip.frames > 1 and not clip.per_frame else ())
        _unlike(module)
        graph = exported(module, (*frames, height, width, 3), False, card.name, whole=False)
    except CannotRun as error:
        asked = size_wh is not None and size_wh != card.input.size_wh
        hint = " Leave --size out, or take sides that are multiples of 32." if asked else ""
        raise ModelError(f"{error}{hint}") from error
    return Opened(
        path.name if path.exists() else card.name, graph, random,
        frozenset(name for name, _ in (*module.named_parameters(), *_stored(module))),
        frozenset(name.removeprefix("net.") for name, one in module.named_modules() if not list(one.children())),
    )


def _unlike(module: nn.Module) -> None:
    """No two tensors are equal any more: the exporter would join those, and they would count once."""
    import torch

    floats = (tensor for _, tensor in (*module.named_parameters(), *_stored(module)) if tensor.is_floating_point())
    for number, parameter in enumerate(floats):
        with torch.no_grad():
            parameter.view(-1)[0] += 1e-6 * (number + 1)


def _stored(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What learnt before it was stored as bytes, which torch has for buffers."""
    from vision.nets.byte_conv import ByteConv2d

    for name, one in module.named_modules():
        if isinstance(one, ByteConv2d):
            yield from ((f"{name}.weight", one.weight), (f"{name}.bias", one.bias))


def _fixed(path: Path, size_wh: tuple[int, int] | None) -> bytes:
    """An ONNX file as it is, for one picture of a size. Raises WeightsError for another file, ModelError for a graph
    of which the weights lie elsewhere."""
    from vision.published import onnx_outputs, picture_wh

    model, _, told = onnx_outputs(path)
    if any(weight.external_data for weight in model.graph.initializer):
        raise ModelError(f"{str(path)!r} has its weights in another file. Save it as one: onnx.save(onnx.load(...)).")
    weights = {weight.name for weight in model.graph.initializer}
    for given in model.graph.input:
        dims = given.type.tensor_type.shape.dim
        if given.name in weights or len(dims) not in (4, 5):
            continue
        width, height = size_wh or picture_wh(model, told)
        last = dims[-1].dim_value in (1, 3) and dims[-3].dim_value not in (1, 3)         # channels
        tall, wide = (dims[-3], dims[-2]) if last else (dims[-2], dims[-1])
        for dim, side in ((dims[0], 1), (tall, height), (wide, width)):
            if not dim.dim_value or dim is not dims[0]:
                dim.dim_value = side
    del model.graph.value_info[:]                        # what it says of other sizes
    return bytes(model.SerializeToString())

"""Cards for the ONNX files of others: readers of PP-OCR, which carry their characters, and finders by DB or EAST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vision.card import Boxes, Card, Input
from vision.errors import ModelError, WeightsError

_HALF = (0.5, 0.5, 0.5)
_EAST_MEAN = (123.68 / 255, 116.78 / 255, 103.94 / 255)
_BYTE = (1 / 255, 1 / 255, 1 / 255)


def reader_card(path: Path) -> Card:
    """The card of an .onnx file that reads strips, as RapidOCR and PaddleOCR hand them out: (B,3,48,W) in, the
    probabilities of blank, characters and space out. Raises WeightsError, ModelError where it carries no characters."""
    model = _opened(path)
    told = {entry.key: entry.value for entry in model.metadata_props}
    if "character" not in told:
        raise ModelError(f"{str(path)!r} does not say which characters it knows (metadata `character`), as the "
                         "readers of RapidOCR do. Give such a file, or a .safetensors of `vision train text`.")
    characters = tuple(told["character"].split("\n"))
    classes = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if classes == len(characters) + 2:                               # a blank before them, a space behind
        characters = (*characters, " ")
    if classes != len(characters) + 1:
        raise ModelError(f"{str(path)!r} has {classes} outputs for {len(characters)} characters and a blank.")
    height = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value or 48
    return Card(
        name=path.name, task="text", form="onnx", file=str(path.absolute()), licence="as its publisher states",
        source=str(path), input=Input((height * 20 // 3, height), "corner", mean=_HALF, std=_HALF),
        names=characters, min_score=0.5, config={"channels": "BGR"},
    )


def finder_card(path: Path) -> Card:
    """The card of an .onnx file that finds text: one map (DB), or scores and geometry (EAST). Raises WeightsError,
    ModelError for other outputs."""
    outputs = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim] for o in _opened(path).graph.output}
    channels = sorted(
        next((n for n in (shape[1], shape[3]) if n in (1, 5)), 1) for shape in outputs.values() if len(shape) == 4)
    common: dict[str, Any] = {
        "name": path.name, "task": "text-boxes", "form": "onnx", "file": str(path.absolute()),
        "licence": "as its publisher states", "source": str(path),
    }
    if len(outputs) == len(channels) == 1:
        taken = Input((960, 960), "letterbox", enlarge=False, mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229))
        return Card(**common, input=taken, boxes=Boxes("db"), min_score=0.4, config={"channels": "BGR"})
    if channels == [1, 5]:
        taken = Input((960, 960), "letterbox", enlarge=False, mean=_EAST_MEAN, std=_BYTE)
        return Card(**common, input=taken, boxes=Boxes("east"), min_score=0.5)
    raise ModelError(f"{str(path)!r} finds no text: expected one map (DB), or scores (B,1,h,w) and geometry (B,5,h,w) "
                     f"(EAST, with channels first or last); its outputs: {outputs}.")


def _opened(path: Path) -> Any:
    import onnx

    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a readable ONNX file ({type(error).__name__}).") from error

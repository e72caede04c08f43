"""The card inside a file that `vision export` wrote: an ONNX file, an OpenVINO graph, a TorchScript
archive, a TFLite file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vision.card import Card, Form, card_from_json
from vision.errors import WeightsError

KEY = "vision.card"                                      # in the file's metadata: the card as JSON
_FORMS: dict[str, Form] = {".onnx": "onnx", ".xml": "openvino", ".torchscript": "torchscript",
                           ".tflite": "tflite"}


def card_inside(path: Path) -> Card | None:
    """The card that an exported file carries, pointing at that file; None where it carries none.

    Raises WeightsError for a file that cannot be read, or whose card is damaged.
    """
    readers = {".onnx": _of_onnx, ".xml": _of_openvino, ".torchscript": _of_archive, ".tflite": _of_archive}
    try:
        text = readers[path.suffix](path)
    except WeightsError:
        raise
    except Exception as error:                           # protobuf's, OpenVINO's, torch's
        why = " ".join(str(error).split())[:200]
        raise WeightsError(f"{str(path)!r} is not a readable {path.suffix[1:]} file ({why}).") from error
    if not text:
        return None
    card = card_from_json(text, path)
    return replace(card, form=_FORMS[path.suffix], net="")


def card_or_refuse(path: Path) -> Card:
    """The same where there must be one. Raises WeightsError where there is none."""
    card = card_inside(path)
    if card is None:
        raise WeightsError(f"{str(path)!r} carries no card. Give a file that `vision export` wrote, or an ONNX file.")
    return card


def _of_onnx(path: Path) -> str:
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:
        return ""                                        # whoever reads the graph says what is wrong with it
    return next((entry.value for entry in model.metadata_props if entry.key == KEY), "")


def _of_openvino(path: Path) -> str:
    from vision.engine.openvino_backend import read_graph

    graph = read_graph(path)
    keys = KEY.split(".")
    return str(graph.get_rt_info(keys).astype(str)) if graph.has_rt_info(keys) else ""


def _of_archive(path: Path) -> str:
    """TorchScript's own, or what is behind the graph of a TFLite file, as the format has it for files of all kinds."""
    import zipfile

    if path.suffix == ".tflite" and not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        name = next((one for one in archive.namelist() if one == KEY or one.endswith(f"/extra/{KEY}")), None)
        if name is None:
            return ""
        if archive.getinfo(name).file_size > 1 << 22:
            raise WeightsError(f"the card in {str(path)!r} is too large to be one")
        return archive.read(name).decode()

"""Cards of networks that find lanes and the road that may be driven on: pulled only when asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.card import Card, Input
from vision.errors import ModelError, WeightsError

_ZERO, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
_RAW = "https://raw.githubusercontent.com"
_BDD = "MIT ({}); trained on BDD100K, whose pictures are for research"


def _twin(
    name: str, sha256: str, where: str, size_wh: tuple[int, int], resize: Any, owner: str, megabytes: float
) -> Card:
    """A network of two masks, the road and its markings (Che et al. 2023, "TwinLiteNet"; 2024, "TwinLiteNetPlus")."""
    return Card(
        name=name, task="lanes", form="onnx", file=f"{name}.onnx", sha256=sha256, url=f"{_RAW}/{where}",
        licence=_BDD.format(owner), source=where.split("/models")[0].split("/pretrained")[0],
        input=Input(size_wh, resize, fixed=True, mean=_ZERO, std=_ONE), names=("lane", "drivable"), tolerance=0.5,
        config={"decoder": "twin", "outputs": ["da", "ll"]}, megabytes=megabytes,
    )


LANES = (
    _twin("twinlitenet", "f505b56bd7c9e4e38b2928373aa4daa191a9a398e07e1fb340024b9ce84d4285",
          "harrylal/TwinLiteNet-onnxruntime/466b406191e296862850e31656933b114b2598ee/models/best.onnx",
          (640, 360), "stretch", "chequanghuy/TwinLiteNet", 1.9),
    _twin("twinlitenet-plus-small", "dd8e9cd7f143b6a2368abcd689a01e10454b67442515f14ca2348da34d2efec9",
          "Dileepmeom/TwinLiteNetPlus_Pi/2f2f205377aee2b490b08f40aba1db51384c68e2/pretrained/small.onnx",
          (640, 384), "letterbox", "chequanghuy/TwinLiteNetPlus", 0.5),
    _twin("twinlitenet-plus-nano", "7386e237cb0755e805ebdcbf55cecc22c7792a45c0977e0d94cfe5efa251d07e",
          "Dileepmeom/TwinLiteNetPlus_Pi/2f2f205377aee2b490b08f40aba1db51384c68e2/pretrained/nano.onnx",
          (640, 384), "letterbox", "chequanghuy/TwinLiteNetPlus", 0.2),
    Card(
        name="lstr", task="lanes", form="onnx", file="lstr.onnx", megabytes=3.1,
        sha256="a36f5368c53ff01e7e8f3bdcdac4934a8cb96d20d8f0d47a3830c3e53be6cdae",
        url=f"{_RAW}/hpc203/LSTR-lane-detect-onnxrun-cpp-py/8d82a8a273dc71e73e03d7060a7479820a8e54eb/lstr_360x640.onnx",
        licence="BSD-3-Clause (liuruijin17/LSTR); trained on TuSimple; who carries the file states no licence",
        source="hpc203/LSTR-lane-detect-onnxrun-cpp-py",
        # as its publisher runs it: the mean and the deviation of red on blue, and the other way round
        input=Input((640, 360), "stretch", fixed=True, mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229)),
        names=("lane",), tolerance=0.5,
        config={"decoder": "lstr", "outputs": ["pred_logits", "pred_curves"], "channels": "BGR",
                "constants": {"input_mask": 0.0}},
    ),
)


def lane_card(path: Path) -> Card:
    """The card for a lane network's `.onnx` file of one's own, by the names of its outputs.

    Raises WeightsError for a file that is no ONNX, ModelError for outputs of no lane network that is known."""
    import onnx

    if not path.is_file():
        raise WeightsError(f"there is no file {str(path)!r}. Give a path, or a name: "
                           f"{', '.join(card.name for card in LANES)}.")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a readable ONNX file ({type(error).__name__}).") from error
    outputs = [output.name for output in graph.output]
    sides = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][-2:] if graph.input else []
    alike = [card for card in LANES if set(card.config["outputs"]) <= set(outputs)]
    if not alike:
        wanted = " or ".join(sorted({" and ".join(card.config["outputs"]) for card in LANES}))
        raise ModelError(f"the outputs of {str(path)!r} are {', '.join(outputs)}; a lane network has {wanted}.")
    base = next((card for card in alike if [*card.input.size_wh[::-1]] == sides), alike[0])
    return replace(base, name=path.name, file=str(path.absolute()), sha256="", url=None, source=str(path),
                   licence="as its publisher states")

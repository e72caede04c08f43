"""Cards of networks that find lanes and the road that may be driven on: pulled only when asked."""

from __future__ import annotations

from typing import Any

from vision.card import Card, Input

_ZERO, _ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
_RAW = "https://raw.githubusercontent.com"
_BDD = "MIT ({}); trained on BDD100K, whose pictures are for research"


def _twin(name: str, sha256: str, where: str, size_wh: tuple[int, int], resize: Any, owner: str) -> Card:
    """A network of two masks, the road and its markings (Che et al. 2023, "TwinLiteNet"; 2024, "TwinLiteNetPlus")."""
    return Card(
        name=name, task="lanes", form="onnx", file=f"{name}.onnx", sha256=sha256, url=f"{_RAW}/{where}",
        licence=_BDD.format(owner), source=where.split("/models")[0].split("/pretrained")[0],
        input=Input(size_wh, resize, fixed=True, mean=_ZERO, std=_ONE), names=("lane", "drivable"), tolerance=0.5,
        config={"decoder": "twin", "outputs": ["da", "ll"]},
    )


LANES = (
    _twin("twinlitenet", "f505b56bd7c9e4e38b2928373aa4daa191a9a398e07e1fb340024b9ce84d4285",
          "harrylal/TwinLiteNet-onnxruntime/466b406191e296862850e31656933b114b2598ee/models/best.onnx",
          (640, 360), "stretch", "chequanghuy/TwinLiteNet"),
    _twin("twinlitenet-plus-small", "dd8e9cd7f143b6a2368abcd689a01e10454b67442515f14ca2348da34d2efec9",
          "Dileepmeom/TwinLiteNetPlus_Pi/2f2f205377aee2b490b08f40aba1db51384c68e2/pretrained/small.onnx",
          (640, 384), "letterbox", "chequanghuy/TwinLiteNetPlus"),
    _twin("twinlitenet-plus-nano", "7386e237cb0755e805ebdcbf55cecc22c7792a45c0977e0d94cfe5efa251d07e",
          "Dileepmeom/TwinLiteNetPlus_Pi/2f2f205377aee2b490b08f40aba1db51384c68e2/pretrained/nano.onnx",
          (640, 384), "letterbox", "chequanghuy/TwinLiteNetPlus"),
    Card(
        name="lstr", task="lanes", form="onnx", file="lstr.onnx",
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

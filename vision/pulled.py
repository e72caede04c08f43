"""Networks that others publish: `vision weights pull NAME` fetches their weights, and nothing else does."""

from __future__ import annotations

from vision.card import Boxes, Card, Clip, Input, name_list

KINETICS_MEAN = (0.43216, 0.394666, 0.37645)          # torchvision's video networks
KINETICS_STD = (0.22803, 0.22145, 0.216989)
_HALF, _ZERO = (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)
_AS_PUBLISHED = "COCO val2017, as published"
_TORCHVISIONS = {                        # MB of the file, and what torchvision states: AP of boxes, or mIoU
    "ssd300-vgg16": (135.9, 0.251), "ssdlite320-mobilenet-v3": (13.4, 0.213), "retinanet-resnet50": (130.3, 0.364),
    "retinanet-resnet50-v2": (146.0, 0.415), "fcos-resnet50": (123.6, 0.392), "fasterrcnn-resnet50": (159.7, 0.370),
    "fasterrcnn-resnet50-v2": (167.1, 0.467), "fasterrcnn-mobilenet-v3": (74.2, 0.328),
    "maskrcnn-resnet50": (169.8, 0.379), "maskrcnn-resnet50-v2": (177.2, 0.474), "fcn-resnet50": (135.0, 0.605),
    "fcn-resnet101": (207.7, 0.637), "deeplabv3-resnet50": (160.5, 0.664), "deeplabv3-resnet101": (233.2, 0.674),
    "deeplabv3-mobilenet-v3": (42.3, 0.603),
}


def _coco(
    name: str, net: str, arch: str, file: str, max_iou: float, input: Input, **of_net: float
) -> Card:
    """A detector of torchvision, or one with masks, trained on COCO 2017: pulled only when asked."""
    masks = arch.startswith("maskrcnn")
    return Card(
        name=name, task="instances" if masks else "detect", net=net, file=file,
        sha256=file.rsplit("-", 1)[1].removesuffix(".pth"),
        licence="BSD-3-Clause (torchvision); trained on COCO 2017", source="torchvision",
        url=f"https://download.pytorch.org/models/{file}", input=input, names="coco90", min_score=0.5,
        boxes=Boxes("mask_rows" if masks else "dense" if input.fixed else "rows", max_iou),
        config={"arch": arch, **of_net}, figures={"fp32": {"AP": _TORCHVISIONS[name][1]}}, measured_on=_AS_PUBLISHED,
        megabytes=_TORCHVISIONS[name][0],
    )


_LARGE = Input((1333, 800), "letterbox")                 # as published: shorter side 800, longer to 1333
_VGG_MEAN, _BYTE = (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)
_COCO = (
    _coco("ssd300-vgg16", "single_shot", "ssd300_vgg16", "ssd300_vgg16_coco-b556d3b4.pth", 0.45,
          Input((300, 300), "stretch", fixed=True, mean=_VGG_MEAN, std=_BYTE)),
    _coco("ssdlite320-mobilenet-v3", "single_shot", "ssdlite320_mobilenet_v3_large",
          "ssdlite320_mobilenet_v3_large_coco-a79551df.pth", 0.55,
          Input((320, 320), "stretch", fixed=True, mean=_HALF, std=_HALF)),
    _coco("retinanet-resnet50", "pyramidal", "retinanet_resnet50_fpn",
          "retinanet_resnet50_fpn_coco-eeacb38b.pth", 0.5, _LARGE, eps=0.0),
    _coco("retinanet-resnet50-v2", "pyramidal", "retinanet_resnet50_fpn_v2",
          "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth", 0.5, _LARGE),
    _coco("fcos-resnet50", "pyramidal", "fcos_resnet50_fpn",
          "fcos_resnet50_fpn_coco-99b0c9b7.pth", 0.6, _LARGE),
    _coco("fasterrcnn-resnet50", "two_stage", "fasterrcnn_resnet50_fpn",
          "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", 1.0, _LARGE, eps=0.0),
    _coco("fasterrcnn-resnet50-v2", "two_stage", "fasterrcnn_resnet50_fpn_v2",
          "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 1.0, _LARGE),
    _coco("fasterrcnn-mobilenet-v3", "two_stage", "fasterrcnn_mobilenet_v3_large_fpn",
          "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth", 1.0, _LARGE),
    _coco("maskrcnn-resnet50", "two_stage", "maskrcnn_resnet50_fpn",
          "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 1.0, _LARGE, eps=0.0),
    _coco("maskrcnn-resnet50-v2", "two_stage", "maskrcnn_resnet50_fpn_v2",
          "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth", 1.0, _LARGE),
)


def _voc_segmenter(name: str, arch: str, file: str) -> Card:
    """torchvision's published weights: trained on COCO's pictures with VOC's 20 classes and background."""
    return Card(
        name=name, task="segment", net="torchvision_segmenter", file=file, sha256=file[-12:-4],
        licence="BSD-3-Clause (torchvision); trained on COCO train2017",
        source=f"torchvision {arch}, COCO_WITH_VOC_LABELS_V1", url=f"https://download.pytorch.org/models/{file}",
        input=Input((693, 520), "stretch"), names=("background", *name_list("voc")), tolerance=0.05,
        config={"arch": arch}, figures={"fp32": {"mIoU": _TORCHVISIONS[name][1]}},
        measured_on="COCO val2017 with VOC's classes, as published", megabytes=_TORCHVISIONS[name][0],
    )


_VOC = (
    _voc_segmenter("fcn-resnet50", "fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth"),
    _voc_segmenter("fcn-resnet101", "fcn_resnet101", "fcn_resnet101_coco-7ecb50ca.pth"),
    _voc_segmenter("deeplabv3-resnet50", "deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569.pth"),
    _voc_segmenter("deeplabv3-resnet101", "deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e.pth"),
    _voc_segmenter(
        "deeplabv3-mobilenet-v3", "deeplabv3_mobilenet_v3_large",
        "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    ),
)
_C3D = Card(
    name="c3d-ucf101",
    task="action",
    net="c3d",
    file="c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb_20220811-31723200.pth",
    sha256="31723200",
    licence="Apache-2.0 (MMAction2); trained on Sports-1M and UCF101 (research use)",
    use="research",
    source="MMAction2",
    figures={"fp32": {"top-1": 0.8292}}, measured_on="UCF101's split 1, ten clips, as published",
    input=Input((112, 112), "crop", mean=(104 / 255, 117 / 255, 128 / 255), std=_BYTE),
    names="ucf101",
    min_score=0.3,
    config={"classes": 101},
    clip=Clip(16, 25.0, features=("fc6", "pool5")),
    megabytes=313.0,
    url="https://download.openmmlab.com/mmaction/v1.0/recognition/c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_"
    "ucf101-rgb/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb_20220811-31723200.pth",
)
_KINETICS = tuple(
    Card(
        name=f"{arch.replace('_', '-')}-kinetics",
        task="action",
        net="video_resnet",
        file=f"{arch}-{digest}.pth",
        sha256=digest,
        licence="BSD-3-Clause (torchvision); trained on Kinetics-400",
        source="torchvision",
        figures={"fp32": {"top-1": top1}}, measured_on="Kinetics-400, as published",
        input=Input((112, 112), "crop", mean=KINETICS_MEAN, std=KINETICS_STD),
        names="kinetics400",
        min_score=0.3,
        config={"arch": arch, "classes": 400},
        clip=Clip(16, 15.0, features=("pool",)),
        url=f"https://download.pytorch.org/models/{arch}-{digest}.pth",
        megabytes=megabytes,
    )
    for arch, digest, top1, megabytes in (
        ("r3d_18", "b3b3357e", 0.632, 127.4), ("mc3_18", "a90a0ba3", 0.6396, 44.7),
        ("r2plus1d_18", "91a641e6", 0.6746, 120.3),
    )
)


def _onnx(
    name: str, url: str, sha256: str, size_wh: tuple[int, int], megabytes: float, ap: float, licence: str
) -> Card:
    """A detector of COCO's classes as an ONNX file, whose layout its outputs tell (`published.onnx_detector`)."""
    return Card(
        name=name, task="detect", form="onnx", file=url.rsplit("/", 1)[1], sha256=sha256, licence=licence, url=url,
        source=url.split("/")[3] + "/" + url.split("/")[4], input=Input(size_wh, "letterbox"), names="coco",
        min_score=0.4, boxes=Boxes(""), tolerance=0.1, figures={"fp32": {"AP": ap}}, measured_on=_AS_PUBLISHED,
        megabytes=megabytes,
    )


_OPENCV_ZOO = ("https://media.githubusercontent.com/media/opencv/opencv_zoo/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/"
               "models/")
_SAMPLES = "https://raw.githubusercontent.com/Kazuhito00/"
_ONNX = (
    _onnx("yolox-s", f"{_OPENCV_ZOO}object_detection_yolox/object_detection_yolox_2022nov.onnx",
          "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063", (640, 640), 35.9, 0.405,
          "Apache-2.0 (Megvii); trained on COCO 2017"),
    _onnx("yolox-nano", f"{_SAMPLES}YOLOX-ONNX-TFLite-Sample/3d4f1119d0694200671c08069ecb847aa0d8495a/model/"
          "yolox_nano.onnx", "695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14", (416, 416), 3.7, 0.258,
          "Apache-2.0 (Megvii); trained on COCO 2017"),
    _onnx("nanodet-plus-m", f"{_OPENCV_ZOO}object_detection_nanodet/object_detection_nanodet_2022nov.onnx",
          "4b82da9944b88577175ee23a459dce2e26e6e4be573def65b1055dc2d9720186", (416, 416), 3.8, 0.304,
          "Apache-2.0 (RangiLyu/nanodet); trained on COCO 2017"),
    _onnx("deimv2-femto", f"{_SAMPLES}DEIMv2-ONNX-Sample/f88d4382abca74edb26ed4c7f46190ac40da0ea5/model/"
          "deimv2_hgnetv2_femto_coco.onnx", "c6ad358f750132b891165e034c2ba507abefc5ebe1c1d2732a0acbcacc47e52c",
          (416, 416), 4.1, 0.31, "Apache-2.0 (Intellindust-AI-Lab); trained on COCO 2017"),
)
_EFFICIENT_SAM = Card(
    name="efficientsam-ti", task="prompted", form="onnx", file="image_segmentation_efficientsam_ti_2025april.onnx",
    sha256="4eb496e0a7259d435b49b66faf1754aa45a5c382a34558ddda9a8c6fe5915d77", megabytes=48.3,
    licence="Apache-2.0 (EfficientSAM); trained on ImageNet and SA-1B", source="opencv/opencv_zoo",
    url=f"{_OPENCV_ZOO}image_segmentation_efficientsam/image_segmentation_efficientsam_ti_2025april.onnx",
    input=Input((1024, 1024), "stretch", mean=_ZERO, std=(1.0, 1.0, 1.0)), names=("object",),
)
_PERSON_REID = Card(
    name="person-reid", task="looks", form="onnx", file="person-reidentification-retail-0248.onnx", megabytes=0.8,
    sha256="43891ce644ff6f4c70cce150028e44d6cf3d150cb5a3eb75bf69bfaef0ebe789",
    licence="Apache-2.0 (Intel's Open Model Zoo, as ONNX by PINTO0309)",
    source="Kazuhito00/MOT-Tracking-by-Detection-Pipeline",
    url=f"{_SAMPLES}MOT-Tracking-by-Detection-Pipeline/e50a76b8b430b778276e7fd04fd4cafd5d45eab2/Tracker/person_reid/model/"
    "person-reidentification-retail-0248.onnx",
    input=Input((128, 256), "stretch", fixed=True, mean=_ZERO, std=_BYTE), names=("person",),
    config={"channels": "BGR"}, tolerance=0.02,
)
_PLATES = Card(
    name="license-plates", task="detect", form="onnx", file="license_plate_detection_lpd_yunet_2023mar.onnx",
    sha256="6d4978a7b6d25514d5e24811b82bfb511d166bdd8ca3b03aa63c1623d4d039c7", megabytes=4.1,
    licence="Apache-2.0 (OpenCV's zoo); trained on Chinese plates", source="opencv/opencv_zoo",
    url=f"{_OPENCV_ZOO}license_plate_detection_yunet/license_plate_detection_lpd_yunet_2023mar.onnx",
    input=Input((320, 240), "corner", fixed=True, mean=_ZERO, std=_BYTE), names=("license plate",), min_score=0.8,
    boxes=Boxes("plates", 0.3), config={"outputs": ["loc", "conf", "iou"], "channels": "BGR"}, tolerance=0.1,
)
_VITTRACK = Card(
    name="vittrack", task="follow", form="onnx", file="object_tracking_vittrack_2023sep.onnx", megabytes=0.7,
    sha256="2990f0b7cd44d92afa48cd97db6de7be113fc1d9594fddb74e2725c10478e91d",
    licence="Apache-2.0 (OpenCV's zoo)", source="opencv/opencv_zoo",
    url=f"{_OPENCV_ZOO}object_tracking_vittrack/object_tracking_vittrack_2023sep.onnx",
    input=Input((256, 256), "stretch", fixed=True), names=("target",),
)

PULLED: tuple[Card, ...] = (*_COCO, *_ONNX, *_VOC, _C3D, *_KINETICS, _EFFICIENT_SAM, _PERSON_REID, _PLATES, _VITTRACK)

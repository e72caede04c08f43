"""What to type instead: other projects' words for our options and commands; and two examples of every command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vision.spec import nearest

_COMMANDS = {
    "predict": "detect, segment or classify", "infer": "detect, segment or classify", "val": "eval", "test": "eval",
    "info": "probe", "download": "weights pull", "export": "models compress", "quantize": "models compress",
    "list": "models", "landmark": "faces", "face": "faces", "segmentation": "segment", "detection": "detect",
    "classification": "classify", "tracking": "track", "fit": "train",
}
_ANY_SIZE = "Frames of any size are taken; `vision models show NAME` has the network's."
_OPTIONS = {
    "conf": "--min-score", "conf-thres": "--min-score", "confidence": "--min-score", "threshold": "--min-score",
    "score-thr": "--min-score", "iou": "--max-iou", "iou-thres": "--max-iou", "nms-iou": "--max-iou",
    "max-det": "--max-detections", "agnostic-nms": "--agnostic", "weights": "--model", "checkpoint": "--model",
    "source": "SOURCE, without an option", "input": "SOURCE, without an option", "video": "SOURCE, without an option",
    "imgsz": _ANY_SIZE,
    "img-size": _ANY_SIZE,
    "vid-stride": "--stride", "half": "--precision fp16", "fp16": "--precision fp16", "int8": "--precision int8",
    "view-img": "--show", "save-txt": "--yolo FOLDER", "save-json": "--coco FILE", "save-crop": "--save-frames FOLDER",
    "save": "-o FILE", "out": "-o", "project": "-o FOLDER", "name": "-o FILE", "line-width": "--labels",
    "show-labels": "--labels", "hide-labels": "--labels none", "hide-conf": "--labels name",
    "show-conf": "--labels name,score", "class": "--classes", "tracker-type": "--tracker", "gpu": "--device cuda",
    "verbose": "Progress is shown unless --quiet.", "frames": "--max-frames", "fps": "--rate or --stride",
}

EXAMPLES: dict[str, tuple[str, str]] = {
    "run": ("vision run drive.mp4 --do detect,track,faces --track.lost-after 2 -o out.mp4",
            "vision run 'videos/*.mp4' --plan plan.toml --jsonl out.jsonl"),
    "detect": ("vision detect video.mp4 --min-score 0.4 -o out.mp4 --jsonl out.jsonl",
               "vision detect pictures/ --classes person,car --csv out.csv"),
    "classify": ("vision classify pictures/ --csv classes.csv", "vision classify 0 --show"),
    "segment": ("vision segment drive.mp4 -o out.mp4", "vision segment pictures/ --index maps/"),
    "track": ("vision track video.mp4 -o out.mp4 --mot out.txt",
              "vision track video.mp4 --from detections.jsonl --lost-after 2 --trails 3"),
    "count": ("vision count video.mp4 --line 100,300,400,300 -o out.mp4",
              "vision count video.mp4 --scene scene.toml --events events.jsonl --heatmap heat.png"),
    "follow": ("vision follow video.mp4 --box 60,48,60,48 -o out.mp4", "vision follow video.mp4 --show"),
    "faces": ("vision faces video.mp4 -o out.mp4 --jsonl faces.jsonl", "vision faces 0 --show"),
    "pose": ("vision pose video.mp4 -o out.mp4", "vision pose picture.jpg -o out.png --jsonl -"),
    "action": ("vision action video.mp4 --segments segments.csv", "vision action 0 --show"),
    "probe": ("vision probe video.mp4 --count", "vision probe clips/*.mp4 --json"),
    "grid": ("vision grid video.mp4 -o frame.png", "vision grid video.mp4 --at 12.5 --pick line"),
    "features": ("vision features videos/ -o features.npz",
                 "vision features a.mp4 b.mp4 -o features.npz --feature pool"),
    "sample": ("vision sample", "vision sample clip.mp4"),
    "models": ("vision models", "vision models --json"),
    "models show": ("vision models show default", "vision models show runs/mine/best.safetensors"),
    "models check": ("vision models check gfl-voc", "vision models check mine.onnx --picture street.jpg"),
    "models compress": ("vision models compress gfl-voc --data pictures/ -o gfl-int8.safetensors",
                        "vision models compress mine.onnx --data data.yaml -o mine-int8.safetensors"),
    "weights list": ("vision weights list", "vision weights list | grep pull"),
    "weights verify": ("vision weights verify", "vision weights verify gfl-voc"),
    "weights pull": ("vision weights pull fcn-resnet50", "vision weights pull fcn-resnet50 fcn-resnet101"),
    "eval detect": ("vision eval detect --data voc2007/val.json",
                    "vision eval detect --data data.yaml --html report.html"),
    "eval classify": ("vision eval classify --data labels.csv", "vision eval classify --data pictures/val"),
    "eval segment": ("vision eval segment --data camvid",
                     "vision eval segment --data streets --split test --report r.json"),
    "eval landmarks": ("vision eval landmarks --data faces/keypoints.csv",
                       "vision eval landmarks --data labels.xml --images pictures/"),
    "eval action": ("vision eval action --data ucf101", "vision eval action --data ucf101 --split 1 --confusion c.png"),
    "eval track": ("vision eval track MOT17-02 MOT17-04", "vision eval track MOT17-02 --results results/"),
    "train detect": ("vision train detect --data my-data -o runs/mine",
                     "vision train detect --data data.yaml -o runs/mine --epochs 50"),
    "train segment": ("vision train segment --data streets -o runs/streets",
                      "vision train segment --data streets --model fpn:mobilenet_v2 -o runs/streets"),
    "train action": ("vision train action --data ucf101 --linear-svm --folds 5 -o runs/folds",
                     "vision train action --data videos --split 1 -o runs/one"),
}


def examples(path: str) -> str:
    """What help says below a command's options: a line an example."""
    lines = EXAMPLES.get(path, ())
    return "\n\n".join(("Examples:", *lines)) if lines else ""


def for_command(name: str, known: Iterable[str]) -> str:
    """What to type in place of a command that there is not."""
    ours = _COMMANDS.get(name.lower())
    return f"Here it is: vision {ours}." if ours else nearest(name, known)


def for_option(name: str, known: Iterable[str]) -> str:
    """What to type in place of an option that a command does not have. known: those that it has."""
    here = set(known)
    ours = _OPTIONS.get(name.lstrip("-").replace("_", "-").lower())
    if ours and (not ours.startswith("--") or ours.split()[0] in here):
        return ours if ours.endswith(".") else f"Here it is {ours}."
    return nearest(name, here)


def for_arguments(arguments: Sequence[str], known: Iterable[str]) -> str | None:
    """What is wrong with arguments such as `source=clip.mp4` and `conf=0.4`; None where they are none of these."""
    options = {option.lstrip("-"): option for option in known}
    for argument in arguments:
        found = re.fullmatch(r"([a-z_]+)=(.*)", argument)
        name = found[1].replace("_", "-") if found else ""
        if found and not Path(argument).exists() and (name in options or name in _OPTIONS):
            if _OPTIONS.get(name, "").startswith("SOURCE"):
                return f"a source goes without {found[1]}=. Write {found[2] or 'video.mp4'}."
            return f"{argument!r}: options begin with two dashes. " + (
                f"Write {options[name]} {found[2]}." if name in options else for_option(name, options.values()))
    return None

"""What to type: two examples of every command; and what other projects call our options and commands."""

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

def examples(path: str) -> list[str]:
    """The lines of `examples.txt` for a command or a group of commands, by its name (`eval detect`)."""
    lines = Path(__file__).with_name("examples.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if f"{line} ".startswith(f"vision {path} ")]


def epilog(path: str) -> str:
    """What help says below a command's options: its examples."""
    return "\n\n".join(("Examples:", *lines)) if (lines := examples(path)) else ""


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

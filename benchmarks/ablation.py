"""What each part of the default detector's training gives: short runs of its recipe, one change a row.

    python benchmarks/ablation.py START OUT [--data ../shared/data/voc2007] [--rows shipped,ATSS]

START is what tools/make_gfl_coco.py writes. Every row sees each second training picture twice, on one
thread and from one seed, at 192x192, and is judged by `vision eval detect` at 256x256; a row that has
been judged is not run again. The table is printed in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from vision.cli import app
from vision.nets.gfl import STRIDES, points
from vision.train import criteria
from vision.train.assign import Assigned

FROZEN = ",".join(f"encoder.features.{i}." for i in range(4))
RECIPE = {                              # weights/detect.md's first run, short
    "--epochs": "2", "--closing": "1", "--batch": "8", "--lr": "8e-4", "--ema": "0.998", "--warmup": "0.25",
    "--scale": "0.5,2.0", "--mosaic": "0.3", "--crop": "192x192", "--size": "256x256", "--val-every": "2",
    "--workers": "1", "--threads": "1", "--frozen": FROZEN,
}
ROWS: dict[str, dict[str, str]] = {     # what a row changes; START is the model unless it says another
    "shipped": {},
    "ImageNet": {"--model": "gfl"},
    "ATSS": {},
    "no mosaic": {"--mosaic": "0"},
    "mirror only": {"--mosaic": "0", "--scale": "1,1", "--colour": "0"},
    "size 256": {"--crop": "256x256"},
    "constant rate": {"--schedule": "constant"},
    "no average": {"--ema": "0"},
    "stem learns": {"--frozen": ""},
    "encoder as fast": {"--backbone-lr": "1"},
}
_NEAREST, _SIDE = 9, 8                  # of ATSS: cells a level; a cell's square, in strides


@torch.no_grad()
def atss(scores: Tensor, boxes: Tensor, centres: Tensor, objects: Tensor, labels: Tensor) -> Assigned:
    """Zhang et al. 2020, "ATSS", in place of `task_aligned`: of the 9 nearest cells of each level, those
    inside an object whose square overlaps it by more than the mean and the deviation of all of them. As
    in VarifocalNet a cell's target is the overlap of the box that it gives now."""
    if not objects.shape[1]:
        return Assigned(torch.zeros_like(scores), torch.zeros_like(boxes), torch.zeros_like(boxes[..., 0]))
    width, height = (int(side) + STRIDES[-1] // 2 for side in centres[-1].tolist())    # crops are whole cells
    strides = points((width, height))[1].to(centres)
    there = labels >= 0
    square = box_convert(torch.cat([centres, (_SIDE * strides[:, None]).expand(-1, 2)], 1), "cxcywh", "xyxy")
    prior = box_iou(objects, square)                                                   # (B,M,A)
    away = torch.cdist((objects[..., :2] + objects[..., 2:]) / 2, centres)
    near = torch.zeros_like(prior, dtype=torch.bool)
    for stride in STRIDES:
        level = away.masked_fill(strides != stride, torch.inf)
        count = min(_NEAREST, int((strides == stride).sum()))
        near.scatter_(-1, level.topk(count, -1, largest=False).indices, True)
    count = near.sum(-1, keepdim=True)
    mean = (prior * near).sum(-1, keepdim=True) / count
    deviation = (((prior - mean) * near).square().sum(-1, keepdim=True) / (count - 1)).sqrt()
    offsets = torch.cat([centres - objects[..., None, :2], objects[..., None, 2:] - centres], -1)
    chosen = near & (prior >= mean + deviation) & (offsets.amin(-1) > 0) & there[..., None]
    taken, which = prior.masked_fill(~chosen, -1.0).max(1)                             # (B,A)
    mine = objects.gather(1, which[..., None].expand(-1, -1, 4))
    overlap = box_iou(objects, boxes).gather(1, which[:, None])[:, 0]
    weights = overlap.clamp(min=1e-3).where(taken >= 0, 0.0)
    label = labels.clamp(min=0).gather(1, which)
    return Assigned(torch.zeros_like(scores).scatter_(2, label[..., None], weights[..., None]), mine, weights)


def half(data: Path, folder: Path) -> Path:
    """A data set of every second training picture, and all of those to validate with."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, step in (("train", 2), ("val", 1)):
        table = json.loads((data / f"{split}.json").read_text(encoding="utf-8"))
        pictures = (data / "images").resolve()
        images = [{**i, "file_name": str(pictures / i["file_name"])} for i in table["images"][::step]]
        kept = {image["id"] for image in images}
        table["annotations"] = [a for a in table["annotations"] if a["image_id"] in kept]
        table["images"] = images
        (folder / f"{split}.json").write_text(json.dumps(table), encoding="utf-8")
    return folder


def command(*words: str) -> None:
    """`vision WORDS`, in this process."""
    app(list(words), standalone_mode=False)


def judged(row: str, start: str, data: Path, out: Path) -> dict[str, float]:
    """The figures of a row."""
    run = out / row.replace(" ", "-")
    if not (run / "val.json").is_file():
        options = {"--model": start, **RECIPE, **ROWS[row]}
        flags = [word for pair in options.items() for word in pair]
        criteria.task_aligned = atss if row == "ATSS" else task_aligned
        command("train", "detect", "--data", str(half(data, out / "data")), "-o", str(run), "-q", *flags)
        command(
            "eval", "detect", "--data", str(data / "val.json"), "--model", str(run / "best.safetensors"),
            "--precision", "fp32", "--report", str(run / "val.json"), "-q",
        )
    figures: dict[str, float] = json.loads((run / "val.json").read_text(encoding="utf-8"))
    return figures


task_aligned = criteria.task_aligned

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("start")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/voc2007"))
    parser.add_argument("--rows", default=",".join(ROWS))
    asked = parser.parse_args()
    lines = ["| row | flags | AP | AP50 | small | medium | large |", "|---|---|---|---|---|---|---|"]
    for name in asked.rows.split(","):
        of = judged(name, asked.start, asked.data, asked.out)
        flags = " ".join(f"{flag} {value or chr(39) * 2}" for flag, value in ROWS[name].items())
        told = " | ".join(f"{of[k]:.3f}" for k in ("ap", "ap50", "small", "medium", "large"))
        lines.append(f"| {name} | {flags} | {told} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("\n".join(lines))

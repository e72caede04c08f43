"""Train NanoDet on the labels of people and of teachers; what came of it is told in weights/detect.md.

    python tools/distil_nanodet.py nanodet-g.safetensors OUT --labels labels.jsonl --real coco/train.json \
        --real VOC2007/train.json --minutes 100

labels.jsonl is what `label_pictures.py` wrote. Where people labelled a picture (`--real`, COCO JSON of COCO's or
VOC's classes, its pictures beside it or in `images`), a teacher's box of the same class that lies on theirs goes;
the others stay, with their score as a soft label: what people left out is not background. OUT/last.pt is written
every 100 steps, and the same command goes on from it; OUT/nanodet.safetensors is the average of the weights.

Targets are task-aligned (Feng et al. 2021, "TOOD"), each scaled by its label's score; losses are quality focal
and distribution focal loss (Li et al. 2020, "Generalized Focal Loss") and GIoU. The classes that VOC does not
have are learnt from teachers alone in most pictures: there the network as published is asked, too (Li and Hoiem 2016,
"Learning without forgetting").
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, generalized_box_iou_loss

from vision.boxes import iou
from vision.card import IMAGENET_MEAN, IMAGENET_STD, card_of, name_list
from vision.engine.program import state_dict
from vision.nets.gfl import points
from vision.nets.nanodet import NanoDet
from vision.train.criteria import distribution_focal
from vision.train.fit import save_weights

FLOOR = 0.1                                       # a teacher's boxes below it are no label
AS_COCO = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "pottedplant": "potted plant",
           "diningtable": "dining table", "tvmonitor": "tv"}
FROZEN = ("encoder.stem", "encoder.stages.0")
MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (IMAGENET_MEAN, IMAGENET_STD))


def real_boxes(file: Path) -> dict[str, np.ndarray]:
    """Of each picture, rows (N,5) xyxy and label, without crowds and difficult objects."""
    data = json.loads(file.read_text())
    label = {c["id"]: name_list("coco").index(AS_COCO.get(c["name"], c["name"])) for c in data["categories"]}
    beside = (file.parent / data["images"][0]["file_name"]).is_file()
    folder = file.parent if beside else file.parent / "images"
    path = {i["id"]: str((folder / i["file_name"]).resolve()) for i in data["images"]}
    rows: dict[str, list[list[float]]] = {p: [] for p in path.values()}
    for a in data["annotations"]:
        if not (a.get("iscrowd") or a.get("difficult")):
            x, y, w, h = a["bbox"]
            rows[path[a["image_id"]]].append([x, y, x + w, y + h, label[a["category_id"]]])
    return {p: np.array(r, np.float32).reshape(-1, 5) for p, r in rows.items()}


def soft_labels(taught: np.ndarray, real: np.ndarray | None, complete: bool) -> np.ndarray:
    """Rows (N,6) xyxy, label, score from a teacher's rows and those of people. complete: people labelled all
    80 classes, so that what they left out is less likely there."""
    taught = taught[taught[:, 5] >= FLOOR]
    if real is None:
        return taught
    if len(real) and len(taught):
        overlap = iou(taught[:, :4], real[:, :4])
        same = (overlap * (taught[:, 4:5] == real[:, 4])).max(1)
        if complete:
            taught[:, 5] *= np.where(overlap.max(1) > 0.7, 0.35, 0.7)
        taught = taught[(same <= 0.45) & (taught[:, 5] >= FLOOR)]
    return np.concatenate([np.c_[real, np.ones(len(real), np.float32)], taught])


class Pictures(torch.utils.data.IterableDataset[tuple[Tensor, list[Tensor]]]):
    """Batches without end: square canvases (B,3,S,S) uint8 RGB of a size drawn for each batch, holding one picture
    or a mosaic of four, and rows (N,6) for each."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.items, self.weights = args, [], []
        real = [real_boxes(file) for file in args.real]
        for line in args.labels.open():
            entry = json.loads(line)
            path = str(Path(entry["picture"]).resolve())
            source = next((i for i, boxes in enumerate(real) if path in boxes), None)
            complete = source is not None and len({*np.concatenate([*real[source].values()])[:, 4]}) > 40
            if args.alone and source is None:
                continue
            boxes = np.array([] if args.alone else entry["boxes"], np.float32).reshape(-1, 6)
            self.items.append((path, soft_labels(boxes, None if source is None else real[source][path], complete)))
            self.weights.append(3 if complete else 1)

    def __iter__(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        cv2.setNumThreads(1)
        self.random = random.Random(self.args.seed if self.args.steps else time.time_ns())
        while True:
            side = self.random.choice(self.args.sizes)
            canvases, rows = zip(*(self.item(side) for _ in range(self.args.batch)), strict=True)
            pixels = torch.from_numpy(np.stack(canvases)[..., ::-1].copy()).permute(0, 3, 1, 2)
            yield pixels, [torch.from_numpy(r) for r in rows]

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """A picture and its rows."""
        path, rows = self.random.choices(self.items, self.weights)[0]
        return cv2.imread(path), rows.copy()

    def item(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A canvas and its rows, the surest hundred."""
        canvas = np.full((side, side, 3), 114, np.uint8)
        if self.random.random() < 0.6:
            x, y = (int(side * self.random.uniform(0.3, 0.7)) for _ in range(2))
            regions = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
            rows = np.concatenate([self.place(canvas, region, side / 2, (0.7, 2.0)) for region in regions])
        else:
            rows = self.place(canvas, (0, 0, side, side), side, (0.6, 1.5))
        if self.random.random() < 0.7:
            canvas = self.recoloured(canvas)
        return canvas, rows[np.argsort(-rows[:, 5], kind="stable")[:100]]

    def place(
        self, canvas: np.ndarray, region: tuple[int, int, int, int], fit: float, scale: tuple[float, float]
    ) -> np.ndarray:
        """Put a picture into a part of the canvas, its longer side `fit` pixels times a random scale, and give the
        rows of which a quarter is seen."""
        image, rows = self.drawn()
        h, w = image.shape[:2]
        ratio = fit / max(h, w) * math.exp(self.random.uniform(*map(math.log, scale)))
        aspect = math.exp(self.random.uniform(-0.12, 0.12))
        wide, high = max(8, int(w * ratio * aspect)), max(8, int(h * ratio / aspect))
        image = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA if ratio < 0.7 else cv2.INTER_LINEAR)
        if self.random.random() < 0.5:
            image = image[:, ::-1]
            rows[:, [0, 2]] = w - rows[:, [2, 0]]
        left, top = (
            start + (self.random.randint(0, room) if room >= 0 else -self.random.randint(0, -room))
            for start, room in ((region[0], region[2] - region[0] - wide), (region[1], region[3] - region[1] - high))
        )
        x0, y0 = max(left, region[0]), max(top, region[1])
        x1, y1 = min(left + wide, region[2]), min(top + high, region[3])
        canvas[y0:y1, x0:x1] = image[y0 - top : y1 - top, x0 - left : x1 - left]
        rows[:, :4] = rows[:, :4] * np.array([wide / w, high / h] * 2, np.float32) + [left, top, left, top]
        whole = np.prod(rows[:, 2:4] - rows[:, :2], 1)
        rows[:, :4] = rows[:, :4].clip([x0, y0, x0, y0], [x1, y1, x1, y1])
        sides = rows[:, 2:4] - rows[:, :2]
        return rows[(sides.prod(1) > 0.25 * whole) & (sides.min(1) > 3)]

    def recoloured(self, canvas: np.ndarray) -> np.ndarray:
        """Another hue, saturation and brightness."""
        levels = np.arange(256)
        hue, more, bright = self.random.uniform(-4, 4), self.random.uniform(0.6, 1.4), self.random.uniform(0.65, 1.35)
        tables = ((levels + hue) % 180, (levels * more).clip(0, 255), (levels * bright).clip(0, 255))
        planes = cv2.split(cv2.cvtColor(canvas, cv2.COLOR_BGR2HSV))
        changed = [cv2.LUT(plane, table.astype(np.uint8)) for plane, table in zip(planes, tables, strict=True)]
        return cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR)


@torch.no_grad()
def assigned(scores: Tensor, boxes: Tensor, centres: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each cell of a picture should say: scores (A,C), boxes (A,4), and the weight (A,) of its box. Every row
    asks the 13 cells inside it that class and place it best, for its own class alone, by its own score."""
    if not len(rows):
        return torch.zeros_like(scores), torch.zeros_like(boxes), torch.zeros_like(boxes[:, 0])
    objects, labels, certain = rows[:, :4], rows[:, 4].long(), rows[:, 5:]
    overlap = box_iou(objects, boxes)
    inside = torch.cat([centres - objects[:, None, :2], objects[:, None, 2:] - centres], -1).amin(-1) > 0
    aligned = scores[:, labels].T * overlap.pow(6) * inside
    best = torch.zeros_like(inside).scatter_(1, aligned.topk(13, 1).indices, True) & (aligned > 0)
    aligned = aligned * best
    share = aligned / aligned.amax(1, keepdim=True).clamp(min=1e-12)
    value = share * (overlap * best).amax(1, keepdim=True) * certain
    targets = torch.zeros_like(scores).T.contiguous().index_reduce_(0, labels, value, "amax").T
    weights, which = value.max(0)
    return targets, objects[which], weights


def losses(net: NanoDet, x: Tensor, rows: list[Tensor], before: NanoDet, kept: Tensor) -> Tensor:
    """Quality focal, GIoU and distribution focal loss (3,), each over the sum of the targets. before: the network as it
    was, whose scores (Li and Hoiem 2016, "Learning without forgetting") are the least that the classes `kept` (C,)
    should say."""
    with torch.autocast("cpu", torch.bfloat16):
        outputs = net(x)
        with torch.no_grad():
            known = before(x)[0].float().sigmoid()
    logits, distances = (output.float() for output in outputs)
    size_wh = (x.shape[-1], x.shape[-2])
    boxes = net.boxes(distances, size_wh)
    centres, strides = points(size_wh, net.strides)
    scores = logits.detach().sigmoid()
    made = [assigned(s, b, centres, r) for s, b, r in zip(scores, boxes.detach(), rows, strict=True)]
    targets, wanted, weights = (torch.stack(part) for part in zip(*made, strict=True))
    total = weights.sum().clamp(min=1.0)
    targets = torch.where(kept, torch.maximum(targets, known), targets)
    quality = F.binary_cross_entropy_with_logits(logits, targets, (targets - scores).square(), reduction="sum")
    picture, cell = (weights > 0).nonzero(as_tuple=True)
    share, wanted = weights[picture, cell], wanted[picture, cell]
    away = torch.cat([centres[cell] - wanted[:, :2], wanted[:, 2:] - centres[cell]], 1) / strides[cell, None]
    bins = distribution_focal(distances[picture, cell].flatten(0, 1), away.clamp(min=0).flatten()).view(-1, 4).mean(1)
    overlap = generalized_box_iou_loss(boxes[picture, cell], wanted)
    return torch.stack([quality, 2 * (overlap * share).sum(), 0.25 * (bins * share).sum()]) / total


def start(file: Path) -> NanoDet:
    """NanoDet of three levels, as published, with the weights of the file."""
    net = NanoDet(80, levels=3)
    net.load_state_dict(state_dict(file))
    return net.to(memory_format=torch.channels_last)


def optimiser(net: nn.Module, rate: float) -> torch.optim.Optimizer:
    """The stem and the first stage stand still."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(FROZEN))
    return torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=rate, weight_decay=0.01)


def main() -> None:
    """Train, or go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--steps", type=int, default=0, help="so many, instead of minutes: in the order of the seed")
    parser.add_argument("--seed", type=int, default=0, help="with --steps: of the pictures' order and changes")
    parser.add_argument("--alone", action="store_true", help="people's labels alone, without teachers")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[416, 448, 480, 512, 544, 576])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    net, before = start(args.start), start(args.start).eval().requires_grad_(False)
    voc = {name_list("coco").index(AS_COCO.get(name, name)) for name in name_list("voc")}
    kept = torch.tensor([index not in voc and not args.alone for index in range(80)])
    average, chosen = copy.deepcopy(net).eval(), optimiser(net, args.rate)
    step, spent, last = 0, 0.0, args.out / "last.pt"
    if last.is_file():
        saved = torch.load(last)
        step, spent = saved["step"], saved["spent"]
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        chosen.load_state_dict(saved["optimiser"])
    loader = iter(torch.utils.data.DataLoader(Pictures(args), batch_size=None, num_workers=1, prefetch_factor=4))
    began = time.monotonic() - spent
    while (spent := time.monotonic() - began) < args.minutes * 60 or args.steps:
        done = step / args.steps if args.steps else spent / (args.minutes * 60)
        if done >= 1:
            break
        pixels, rows = next(loader)
        falling = max(0.0, done - 0.68) / 0.32                                      # flat, then a cosine
        rate = args.rate * min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * falling)))
        for group in chosen.param_groups:
            group["lr"] = rate
        terms = losses(net, ((pixels.float() - MEAN) / STD).contiguous(memory_format=torch.channels_last), rows,
                       before, kept)
        chosen.zero_grad()
        terms.sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        chosen.step()
        step += 1
        decay = min(0.9995, 1 - 1 / (step + 10) ** 0.9)
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        if step % 25 == 0:
            print(step, [round(t, 4) for t in terms.tolist()], f"rate {rate:.1e}, {spent / 60:.1f} minutes", flush=True)
        if step % 100 == 0:
            torch.save({"step": step, "spent": spent, "net": net.state_dict(), "average": average.state_dict(),
                        "optimiser": chosen.state_dict()}, args.out / "part.pt")
            (args.out / "part.pt").replace(last)
    card = replace(card_of(args.start), name="nanodet", source="tools/distil_nanodet.py")
    save_weights(args.out / "nanodet.safetensors", average, card, {})


if __name__ == "__main__":
    main()

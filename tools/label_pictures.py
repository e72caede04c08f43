"""Let detectors of 80 classes label pictures together: the soft labels of `distil_nanodet.py`.

    python tools/label_pictures.py labels.jsonl PICTURES... --teacher yolox_nano.onnx:0.7 --teacher picodet_s.onnx \
        --teacher deimv2_femto.onnx --ncnn nanodet_plus.ncnn.param

PICTURES are files or folders. A teacher is what `vision detect --model` takes, with its weight behind a
colon (1 unless given); `--ncnn` is a NanoDet-Plus, run by the package `ncnn`. A line of the result is
{"picture": path, "boxes": [[left, top, right, bottom, label, score], ...]} in pixels, labels in COCO's order;
pictures that are in the file already are left alone, so the command can be interrupted and given again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vision.boxes import iou, nms
from vision.tasks.decoders import DECODERS, sigmoid
from vision.tasks.detect import Detector
from vision.types import Detections, Image

FLOOR = 0.08                                      # scores below it are noise
SUFFIXES = {".jpg", ".jpeg", ".png"}
Teacher = Callable[[Image], Detections]


def of_engine(model: str) -> Teacher:
    """A teacher that our engine runs."""
    detector = Detector.load(model, device="cpu", precision="fp32")
    most = min(0.6, detector.card.boxes.max_iou)
    return lambda image: detector(image, min_score=FLOOR, max_detections=150, max_iou=most)


def of_ncnn(param: Path) -> Teacher:
    """NanoDet-Plus at 416x416; its scores come as logits there."""
    import ncnn

    net = ncnn.Net()
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))

    def found(image: Image) -> Detections:
        h, w = image.shape[:2]
        square = np.ascontiguousarray(cv2.resize(image, (416, 416)))
        pixels = ncnn.Mat.from_pixels(square, ncnn.Mat.PixelType.PIXEL_BGR, 416, 416)
        pixels.substract_mean_normalize([103.53, 116.28, 123.675], [1 / 57.375, 1 / 57.12, 1 / 58.395])
        extractor = net.create_extractor()
        extractor.input("in0", pixels)
        table = np.array(extractor.extract("out0")[1]).T[None]                   # (1,A,80+32)
        table = np.concatenate([sigmoid(table[..., :80]), table[..., 80:]], 2)
        rows = DECODERS["nanodet"]((table,), 0, FLOOR, (416, 416))
        rows = rows[nms(rows.boxes, rows.scores, rows.labels, 0.6)[:150]]
        scale = np.array([w, h, w, h], np.float32) / 416
        return Detections(np.clip(rows.boxes * scale, 0, [w, h, w, h]).astype(np.float32), rows.scores, rows.labels)

    return found


def fused(tables: list[Detections], weights: list[float], min_iou: float = 0.55) -> np.ndarray:
    """Rows (N,6) xyxy, label, score. Solovyev et al. 2021, "Weighted boxes fusion": boxes of a class that lie
    together become their mean, weighted by score; its score is the mean over all teachers, with 0 for one
    that sees nothing there."""
    boxes = np.concatenate([t.boxes for t in tables])
    scores = np.concatenate([t.scores for t in tables])
    labels = np.concatenate([t.labels for t in tables])
    teacher = np.concatenate([np.full(len(t), i) for i, t in enumerate(tables)])
    weighted = np.array(weights)[teacher] * scores
    rows = []
    for label in np.unique(labels):
        clusters: list[list[int]] = []
        means = np.zeros((0, 4), np.float32)
        for i in np.argsort(-weighted, kind="stable"):
            if labels[i] != label:
                continue
            overlap = iou(boxes[i : i + 1], means)[0] if clusters else np.zeros(1)
            best = int(overlap.argmax())
            if overlap[best] > min_iou:
                clusters[best].append(i)
                share = weighted[clusters[best]]
                means[best] = (boxes[clusters[best]] * share[:, None]).sum(0) / share.sum()
            else:
                clusters.append([i])
                means = np.concatenate([means, boxes[i : i + 1]])
        for members, mean in zip(clusters, means, strict=True):
            best_of = {t: scores[[i for i in members if teacher[i] == t]].max() for t in set(teacher[members])}
            rows.append([*mean, label, sum(weights[t] * score for t, score in best_of.items()) / sum(weights)])
    return np.array([row for row in rows if row[5] >= FLOOR]).reshape(-1, 6)


def main() -> None:
    """Label every picture that is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--teacher", action="append", default=[])
    parser.add_argument("--ncnn", type=Path, action="append", default=[])
    args = parser.parse_args()
    named = [(name, float(weight or 1)) for name, _, weight in (t.partition(":") for t in args.teacher)]
    teachers = [of_engine(name) for name, _ in named] + [of_ncnn(param) for param in args.ncnn]
    weights = [weight for _, weight in named] + [1.0 for _ in args.ncnn]
    files = [f for p in args.pictures for f in (sorted(p.iterdir()) if p.is_dir() else [p]) if f.suffix in SUFFIXES]
    done = {json.loads(line)["picture"] for line in args.target.open()} if args.target.is_file() else set()
    with args.target.open("a") as target:
        for file in files:
            image = cv2.imread(str(file))
            if str(file.absolute()) in done or image is None:
                continue
            rows = fused([teacher(image) for teacher in teachers], weights)
            target.write(json.dumps({"picture": str(file.absolute()), "boxes": np.round(rows, 3).tolist()}) + "\n")
            target.flush()


if __name__ == "__main__":
    main()

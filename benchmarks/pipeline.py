"""The whole pipeline beside the bare engine and beside `yolo predict`: same weights, clip and run.

    python benchmarks/pipeline.py VIDEO [--rounds 3] [--frames 400]

A YOLO11n with random weights (made here, 480x640) runs as ONNX, and once more as int8, made by
`vision compress` from the clip. Variants take turns within each round, because absolute times
drift on shared machines; what counts is the ratio within a round. Needs the extras `yolo` and
`compress`.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import tempfile
from collections import deque
from datetime import date
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from vision import Detect, Detector, JsonLines, Run, VideoFile, read
from vision.cli.compress import compress
from vision.view import letterbox

SIZE_WH = (640, 480)


def exported(folder: Path) -> dict[str, Path]:
    """The same random YOLO11n as torch, ONNX and OpenVINO, all made by ultralytics."""
    from ultralytics import YOLO

    model = YOLO("yolo11n.yaml")
    weights = folder / "yolo11n.pt"
    model.save(str(weights))
    made = {"torch": weights}
    for kind in ("onnx", "openvino"):
        made[kind] = Path(YOLO(weights).export(format=kind, imgsz=(SIZE_WH[1], SIZE_WH[0]), verbose=False))
    return made


def bare(detector: Detector, batches: list[np.ndarray]) -> None:
    """The engine alone, on network inputs that lie in memory, with requests kept in flight."""
    flying: deque = deque()
    for batch in batches:
        flying.append(detector.engine.submit(batch))
        if len(flying) > detector.engine.in_flight:
            flying.popleft().result()
    while flying:
        flying.popleft().result()


def piped(detector: Detector, video: str, frames: int, out: Path, *, encode: bool) -> None:
    """Reading, inference, records and, with `encode`, drawing and H.264."""
    sinks = [JsonLines(out / "records.jsonl"), *([VideoFile(out / "out.mp4")] if encode else [])]
    with Run(read(video, max_frames=frames), Detect(detector), sinks) as run:
        report = run.finish()
    assert report.inferred == frames, report.to_dict()


def ultralytics(yolo: Any, video: str, frames: int, out: Path, *, save: bool = False) -> None:
    """`yolo predict` as a library call on a loaded model, its results taken one by one. save: boxes drawn
    and the video written, which the command does unless told not to."""
    results = yolo.predict(
        video, stream=True, imgsz=(SIZE_WH[1], SIZE_WH[0]), verbose=False, save=save,
        project=str(out), exist_ok=True,
    )
    for n, _ in enumerate(results, 1):
        if n == frames:
            break


def main() -> None:
    """Print a table: median frames a second, and the ratios the README quotes."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--only", nargs="*", help="variants to run, instead of all")
    args = parser.parse_args()
    from ultralytics import YOLO

    folder = Path(tempfile.mkdtemp(prefix="vision-benchmark-"))
    try:
        made = exported(folder)
        detector = Detector.load(made["onnx"], backend="openvino")
        compress(str(made["onnx"]), Path(args.video), folder / "int8.safetensors", pictures=100)
        small = Detector.load(folder / "int8.safetensors", backend="openvino")
        images = [frame.image for frame in read(args.video, max_frames=args.frames)]
        frames = len(images)
        batches = [letterbox(image, SIZE_WH).pixels[None] for image in images]
        peers = {kind: YOLO(made[kind], task="detect") for kind in ("torch", "openvino")}
        variants = {
            "bare engine": partial(bare, detector, batches),
            "pipeline, JSONL": partial(piped, detector, args.video, frames, folder, encode=False),
            "pipeline, JSONL + H.264": partial(piped, detector, args.video, frames, folder, encode=True),
            "pipeline, int8, JSONL": partial(piped, small, args.video, frames, folder, encode=False),
            "ultralytics, torch + video": partial(
                ultralytics, peers["torch"], args.video, frames, folder, save=True),
            "ultralytics, torch": partial(ultralytics, peers["torch"], args.video, frames, folder),
            "ultralytics, OpenVINO": partial(ultralytics, peers["openvino"], args.video, frames, folder),
        }
        variants = {name: go for name, go in variants.items() if not args.only or name in args.only}
        bare(detector, batches[:20])
        bare(small, batches[:20])
        for peer in peers.values():                            # loaded and warm as ours is
            ultralytics(peer, args.video, 5, folder)
        fps: dict[str, list[float]] = {name: [] for name in variants}
        busy: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(args.rounds):
            for name, go in variants.items():
                began, used = perf_counter(), process_time()
                go()
                fps[name].append(frames / (perf_counter() - began))
                busy[name].append(1000 * (process_time() - used) / frames)
    finally:
        shutil.rmtree(folder)
    print(f"{platform.machine()}, {date.today()}, {frames} frames, engine: {detector.engine.label}")
    for name, values in fps.items():
        cost = statistics.median(busy[name])
        print(f"{name:26s} {statistics.median(values):7.1f} frames/s {cost:7.1f} processor ms a frame")
    for over, under in (
        ("pipeline, JSONL", "bare engine"),
        ("pipeline, JSONL + H.264", "bare engine"),
        ("pipeline, JSONL", "ultralytics, torch"),
        ("pipeline, int8, JSONL", "ultralytics, torch"),
        ("pipeline, JSONL + H.264", "ultralytics, torch + video"),
        ("pipeline, JSONL", "ultralytics, OpenVINO"),
    ):
        if over in fps and under in fps:
            ratios = [a / b for a, b in zip(fps[over], fps[under], strict=True)]
            print(f"{over} / {under}: {statistics.median(ratios):.2f} (rounds: "
                  + ", ".join(f"{r:.2f}" for r in ratios) + ")")


if __name__ == "__main__":
    main()

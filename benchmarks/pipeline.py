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
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from vision import Detect, Detector, JsonLines, Run, VideoFile, read
from vision.benchmark.bare import replay
from vision.benchmark.meter import figures, in_turns, shares
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
    parser.add_argument("--pictures", type=int, default=100, help="that int8 is made with")
    parser.add_argument("--only", nargs="*", help="variants to run, instead of all")
    args = parser.parse_args()
    from ultralytics import YOLO

    folder = Path(tempfile.mkdtemp(prefix="vision-benchmark-"))
    try:
        made = exported(folder)
        detector = Detector.load(made["onnx"], backend="openvino")
        compress(str(made["onnx"]), output=folder / "int8.safetensors", data=Path(args.video), pictures=args.pictures)
        small = Detector.load(folder / "int8.safetensors", backend="openvino")
        images = [frame.image for frame in read(args.video, max_frames=args.frames)]
        frames = len(images)
        batches = [letterbox(image, SIZE_WH).pixels[None] for image in images]
        peers = {kind: YOLO(made[kind], task="detect") for kind in ("torch", "openvino")}
        variants = {
            "bare engine": partial(replay, detector.engine, batches),
            "pipeline, JSONL": partial(piped, detector, args.video, frames, folder, encode=False),
            "pipeline, JSONL + H.264": partial(piped, detector, args.video, frames, folder, encode=True),
            "pipeline, int8, JSONL": partial(piped, small, args.video, frames, folder, encode=False),
            "ultralytics, torch + video": partial(
                ultralytics, peers["torch"], args.video, frames, folder, save=True),
            "ultralytics, torch": partial(ultralytics, peers["torch"], args.video, frames, folder),
            "ultralytics, OpenVINO": partial(ultralytics, peers["openvino"], args.video, frames, folder),
        }
        variants = {name: go for name, go in variants.items() if not args.only or name in args.only}
        replay(detector.engine, batches[:20])
        replay(small.engine, batches[:20])
        for peer in peers.values():                            # loaded and warm as ours is
            ultralytics(peer, args.video, 5, folder)

        def measured(go: Any) -> tuple[int, tuple[float, ...]]:
            go()
            return frames, ()

        turns = in_turns({name: partial(measured, go) for name, go in variants.items()}, args.rounds, warm=False)
    finally:
        shutil.rmtree(folder)
    print(f"{platform.machine()}, {date.today()}, {frames} frames, engine: {detector.engine.label}")
    for name, of in turns.items():
        one = figures(of)
        print(f"{name:26s} {one.fps:7.1f} frames/s {1000 * one.processor_s:7.1f} processor ms a frame")
    for over, under in (
        ("pipeline, JSONL", "bare engine"),
        ("pipeline, JSONL + H.264", "bare engine"),
        ("pipeline, JSONL", "ultralytics, torch"),
        ("pipeline, int8, JSONL", "ultralytics, torch"),
        ("pipeline, JSONL + H.264", "ultralytics, torch + video"),
        ("pipeline, JSONL", "ultralytics, OpenVINO"),
    ):
        if over in turns and under in turns:
            ratios = shares(turns[over], turns[under])
            print(f"{over} / {under}: {statistics.median(ratios):.2f} (rounds: "
                  + ", ".join(f"{r:.2f}" for r in ratios) + ")")


if __name__ == "__main__":
    main()

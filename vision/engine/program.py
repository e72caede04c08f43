"""What a back end compiles: a card's network as a torch module, or as an ONNX file.

The ONNX file of a picture size is exported once, with torch, and kept in the user's cache, so that
from the second time on no back end but torch's own has to import torch.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vision.engine.base import CannotRun
from vision.errors import WeightsError
from vision.weights import cache_dir, resolve, sha256
from vision.zoo import Card

if TYPE_CHECKING:
    from torch import Tensor

    from vision.nets.deploy import Deploy

Shape = tuple[int, ...]                       # of one picture (H,W,3), or one clip (T,H,W,3)

_log = logging.getLogger("vision.engine")
_NETS = Path(__file__).resolve().parent.parent / "nets"


class Program:
    """A card's graph, in the form that a back end asks for. Its weights are found and verified."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.weights = resolve(card)
        self._lock = threading.Lock()

    def module(self) -> Deploy:
        """The graph in torch: float32, on the CPU, in evaluation mode."""
        from vision.nets import build
        from vision.nets.deploy import Deploy

        net = build(self.card.net, **self.card.config)
        try:
            net.load_state_dict(state_dict(self.weights))
        except RuntimeError as error:
            raise WeightsError(
                f"{str(self.weights)!r} does not fit the network {self.card.net!r} of {self.card.name!r}: "
                f"{' '.join(str(error).split())[:400]}"
            ) from error
        return Deploy(net, self.card.mean, self.card.std).float().eval()

    def onnx(self, shape: Shape) -> Path:
        """The graph as an ONNX file for pictures of `shape`, from the cache or exported into it."""
        target = cache_dir() / "onnx" / f"{self.card.name}-{'x'.join(map(str, shape[:-1]))}-{self._key}.onnx"
        with self._lock:
            if not target.is_file():
                _log.info("exporting %s for %s", self.card.name, "x".join(map(str, shape)))
                with _whole(target) as part:
                    self._export(shape, part)
        return target

    def _export(self, shape: Shape, path: Path) -> None:
        import warnings

        import torch

        example = torch.zeros((1, *shape), dtype=torch.uint8)
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    self.module(), (example,), path, dynamo=False, opset_version=17, input_names=["batch"]
                )
        except WeightsError:
            raise
        except Exception as error:      # whatever the exporter stumbles on: it is the net that it cannot do
            raise CannotRun(
                f"{self.card.name!r} cannot be exported to ONNX ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}). Use the back end 'torch'."
            ) from error

    @cached_property
    def _key(self) -> str:
        """A digest of everything that the exported graph depends on."""
        card = self.card
        digest = hashlib.sha256(sha256(self.weights).encode())
        digest.update(repr((card.net, sorted(card.config.items()), card.mean, card.std)).encode())
        digest.update(f"torch {version('torch')} torchvision {version('torchvision')}".encode())
        for file in sorted([*_NETS.glob("*.py"), Path(__file__)]):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file in float32: safetensors, or a `.pth` that holds only tensors."""
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors = load_file(path)
    else:
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise WeightsError(
                f"{str(path)!r} is not a file of plain tensors ({type(error).__name__}); a pickle is never "
                "executed. Save its state_dict() as safetensors."
            ) from error
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` when that is done: whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix=".part")
    os.close(descriptor)
    try:
        yield Path(name)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)

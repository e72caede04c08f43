"""The engine of detectors that classify proposals: selective search, then the network, for one picture at a time."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.card import Card
from vision.engine import Outputs
from vision.engine.base import checked_batch
from vision.engine.choice import allows, processor_flags
from vision.engine.program import program_of
from vision.errors import EngineError
from vision.proposals import SelectiveSearch
from vision.types import Floats, Image

if TYPE_CHECKING:
    import torch

_LANES = 2                               # one picture is searched while another is in the network


class ProposalEngine:
    """R-CNN and Fast R-CNN, on torch: how many boxes they are handed depends on the picture, so nothing else runs them.

    card: its `boxes.proposals` says how many boxes a picture gets. device, precision, backend: as
    `vision.engine.load` takes them. `spent`: the seconds that went into proposals and into the network so far.
    Raises EngineError for another back end or a precision that torch does not have, WeightsError without weights.
    """

    backend, in_flight, input_wh = "torch", _LANES, None

    def __init__(self, card: Card, device: str = "auto", precision: str = "auto", backend: str = "auto") -> None:
        import torch

        if backend not in ("auto", "torch"):
            raise EngineError(f"only torch runs {card.name!r}, which is handed proposals; got {backend!r}.")
        here = torch.accelerator.current_accelerator(check_available=True) if device == "auto" else None
        self.device = device if device != "auto" else "cpu" if here is None else str(here)
        self.precision = _likely(card, self.device) if precision == "auto" else precision
        kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        if self.precision not in kinds:
            raise EngineError(f"torch has no {precision}, only {', '.join(kinds)}.")
        self.label = f"torch {self.device.upper()} {self.precision}, {card.boxes.proposals} proposals"
        self.search, self.most, self.spent = SelectiveSearch(), card.boxes.proposals, {"proposals": 0.0, "network": 0.0}
        self._kind: torch.dtype = kinds[self.precision]
        self._deploy: Any = program_of(card).module().to(self.device)
        self._deploy.net.to(memory_format=torch.channels_last)
        self._lock, self._pool = threading.Lock(), ThreadPoolExecutor(_LANES, thread_name_prefix="vision-proposals")

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on one picture (1,h,w,3) uint8 BGR; see `Engine`."""
        picture = checked_batch(batch)
        if len(picture) != 1:
            raise EngineError(f"{self.label} takes one picture at a time; got {len(picture)}.")
        try:
            return self._pool.submit(self._found, picture[0])
        except RuntimeError:
            raise EngineError(f"the engine {self.label!r} is closed. Load another one.") from None

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a picture and wait for it."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish what was submitted."""
        self._pool.shutdown()

    def _found(self, image: Image) -> Outputs:
        began = perf_counter()
        proposals = self.search(image, self.most)
        self._count("proposals", began)
        with self._lock:
            began = perf_counter()
            outputs = judged(self._deploy, image, proposals, self._kind)
            self._count("network", began)
        return outputs

    def _count(self, what: str, began: float) -> None:
        self.spent[what] += perf_counter() - began


def judged(deploy: Any, image: Image, proposals: Floats, kind: torch.dtype) -> Outputs:
    """What a network says of a picture (H,W,3) uint8 BGR and its proposals (R,4): boxes (1,N,4), scores (1,N), labels
    (1,N). deploy: a `nets.deploy.Deploy`, in evaluation mode. kind: of the numbers in its layers."""
    import torch

    device = deploy.normalise.scale.device
    rgb = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).flip(0)[None]
    with torch.inference_mode(), torch.autocast(device.type, kind, enabled=kind != torch.float32):
        outputs = deploy.net(deploy.normalise(rgb), torch.from_numpy(proposals).to(device))
    return tuple(output[None].cpu().numpy() for output in outputs)


def _likely(card: Card, device: str) -> str:
    """The precision that is fast on a device and that the card allows."""
    fast = "fp16" if device.startswith("cuda") else "bf16"
    there = device.startswith("cuda") or fast_bfloat16()
    return fast if there and allows(card, fast)[0] else "fp32"


def fast_bfloat16() -> bool:
    """Whether the processor computes in bfloat16."""
    return bool(processor_flags() & {"avx512_bf16", "amx_bf16"})

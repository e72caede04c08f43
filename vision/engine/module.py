"""A torch module of the user's own, as a program."""

from __future__ import annotations

import copy
import hashlib
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vision.card import Card
from vision.engine.base import CannotRun
from vision.engine.program import Program, Shape, exported

if TYPE_CHECKING:
    from torch import nn

    from vision.nets.deploy import Deploy


class ModuleProgram(Program):
    """The module's graph: torch runs it, and other back ends what torch exports of it.

    module: takes (B,3,h,w) float32 RGB, normalised by the card's mean and std, and gives a tensor or a tuple of
    them. It is copied.
    """

    reference = "torch"

    def __init__(self, card: Card, module: nn.Module) -> None:
        self.card, self._given = card, copy.deepcopy(module)

    def module(self) -> Deploy:
        """The module after normalisation: float32, on the CPU, in evaluation mode."""
        from vision.nets.deploy import Deploy

        return Deploy(copy.deepcopy(self._given), self.card.input.mean, self.card.input.std).cpu().float().eval()

    @property
    def any_size(self) -> bool:
        """One graph a size: what is traced may hold the size of the picture that was traced."""
        return False

    def onnx(self, shape: Shape | None, any_batch: bool = False) -> bytes:
        """Exported now; only compiled graphs are kept in the cache."""
        return self._graph if shape == self.shape and not any_batch else self._exported(shape or self.shape, any_batch)

    @cached_property
    def _graph(self) -> bytes:
        return self._exported(self.shape, False)

    def _exported(self, shape: Shape, any_batch: bool) -> bytes:
        """The graph, which gives what the module does on pictures that it was not traced on. What depends on the
        picture in Python leaves no trace."""
        import onnxruntime
        import torch

        module = self.module()
        graph = exported(module, shape, any_batch, self.card.name)
        batch = np.random.default_rng(0).integers(0, 256, (2 if any_batch else 1, *shape), np.uint8)
        batch[..., : shape[-2] // 2, :] //= 8
        try:
            session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
            found = session.run(None, {"batch": batch})
        except Exception as error:                       # onnxruntime has a tree of its own
            why = " ".join(str(error).split())[:200]
            raise CannotRun(f"what torch exports of {self.card.name!r} does not run ({why})") from error
        with torch.inference_mode():
            wanted = [output.numpy() for output in module(torch.from_numpy(batch))]
        if len(found) != len(wanted) or not all(
            one.shape == other.shape and np.allclose(one, other, rtol=1e-2, atol=1e-3 * (1 + np.abs(other).max()))
            for one, other in zip(found, wanted, strict=True)
        ):
            raise CannotRun(f"what torch exports of {self.card.name!r} gives something else than the module")
        return graph

    def _digest(self) -> Any:
        """Of the graph, which holds the weights; of nothing else's where torch cannot export it."""
        try:
            return hashlib.sha256(self._graph)
        except CannotRun:
            return hashlib.sha256(uuid.uuid4().bytes)

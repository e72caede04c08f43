"""A batch that does not fit into the device's memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tiny import by_hand
from torch.overrides import TorchFunctionMode

from vision.card import Card
from vision.engine import Engine, load
from vision.errors import EngineError


@pytest.fixture
def engine(card: Card) -> Iterator[Engine]:
    engine = load(card, "cpu", "fp32", "torch")
    yield engine
    engine.close()


def limit(engine: Engine, pictures: int) -> list[int]:
    """Let the device run out of memory with more than `pictures`; returns the sizes that it was given."""
    sizes: list[int] = []

    def before(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > pictures:
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine._engine._module.register_forward_pre_hook(before)
    return sizes


def test_the_batch_is_halved_and_that_is_said_once(
    engine: Engine, card: Card, pictures: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = limit(engine, 2)
    batch = np.concatenate([pictures, pictures[::-1], pictures[:1]])             # 13
    expected = by_hand(card, batch)[0]
    with caplog.at_level(logging.WARNING, "vision.engine"):
        first = engine(batch)[0]
        assert sizes == [13, 6, 3] + [1] * 13
        second = engine.submit(batch[:5]).result()[0]
    assert sizes[16:] == [1] * 5                                                 # it remembers
    np.testing.assert_allclose(first, expected, atol=1e-5)
    np.testing.assert_allclose(second, expected[:5], atol=1e-5)
    assert [r.getMessage() for r in caplog.records] == [
        "torch CPU fp32: out of memory with 13 pictures; smaller batches from now on"
    ]


def test_memory_that_runs_out_in_the_middle_loses_no_picture(
    engine: Engine, card: Card, pictures: np.ndarray
) -> None:
    calls = 0

    def before(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 3):                                # 6; 3, then the second 3
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine._engine._module.register_forward_pre_hook(before)
    np.testing.assert_allclose(engine(pictures)[0], by_hand(card, pictures)[0], atol=1e-5)


def test_one_picture_that_does_not_fit_is_an_error(engine: Engine, pictures: np.ndarray) -> None:
    limit(engine, 0)
    with pytest.raises(EngineError, match=r"no memory for one picture of \(48, 64, 3\).*smaller pictures"):
        engine(pictures)


def test_without_a_stream_to_wait_for_the_copies_wait(engine: Engine, card: Card, pictures: np.ndarray) -> None:
    """As on MPS, where what is read before a copy has ended is anything."""
    late: list[bool] = []

    class Copies(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.to and "non_blocking" in (kwargs or {}):
                late.append(kwargs["non_blocking"])
            return func(*args, **(kwargs or {}))

    with Copies():
        got = engine._engine._forward(pictures, None)
    np.testing.assert_allclose(got[0], by_hand(card, pictures)[0], atol=1e-5)
    assert late == [False] * 3                         # there, and two outputs back

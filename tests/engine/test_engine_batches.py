"""Pictures that wait are run together, whoever submitted them; nothing waits for a batch to fill."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tiny import by_hand

from vision.card import Card
from vision.engine.backends import start_engine
from vision.engine.base import Outputs
from vision.engine.choice import Candidate
from vision.engine.pictures import PictureEngine, Run
from vision.engine.program import Shape, program_of
from vision.errors import EngineError


class Gate:
    """Stands before an engine's graph: notes the batches that come, and can hold them up."""

    def __init__(self, engine: PictureEngine) -> None:
        self.sizes: list[tuple[int, ...]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.run = engine._run
        engine._run = self

    def __call__(self, batch: np.ndarray) -> Outputs:
        self.entered.set()
        self.open.wait(20)
        self.sizes.append(batch.shape[:3])
        if (batch[:, 0, 0, 0] == 77).any():
            raise RuntimeError("a bad picture")
        return self.run(batch)


@pytest.fixture
def engine(card: Card) -> Iterator[PictureEngine]:
    """Torch on the CPU, told to batch as it does on a GPU."""
    engine = start_engine(Candidate(program_of(card), "torch", "cpu", "fp32"))
    engine._most = 4
    yield engine
    engine.close()


@pytest.fixture
def gate(engine: PictureEngine) -> Gate:
    return Gate(engine)


def hold(engine: PictureEngine, gate: Gate, picture: np.ndarray) -> None:
    """Keep the engine busy with one picture, so that what comes now waits."""
    gate.open.clear()
    gate.entered.clear()
    engine.submit(picture)
    assert gate.entered.wait(20)


def test_what_waits_is_run_together_and_equals_one_by_one(
    engine: PictureEngine, gate: Gate, card: Card, pictures: np.ndarray
) -> None:
    hold(engine, gate, pictures[:1])
    futures = [engine.submit(pictures[i % 6 : i % 6 + 1]) for i in range(7)]
    gate.open.set()
    expected = by_hand(card, pictures)
    for i, future in enumerate(futures):
        for got, wanted in zip(future.result(20), expected, strict=True):
            np.testing.assert_allclose(got, wanted[i % 6 : i % 6 + 1], atol=1e-4)
    assert gate.sizes == [(1, 48, 64), (4, 48, 64), (3, 48, 64)]


def test_one_picture_does_not_wait_for_others(engine: PictureEngine, gate: Gate, pictures: np.ndarray) -> None:
    for _ in range(3):
        engine.submit(pictures[:1]).result(20)
    assert gate.sizes == [(1, 48, 64)] * 3


def test_sizes_are_kept_apart_and_nobody_is_passed_over(
    engine: PictureEngine, gate: Gate, card: Card, pictures: np.ndarray
) -> None:
    tall = np.ascontiguousarray(pictures.transpose(0, 2, 1, 3))
    hold(engine, gate, pictures[:1])
    futures = [engine.submit((tall if i % 2 else pictures)[i : i + 1]) for i in range(6)]
    gate.open.set()
    for i, future in enumerate(futures):
        picture = (tall if i % 2 else pictures)[i : i + 1]
        np.testing.assert_allclose(future.result(20)[0], by_hand(card, picture)[0], atol=1e-4)
    assert gate.sizes == [(1, 48, 64), (3, 48, 64), (3, 64, 48)]


def test_a_bad_picture_fails_alone(
    engine: PictureEngine, gate: Gate, card: Card, pictures: np.ndarray
) -> None:
    bad = pictures[:1].copy()
    bad[0, 0, 0, 0] = 77
    good = [pictures[i : i + 1] for i in range(6) if pictures[i, 0, 0, 0] != 77][:3]
    hold(engine, gate, good[0])
    futures = [engine.submit(picture) for picture in (good[0], bad, good[1], good[2])]
    gate.open.set()
    with pytest.raises(EngineError, match="a bad picture"):
        futures[1].result(20)
    for future, picture in zip((futures[0], *futures[2:]), good, strict=True):
        np.testing.assert_allclose(future.result(20)[0], by_hand(card, picture)[0], atol=1e-4)


def test_a_picture_that_is_not_wanted_any_more_is_left_out(
    engine: PictureEngine, gate: Gate, pictures: np.ndarray
) -> None:
    hold(engine, gate, pictures[:1])
    futures = [engine.submit(pictures[i : i + 1]) for i in range(4)]
    assert futures[2].cancel()
    gate.open.set()
    assert len([future.result(20) for i, future in enumerate(futures) if i != 2]) == 3
    assert gate.sizes[1:] == [(3, 48, 64)]


def test_batches_and_pictures_of_many_threads_come_back_to_those_who_asked(
    engine: PictureEngine, gate: Gate, card: Card, pictures: np.ndarray
) -> None:
    expected = by_hand(card, pictures)[0]

    def ask(i: int) -> float:
        first, count = i % 5, 1 + i % 2
        got = engine.submit(pictures[first : first + count]).result(20)[0]
        return float(np.abs(got - expected[first : first + count]).max())

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(ask, range(80))) < 1e-4
    assert max(size[0] for size in gate.sizes) <= 4


def test_only_sizes_that_come_often_get_a_graph_for_many_calls(card: Card) -> None:
    built: list[tuple[Shape | None, bool]] = []

    class Counts(PictureEngine):
        def _build(self, shape: Shape | None, alone: bool) -> Run:
            built.append((shape, alone))
            return lambda batch: (batch[:, 0, 0],)

    engine = Counts("fake", "cpu", "fp32", 2, 2, program_of(card), any_size=False)
    first, rare = (48, 64, 3), (64, 48, 3)
    for shape in (first, rare, first, rare, (32, 32, 3), (32, 64, 3), rare):
        assert engine.submit(np.zeros((1, *shape), np.uint8)).result()[0].shape == (1, 3)
    assert built == [(first, False), (rare, True), ((32, 32, 3), True), ((32, 64, 3), True)]
    engine(np.zeros((1, *rare), np.uint8))                        # the same graph
    for _ in range(70):
        engine.submit(np.zeros((1, *rare), np.uint8)).result()
    assert built[4:] == [(rare, False)]
    engine.close()


def test_a_batch_that_comes_while_the_engine_closes_is_refused_and_not_left(
    engine: PictureEngine, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = engine._graph

    def closing(*args: Any, **options: Any) -> Run:
        made = graph(*args, **options)
        engine.close()                                            # another thread's, at the worst moment
        return made

    monkeypatch.setattr(engine, "_graph", closing)
    with pytest.raises(EngineError, match=r"the engine 'torch CPU fp32' is closed\. Load another one\."):
        engine.submit(pictures)
    assert not engine._waiting


def test_the_graph_for_any_size_is_made_again_where_that_of_the_first_is_gone(card: Card) -> None:
    built: list[tuple[Shape | None, bool]] = []

    class Counts(PictureEngine):
        def _build(self, shape: Shape | None, alone: bool) -> Run:
            built.append((shape, alone))
            return lambda batch: (batch[:, 0, 0],)

    engine = Counts("fake", "cpu", "fp32", 2, 2, program_of(card))
    engine._any_size = True

    def submit(width: int, count: int = 1) -> None:
        engine.submit(np.zeros((count, 32, width, 3), np.uint8)).result()

    submit(32)
    submit(33)
    for often in (40, 41, 42):
        submit(often, 70)
    assert {key[0] for key in engine._graphs} == {(32, 40, 3), (32, 41, 3), (32, 42, 3)}
    submit(34)
    submit(35)
    assert built == [((32, 32, 3), False), (None, False), *(((32, often, 3), False) for often in (40, 41, 42)),
                     (None, False), ((32, 32, 3), False)]
    engine.close()

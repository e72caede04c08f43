"""The engine that `load` hands out: of all ways to run a card the fastest one that can."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic

import numpy as np

from vision.card import Card
from vision.engine import beside
from vision.engine.backends import BACKENDS, backend_class, installed, start_engine
from vision.engine.base import CannotRun, Engine, Outputs, Work
from vision.engine.cache import writable, write
from vision.engine.choice import (
    Candidate,
    allows,
    measure,
    medians,
    place,
    processor_flags,
    ranked,
    settled,
    told,
    verdict,
)
from vision.engine.pictures import PictureEngine, cores
from vision.engine.program import Program, program_of
from vision.errors import EngineError
from vision.weights import cache_dir

_CPU_ORDER = tuple(BACKENDS)
_ACCELERATOR_ORDER = ("torch", *(b for b in BACKENDS if b != "torch"))
PATIENCE = 1.0                  # seconds of a run, before which nothing is compiled beside it: it would not be done
_log = logging.getLogger("vision.engine")


def candidates(
    card: Card, devices: Sequence[str], precision: str, backend: str, program: Program | None = None
) -> list[Candidate]:
    """The ways to run a card that `load` may take, those first that are likely the fastest. program: of the card's
    form unless given.

    Raises EngineError for a card that is handed proposals, for int8 where the card has no such file, and for a
    back end that does not run it.
    """
    if card.boxes.proposals:
        raise EngineError(f"{card.name!r} is handed proposals with a picture, so only Detector.load runs it.")
    program = program or program_of(card)
    small = program if program.compressed else None if card.int8 is None else program_of(card.int8)
    if precision == "int8" and small is None:
        raise EngineError(f"{card.name!r} has no int8 file. Make one: vision compress {card.name}")
    if program.alone and backend not in ("auto", program.alone):
        raise EngineError(f"{program.alone} alone runs {card.name!r}, which is a graph of its own")
    found = []
    for where in devices:
        backends = (backend,) if backend != "auto" else _CPU_ORDER if where == "cpu" else _ACCELERATOR_ORDER
        for one in (program.alone,) if program.alone else backends:
            for kind in _precisions(card, program, one, where) if precision == "auto" else (precision,):
                runs = small if kind == "int8" and small is not None else program
                streams = (0, 1) if (one, where) == ("openvino", "cpu") and cores() > 1 else (0,)
                found += [Candidate(runs, one, where, kind, each) for each in streams]
    return found


def _precisions(card: Card, program: Program, backend: str, device: str) -> list[str]:
    """Those that a back end has on a device and the card allows, the likely fastest first."""
    if program.compressed:
        return ["int8"]
    has: tuple[str, ...] = ("fp32",)
    if device != "cpu":
        has = ("fp16", "fp32") if backend in ("torch", "onnxruntime") else has
    elif backend == "openvino":
        flags = processor_flags()
        if "amx_int8" in flags:
            has = ("int8", "bf16", "fp32")
        elif flags & {"avx512_bf16", "bf16"}:
            has = ("bf16", "int8", "fp32")
        else:
            has = ("int8", "fp32")
    return [p for p in has if allows(card, p)[0] and (p != "int8" or card.int8 is not None)]


class ChosenEngine:
    """The engine that runs the first candidate which can: the fastest, where that was measured. Some tell only
    when the graph is built, at the first picture, that they cannot: that is logged, and the next takes over.

    several: whether other networks work at the same time. One that has all cores on each picture, which may be the
    fastest by itself, would wait for theirs at every layer: it is not taken then.
    """

    def __init__(self, candidates: Sequence[Candidate], several: bool = False) -> None:
        self.card = candidates[-1].program.card         # in float where that is among them
        self._name = candidates[0].program.card.name
        self._reasons: list[str] = []                   # why those before it could not
        self._started: list[PictureEngine] = []
        self._lock = threading.Lock()
        self._beside: subprocess.Popen[bytes] | None = None
        self._to_prepare: list[Candidate] = []
        self._began: float | None = None                # when the first picture was done with
        left: dict[tuple[str, str, str], Candidate] = {}
        for candidate in self._in_order(candidates):    # what cannot run in two streams cannot in one
            way = candidate.backend, candidate.device, candidate.precision
            if way not in left or (several and candidate.streams == 0):
                left[way] = candidate
        self._left = list(left.values())
        self._engine = self._start()

    def _in_order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates as they are to be tried: measured, now or before, else as they came."""
        timed = worth_timing(candidates)
        folder = cache_dir() / "verdicts"
        alone = candidates[0].program.card.form == "module"     # which no other process can compile
        if alone or len(timed) < 2 or os.environ.get("VISION_MEASURE") == "no" or not writable(folder):
            return list(candidates)
        name = place(timed)
        turns = verdict(name)
        if not settled(turns):
            if not all(map(_at_hand, timed)):            # of which the first is asked first: others stay unimported
                self._to_prepare = timed
                return list(candidates)
            for key, rates in timing(timed).items():
                turns.setdefault(key, []).extend(rates)
            write(name, json.dumps(turns).encode())
        speeds = medians(turns)
        if not any(speeds.values()):
            return list(candidates)
        _log.info("%s", told(timed, speeds))
        return ranked(candidates, speeds)

    @property
    def backend(self) -> str:
        """What runs the network, a key of `BACKENDS`."""
        return self._engine.backend

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._engine.device

    @property
    def precision(self) -> str:
        """In which numbers."""
        return self._engine.precision

    @property
    def label(self) -> str:
        """Back end, device and precision for a reader."""
        return self._engine.label

    @property
    def work(self) -> Work:
        """What it has done."""
        done = [engine.work for engine in self._started]
        return Work(sum(one.pictures for one in done), sum(one.executions for one in done))

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The only size that the graph takes, or None: any."""
        return self._engine.input_wh

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the device busy."""
        return self._engine.in_flight

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        while True:
            engine = self._engine
            try:
                future = engine.submit(batch)
            except CannotRun as error:
                self._give_up(engine, error)
                continue
            self._prepare()
            return future

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        while True:
            engine = self._engine
            try:
                outputs = engine(batch)
            except CannotRun as error:
                self._give_up(engine, error)
                continue
            self._prepare()
            return outputs

    def close(self) -> None:
        """Finish what was submitted, then give memory and threads back."""
        for engine in self._started:
            engine.close()
        if self._beside is not None:
            beside.stop(self._beside)
            self._beside = None

    def _prepare(self) -> None:
        """Have the graphs of the other candidates made beside a run that goes on for a while: its own is there."""
        if not self._to_prepare:
            return
        with self._lock:
            now = monotonic()
            self._began = now if self._began is None else self._began
            if self._to_prepare and now - self._began >= PATIENCE:
                wanted, self._to_prepare = self._to_prepare, []
                self._beside = beside.start([one for one in wanted if not _at_hand(one)])

    def _start(self) -> PictureEngine:
        passed: list[str] = []                           # told where another one runs; else the error says it
        while self._left:
            candidate = self._left.pop(0)
            try:
                engine = start_engine(candidate)
            except CannotRun as error:
                self._reasons.append(str(error))
                passed.append(f"not {candidate.backend} for {self._name}: {error}")
                continue
            self._started.append(engine)
            for line in dict.fromkeys(passed):
                _log.info("%s", line)
            _log.info("%s runs on %s", candidate.program.card.name, engine.label)
            return engine
        raise EngineError(f"nothing here runs {self._name!r}: {'; '.join(dict.fromkeys(self._reasons))}.")

    def _give_up(self, engine: Engine, error: CannotRun) -> None:
        with self._lock:
            if self._engine is engine:                  # else another thread was here first
                self._reasons.append(str(error))
                if self._left:
                    _log.warning("%s", error)
                self._engine = self._start()


def _at_hand(one: Candidate) -> bool:
    """Whether its graph is made in no time."""
    at_hand: bool = backend_class(one.backend).at_hand(one.program, one.program.shape, one.precision, one.streams)
    return at_hand


def worth_timing(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those of the best device: on a CPU without torch and OpenCV, which were never the fastest, unless
    there is nothing else."""
    here = [c for c in candidates if c.device == candidates[0].device and installed(c.backend)]
    if candidates[0].device == "cpu":
        return [c for c in here if c.backend in ("openvino", "onnxruntime")] or here
    return [c for c in here if c.backend == "torch"]     # what else there is compiles for minutes


def timing(candidates: Sequence[Candidate]) -> dict[str, list[float]]:
    """Frames a second of each candidate in each of its turns, by its key; 0 for one that cannot run."""
    batch = np.random.default_rng(0).integers(0, 256, (1, *candidates[0].program.shape), np.uint8)
    engines: dict[str, PictureEngine] = {}
    try:
        for candidate in candidates:
            with suppress(EngineError):
                engines[candidate.key] = start_engine(candidate)
        rates = measure(list(engines.values()), batch)
    finally:
        for engine in engines.values():
            engine.close()
    measured = dict(zip(engines, rates, strict=True))
    return {candidate.key: measured.get(candidate.key, [0.0]) for candidate in candidates}

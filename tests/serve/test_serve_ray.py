"""`vision serve --ray`: networks in replicas on a real cluster of this machine, and answers as without it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vision.engine import FakeEngine
from vision.errors import EngineError, UsageError

pytest.importorskip("ray", reason="needs the extra 'ray'")
pytest.importorskip("grpc_reflection", reason="needs the extra 'ray'")

from serving import Running, running

from vision.scale.replica import Looked, Network, Where
from vision.scale.served import TRIES, RayPool, RemoteEngine
from vision.serve.service import Service
from vision.serve.settings import ServerOptions
from vision.zoo import find

WHERE = Where("openvino", "cpu", "int8", "openvino CPU int8", None, 2)


class Answer:
    """What a handle gives: a result, or what is raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.result = function


class Handle:
    """A handle whose first answers are errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    def remote(self, batch: np.ndarray) -> Answer:
        return Answer(lambda: self._result(batch))

    def _result(self, batch: np.ndarray) -> Any:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return Looked((batch.mean(axis=(1, 2, 3)),), WHERE, 1)


def test_a_batch_is_given_to_another_replica_when_one_dies() -> None:
    from ray.exceptions import ActorDiedError

    handle = Handle(*[ActorDiedError() for _ in range(TRIES - 1)])
    engine = RemoteEngine(find("gfl-voc"), handle, WHERE, 2, lambda: None)
    batch = np.full((3, 4, 5, 3), 7, np.uint8)
    assert engine.submit(batch).result()[0].tolist() == [7, 7, 7]
    assert (handle.asked, engine.work.pictures, engine.work.executions) == (TRIES, 3, 1)
    assert (engine.precision, engine.in_flight) == ("int8", 8)
    handle.errors = [ActorDiedError() for _ in range(TRIES)]
    with pytest.raises(EngineError, match=f"died {TRIES} times"):
        engine(batch)
    with pytest.raises(EngineError, match="uint8 BGR"):
        engine.submit(batch.astype(float))
    engine.close()


def test_pictures_that_wait_are_run_together_and_errors_stay_with_their_own() -> None:
    ran: list[tuple[int, ...]] = []

    def look(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        ran.append(batch.shape)
        if batch.shape[1] == 6:
            raise EngineError("not this size")
        return batch.max(axis=(1, 2, 3)), batch[:, 0, 0]

    network = Network.__new__(Network)
    network.engine, network._told = FakeEngine(look), 0
    batches = [np.full((1 + n % 2, 6 if n == 3 else 4, 4, 3), n, np.uint8) for n in range(6)]

    looked: Any = Network.together                       # beneath what collects them
    answers = asyncio.run(looked.__wrapped__(network, batches))
    assert isinstance(answers[3], EngineError)
    for number in (0, 1, 2, 4, 5):
        first, second = answers[number].outputs
        assert first.tolist() == [number] * (1 + number % 2)
        assert second.shape == (1 + number % 2, 3)
    assert ran == [(7, 4, 4, 3), (2, 6, 4, 3)]


def test_replicas_without_ray_are_refused() -> None:
    with pytest.raises(UsageError, match="Add --ray"):
        ServerOptions(replicas=2)


@pytest.fixture(scope="module")
def on_ray() -> Iterator[Running]:
    service = Service(["detect", "track"], pool=RayPool("local", replicas=2))
    with running(service) as found:
        yield found


@pytest.mark.slow
def test_answers_are_those_without_ray(server: Running, on_ray: Running, jpeg: bytes) -> None:
    several = {"files": [("pictures", (f"{n}.jpg", jpeg, "image/jpeg")) for n in range(4)]}
    for task in ("detect", "track"):
        with server.client() as here, on_ray.client() as there:
            alone, remote = (client.post(f"/v1/{task}", **several).json() for client in (here, there))
        assert [one["record"] for one in remote["results"]] == [one["record"] for one in alone["results"]]
        assert {one["label"] for one in alone["results"][0]["record"]["detect"]["objects"]} >= {"person"}
    with on_ray.client() as client:
        (model,) = client.get("/v1/models").json()
        assert model["name"] == "gfl-voc"
        assert f'vision_inferences_total{{engine="{model["backend"]}' in client.get("/metrics").text


@pytest.mark.slow
def test_a_replica_that_is_killed_costs_no_answer(on_ray: Running, jpeg: bytes) -> None:
    there = replicas(on_ray.service.pool)
    assert len(there) == 2

    def ask(number: int) -> int:
        if number == 5:
            os.kill(there[0], signal.SIGKILL)
        with on_ray.client() as client:
            return client.post("/v1/detect", content=jpeg, headers={"content-type": "image/jpeg"}).status_code

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(24))) == [200] * 24


@pytest.mark.slow
def test_a_network_that_cannot_run_there_says_why(on_ray: Running) -> None:
    pool = on_ray.service.pool
    assert isinstance(pool, RayPool)
    with pytest.raises(EngineError, match=r"does not come up on Ray: .*fp32 on the CPU, not in fp16"):
        pool._engine(find("gfl-voc"), "cpu", "fp16", "opencv")


def replicas(pool: Any) -> list[int]:
    """The processes of a pool's replicas on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes().startswith(
                    f"ray::ServeReplica:{pool._name}-".encode()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found

"""Models whose networks are deployments of Ray Serve, in replicas and batches, for `vision serve --ray`.

What comes before a network and after it (decoding, resizing, steps, records) stays in the process that asks: uint8 goes
out, small results come back, so that answers are those of a server without Ray."""

from __future__ import annotations

import logging
import re
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import numpy as np

from vision import __version__
from vision.card import Card
from vision.engine.base import Engine, Outputs, Work, checked_batch
from vision.engine.elsewhere import engines_from
from vision.errors import EngineError, MissingExtra, UsageError
from vision.scale.cluster import HERE, cluster
from vision.steps.base import Named, Pool

if TYPE_CHECKING:
    from vision.scale.replica import Looked, Where

M = TypeVar("M")
TRIES = 3                                        # for a batch whose replica died
_CLAIM = 0.1                                     # of a processor or a GPU, that a replica claims: many share one
_LEAST, _MOST = 4, 64                            # batches under way to a network: enough for a batch to come about
_log = logging.getLogger("vision.engine")


class RemoteEngine:
    """A network behind the engine's contract that runs in replicas on a cluster. Several threads may call it.

    handle: of its deployment. where: it runs. replicas: how many. close: takes the deployment away.
    """

    def __init__(self, card: Card, handle: Any, where: Where, replicas: int, close: Any) -> None:
        self.card, self.work = card, Work()
        self._handle, self._where, self._close = handle, where, close
        self.in_flight = min(_MOST, max(_LEAST, 2 * where.in_flight) * replicas)
        self._threads = ThreadPoolExecutor(self.in_flight, thread_name_prefix="vision-replicas")

    @property
    def backend(self) -> str:
        """What runs the network, a key of `vision.engine.BACKENDS`."""
        return self._where.backend

    @property
    def device(self) -> str:
        """Where it runs, on a replica's machine."""
        return self._where.device

    @property
    def precision(self) -> str:
        """In which numbers."""
        return self._where.precision

    @property
    def label(self) -> str:
        """Back end, device and precision for a reader."""
        return self._where.label

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The only size that the graph takes, or None: any."""
        return self._where.input_wh

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Start on a batch; see `Engine`."""
        return self._threads.submit(self._look, checked_batch(batch, self.input_wh))

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch and wait for it."""
        return self._look(checked_batch(batch, self.input_wh))

    def close(self) -> None:
        """Finish what was submitted, then take the replicas away."""
        self._threads.shutdown(wait=True)
        self._close()

    def _look(self, batch: np.ndarray) -> Outputs:
        """The answer of a replica, or of another where one dies over it. Raises EngineError."""
        from ray.exceptions import RayError, RayTaskError

        for left in reversed(range(TRIES)):
            try:
                looked: Looked = self._handle.remote(batch).result()
                break
            except RayTaskError as error:                # the network's own: another replica would say the same
                raise EngineError(_line(error.cause)) from error
            except RayError as error:
                if not left:
                    raise EngineError(f"the replicas of {self.card.name!r} died {TRIES} times over a batch "
                                      f"({type(error).__name__}).") from error
        self._where = looked.where
        self.work.pictures += len(batch)
        self.work.executions += looked.executions
        return looked.outputs


class RayPool(Pool):
    """Models whose networks run on a Ray cluster, each in a deployment of Ray Serve of its own.

    address: as `vision.scale.cluster.cluster` has it. replicas: of each network. The rest is as in `Pool`.
    Raises MissingExtra, UsageError for an address that does not answer.
    """

    def __init__(
        self, address: str = HERE, replicas: int = 1, device: str = "auto", precision: str = "auto",
        backend: str = "auto", free_only: bool = False,
    ) -> None:
        super().__init__(device, precision, backend, free_only)
        if replicas < 1:
            raise UsageError(f"a network has 1 replica or more; got {replicas}.")
        self._replicas, self._name = replicas, f"vision-{uuid4().hex[:8]}"
        self._end = ExitStack()
        self._ray = self._end.enter_context(cluster(address))
        try:
            from ray import serve

            logging.getLogger("ray.serve").setLevel(logging.ERROR)
            serve.start(proxy_location="Disabled", logging_config=_quiet())
        except ImportError as error:
            self._end.close()
            raise MissingExtra(error.name or "ray[serve]", "ray", "models on Ray Serve") from None
        self._serve = serve

    def load(self, load: Any, model: Named = "default", **more: Any) -> Any:
        """A model, loaded once, with its networks on the cluster; see `Pool.load`."""
        with engines_from(self._engine):
            return super().load(load, model, **more)

    def close(self) -> None:
        """Take every deployment away, and leave the cluster; end it, where it was started here."""
        super().close()
        self._end.close()

    def _engine(self, card: Card, device: str, precision: str, backend: str) -> Engine:
        """A network's deployment, once its replicas are up. Raises EngineError where they do not come up."""
        from vision.scale.replica import Network

        gpus = self._ray.cluster_resources().get("GPU", 0) if device in ("auto", "cuda") else 0
        name = f"{self._name}-{re.sub(r'[^a-z0-9]+', '-', card.name.lower())}-{uuid4().hex[:4]}"
        deployed = self._serve.deployment(
            Network, num_replicas=self._replicas, max_ongoing_requests=_MOST, logging_config=_quiet(),
            ray_actor_options={"num_cpus": 0 if gpus else _CLAIM, "num_gpus": _CLAIM if gpus else 0},
        ).bind(card, device, precision, backend, __version__)
        try:
            handle = self._serve.run(deployed, name=name, route_prefix=None, logging_config=_quiet())
            where = handle.where.remote().result()
        except Exception as error:                       # of a replica that cannot begin: Serve tells its traceback
            why = self._serve.status().applications
            self._serve.delete(name)
            raise EngineError(f"{card.name!r} does not come up on Ray: {_reason(why.get(name), error)}") from error
        _log.info("%s runs on %s, in %d replicas", card.name, where.label, self._replicas)
        return RemoteEngine(card, handle, where, self._replicas, lambda: self._serve.delete(name, _blocking=False))


def _quiet() -> dict[str, Any]:
    return {"log_level": "ERROR", "enable_access_log": False}


def _reason(application: Any, error: Exception) -> str:
    """What a replica said last, in one line."""
    told = [one.message for one in application.deployments.values()] if application is not None else []
    lines = [line.strip() for text in told for line in text.splitlines() if "Error" in line]
    return _line(re.sub(r"^vision\.errors\.\w+: ", "", lines[-1]) if lines else error)


def _line(error: Any) -> str:
    return " ".join(str(error).split())[-400:]

"""How a server is started, in Python and on the command line."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

from vision.errors import UsageError
from vision.serve.limits import Limits
from vision.spec import Option, spec
from vision.steps import Pool, find_task, tasks
from vision.zoo import find

_TOKEN = "VISION_TOKEN"


@spec
class ServerOptions(Limits):
    """Where a server listens, who may ask it, and what for."""

    host: Annotated[str, Option("the address to listen on; 0.0.0.0: every one of this machine")] = "127.0.0.1"
    port: Annotated[int, Option("the port; 0: a free one", min=0, max=65535)] = 8000
    token: Annotated[str | None, Option(
        f"what every client must show; ${_TOKEN} unless given, which no list of processes shows")] = None
    open: Annotated[bool, Option("listen on a network without a token: whoever reaches it may use it")] = False
    tls: Annotated[bool, Option("HTTPS, with a certificate that is made here")] = False
    cert: Annotated[Path | None, Option("HTTPS with this certificate, a PEM file; its key is --cert-key")] = None
    cert_key: Annotated[Path | None, Option("the key of --cert, a PEM file")] = None
    do: Annotated[tuple[str, ...], Option("the tasks to offer; all unless given", separator=",")] = ()
    plan: Annotated[Path | None, Option(
        "a TOML file with what each task does unless a request says otherwise: a gallery, a scene")] = None
    model: Annotated[tuple[str, ...], Option(
        "a further model, by name or path, which a request may choose: as often as you like")] = ()
    camera: Annotated[tuple[str, ...], Option(
        "a camera of the server that visitors may watch: a number or an address, as often as you like")] = ()
    monitor: Annotated[Path | None, Option("thresholds of the drift alarm, made by `vision monitor fit`")] = None
    free_only: Annotated[bool, Option("refuse weights that may be used for research only")] = False
    device: Annotated[str, Option("auto, cpu, cuda, cuda:1, mps")] = "auto"
    precision: Annotated[str, Option("auto, int8, fp32, fp16, bf16")] = "auto"
    backend: Annotated[str, Option("auto, torch, openvino, onnxruntime, opencv")] = "auto"
    ray: Annotated[str | None, Option(
        "run the networks on Ray Serve (extra ray): --ray alone starts it on this machine; HOST:PORT, ray://HOST:PORT "
        "or auto reaches a cluster")] = None
    replicas: Annotated[int | None, Option("of each network on Ray; 1 unless given", min=1)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.cert is None) != (self.cert_key is None):
            raise UsageError("--cert and --cert-key go together: a certificate and its key.")
        if not self.is_loopback and not self.secret and not self.open:
            raise UsageError(f"--host {self.host} is reached from the network, so a token is needed: --token TEXT, or "
                             f"${_TOKEN}. Without one, for whoever reaches it: --open.")
        if self.replicas is not None and self.ray is None:
            raise UsageError("--replicas is of networks on Ray Serve. Add --ray.")
        if not all("!" <= sign <= "~" and sign not in ';,"\\' for sign in self.secret):
            raise UsageError("a token has letters, digits and signs of ASCII, without space, comma, semicolon, quote "
                             "or backslash.")

    @property
    def secret(self) -> str:
        """The token; empty for none."""
        return self.token if self.token is not None else os.environ.get(_TOKEN, "")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def secure(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.tls or self.cert is not None

    def offered(self) -> tuple[str, ...]:
        """The tasks to offer. Raises UsageError for an unknown one."""
        if self.do:
            return tuple(find_task(name).spec.task for name in self.do)
        return tuple(name for name, row in tasks().items()
                     if not (self.free_only and row.card and find(row.card).use != "free"))

    def pool(self) -> Pool:
        """Where models run. Raises UsageError for a cluster that does not answer."""
        if self.ray is not None:
            from vision.scale.served import RayPool

            return RayPool(self.ray, self.replicas or 1, self.device, self.precision, self.backend, self.free_only)
        return Pool(self.device, self.precision, self.backend, self.free_only)

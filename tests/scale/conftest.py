"""A real cluster of three nodes on this machine, a store that speaks S3, and short clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

ENGINE = {"backend": "openvino", "precision": "fp32"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ.update(LOOPBACK)                                 # which Ray looks at when it is imported


@pytest.fixture(scope="session")
def s3() -> Iterator[bool]:
    """Whether there is a store behind s3:// now, for this process and all that it starts."""
    if not all(map(find_spec, ("moto", "flask", "flask_cors", "s3fs"))):
        yield False
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ENDPOINT_URL", f"http://{host}:{port}"), ("AWS_ACCESS_KEY_ID", "test"),
                            ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")):
            patch.setenv(name, value)
        yield True
    server.stop()


@pytest.fixture(scope="session")
def nodes(s3: bool) -> Iterator[Any]:
    """Three nodes of one processor each, on loopback."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session")
def make_clips() -> Callable[[Path, int, int], Path]:
    """Short clips of ten frames a second, in a folder."""
    return _clips


def _clips(folder: Path, count: int, frames: int) -> Path:
    """Short clips, the first of which is twelve seconds long, and one file that is none."""
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    for number in range(count):
        with av.open(str(folder / f"clip{number}.mp4"), "w") as out:
            stream: Any = out.add_stream("libx264", rate=10, options={"g": "10", "sc_threshold": "0"})
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for index in range(120 if number == 0 else frames):
                image = np.roll(noise, 3 * index + number, axis=1)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
            out.mux(stream.encode())
    (folder / "broken.mp4").write_text("no video at all")
    return folder

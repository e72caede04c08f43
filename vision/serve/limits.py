"""What a server takes from strangers, and how much of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from vision.spec import Described, Option, spec


@spec
class Limits(Described):
    """Bounds of a server; past each of them a client gets a 4xx or "busy" with the reason."""

    panel: ClassVar[str] = "Limits"

    max_body: Annotated[int, Option("the largest request with pictures", "bytes", min=1024)] = 32 << 20
    max_video: Annotated[int, Option("the largest request with a video", "bytes", min=1024)] = 1 << 30
    max_pixels: Annotated[int, Option("the largest picture", "pixels", min=1)] = 25_000_000
    max_pictures: Annotated[int, Option("pictures in one request", min=1)] = 64
    max_frames: Annotated[int, Option("frames of one video", min=1)] = 100_000
    max_rate: Annotated[float, Option("messages a second of one stream, and requests of one client", min=1)] = 200.0
    max_visitors: Annotated[int, Option("streams that are worked on at a time; others wait", min=1)] = 16
    max_connections: Annotated[int, Option("connections at a time, half of them from one address", min=2)] = 256
    max_waiting: Annotated[int, Option("pictures that may wait for a worker", min=1)] = 256
    max_jobs: Annotated[int, Option("videos that wait or are under way", min=1)] = 16
    timeout: Annotated[float, Option(
        "a request or an answer that takes longer to pass is ended", "seconds", min=0.1)] = 30.0
    stall: Annotated[float, Option("workers that stand still for so long are ill", "seconds", min=0.1)] = 60.0

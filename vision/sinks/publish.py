"""Records, and pictures, to whoever listens: through Zenoh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import cv2

from vision import record
from vision.messages.wire import PICTURE, Address, Sender, zenoh
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec


@spec
class Publish(SinkSpec):
    """Records through Zenoh as they are made: nobody who is slow or absent holds up the run.

    Each record is one message of JSON under the address's key. Who joins late is given the last one. Pictures go as
    JPEG under the key with `/picture` behind it; `vision.read` reads them from there.
    """

    name = "publish"

    address: Annotated[str, Option(
        "send records through Zenoh: zenoh://robot/vision, with ?connect= or ?listen=tcp/HOST:PORT where peers do not "
        "find each other", flags=("--publish",))]
    pictures: Annotated[Literal["none", "plain", "drawn"], Option(
        "pictures too: as they were read, or with the results drawn on them")] = "none"
    quality: Annotated[int, Option("of these JPEGs", min=1, max=100)] = 80

    @property
    def not_resumed(self) -> str:
        """What was sent is gone."""
        return "what was published is gone. Run again without --resume."

    def check(self) -> None:
        """Raise UsageError for another address, MissingExtra without the package."""
        Address.parse(self.address)
        zenoh()

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        return _Publish(self)


class _Publish(Sink):
    def __init__(self, spec: Publish) -> None:
        self.spec = spec
        self._sender: Sender | None = None

    def begin(self, info: Info) -> None:
        """Open the session, with the first source. Raises SinkError."""
        below = () if self.spec.pictures == "none" else (PICTURE,)
        self._sender = self._sender or Sender(Address.parse(self.spec.address), *below)

    def take(self, item: Item) -> None:
        """Send the record, and the picture before it."""
        assert self._sender is not None
        frame = item.frame
        if self.spec.pictures != "none":
            image = item.drawn if self.spec.pictures == "drawn" else frame.image
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.spec.quality])[1].tobytes()
            self._sender.put(data, "image/jpeg", PICTURE, frame.time, frame.stamp_ns)
        for values in [*([record.gap(frame)] if frame.gap else []), item.record]:
            self._sender.put(record.line(values).encode(errors="backslashreplace"), "application/json")

    def close(self) -> None:
        """End the session."""
        if self._sender is not None:
            self._sender.close()

    def state(self) -> State | None:
        """None: what was sent is gone."""
        return None

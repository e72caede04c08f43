"""Face unlock, honestly: whose face it is, behind a gate that asks for a face worth comparing.

    python -m apps.face_unlock gate 0                          # a camera, or a video file
    python -m apps.face_unlock enrol 0 --profile me.faces
    python -m apps.face_unlock verify 0 --profile me.faces --live

The gate lets one face through that is near, frontal, sharp, with both eyes open for half a second and, with `--blink`,
after a blink. With `--live`, what turns its head before the camera must have depth, and blink. The profile is a gallery
(`vision gallery show me.faces`) with vectors alone, encrypted where $VISION_PASSPHRASE is set. A mask has depth and a
film blinks: this is a demonstration, not a lock. How often strangers pass: `vision eval identity`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vision.errors import DataError, VisionError
from vision.io import latest, read
from vision.people.eyes import Eye
from vision.people.face import Faces
from vision.people.face_tracker import FaceTracker
from vision.people.gallery import PASSPHRASE, Gallery
from vision.people.identity import FaceEmbedder
from vision.people.landmarks import FaceLandmarker
from vision.people.liveness import Live, Liveness
from vision.types import Floats, Frame, Image


@dataclass(frozen=True)
class Verdict:
    """ready, or what is in the way: a sentence for the person in front of the camera."""

    ready: bool
    reason: str
    face: Faces


class Gate:
    """Watches a stream until there is a face that is worth a comparison. One gate a stream.

    open_for: seconds for which both eyes must have been open. min_width: of the face, in pixels.
    max_yaw, max_pitch, max_roll: degrees from frontal. blink: one is asked for, from the first frame
    in which all else was right. live: a blink and a turn of the head are asked for before anything else.
    """

    def __init__(
        self, landmarker: FaceLandmarker, *, open_for: float = 0.5, min_width: float = 80.0,
        max_yaw: float = 20.0, max_pitch: float = 20.0, max_roll: float = 20.0, blink: bool = False, live: bool = False,
    ) -> None:
        self.tracker = FaceTracker(landmarker)
        self.open_for, self.min_width, self.blink = open_for, min_width, blink
        self.limits = np.array([max_yaw, max_pitch, max_roll])
        self._asked: dict[int, float] = {}              # face id -> when it was asked to blink
        self._live: dict[int, Liveness] | None = {} if live else None

    def __call__(self, image: Image, time: float) -> Verdict:
        """Judge the frame (H,W,3) uint8 BGR at `time` seconds."""
        faces = self.tracker(image, time)
        reason = self._obstacle(faces, time)
        return Verdict(reason is None, reason or "ready", faces)

    def _obstacle(self, faces: Faces, time: float) -> str | None:
        if len(faces) != 1:
            return "nobody is there" if len(faces) == 0 else f"one face at a time, not {len(faces)}"
        left, _, right, _ = faces.boxes[0]
        if right - left < self.min_width:
            return "come nearer"
        if self._live is not None:
            seen = self._live.setdefault(int(faces.ids[0]), Liveness())
            verdict = seen(faces.points[0], faces.eyes[0], time)
            if verdict == Live.NO:
                return "this is flat: a picture of a face?"
            if verdict == Live.UNSURE:
                return "turn your head a little" if seen.blinks else "blink, then turn your head a little"
        if (np.abs(faces.angles[0]) > self.limits).any():
            return "look into the camera"
        if (faces.eyes[0] == Eye.UNKNOWN).any():
            return "the eyes cannot be seen: more light, no dark glasses, hold still"
        face_id = int(faces.ids[0])
        watch = self.tracker.watch(face_id)
        if not watch.eyes_open_for(self.open_for):
            return "keep both eyes open"
        if self.blink:
            asked = self._asked.setdefault(face_id, time)
            if not any(blink.start >= asked for blink in watch.blinks):
                return "blink once"
        return None


def admitted(gate: Gate, frames: Iterable[Frame]) -> Iterable[tuple[Frame, Verdict]]:
    """The frames that the gate lets through; what is in the way of the others goes to standard error."""
    said = ""
    for frame in frames:
        verdict = gate(frame.image, frame.time)
        if verdict.reason != said:
            said = verdict.reason
            print(f"{frame.time:6.2f} s  {said}", file=sys.stderr)
        if verdict.ready:
            yield frame, verdict


app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Source = Annotated[str, typer.Argument(help="camera number, video file or URL")]
Model = Annotated[str, typer.Option(help="dlib-face, or an ONNX file of the SFace or ArcFace layout")]
Profile = Annotated[Path, typer.Option(help="the enrolled person: a gallery")]
Blink = Annotated[bool, typer.Option("--blink", help="ask for a blink")]
Alive = Annotated[bool, typer.Option("--live", help="ask for a blink, and for a turn of the head")]


def passed(source: str, gate: Gate) -> Iterator[tuple[Frame, Verdict]]:
    """What of a source the gate lets through."""
    with read(source) as frames:
        yield from admitted(gate, latest(frames) if frames.info.live else frames)


@app.command()
def gate(source: Source = "0", blink: Blink = False, live: Alive = False) -> None:
    """Wait for one frontal, sharp face with open eyes; says nothing about whose it is."""
    for frame, _ in passed(source, Gate(FaceLandmarker.load(), blink=blink, live=live)):
        print(f"a face at {frame.time:.2f} s; nobody has been identified")
        return
    raise typer.Exit(1)


@app.command()
def enrol(
    source: Source = "0", name: Annotated[str, typer.Option(help="whose face it is")] = "me",
    model: Model = "default", profile: Profile = Path("me.faces"),
    count: Annotated[int, typer.Option(min=1, help="pictures")] = 5,
) -> None:
    """Keep the vectors of a few pictures that pass the gate."""
    embedder, vectors = FaceEmbedder.load(model), list[Floats]()
    for frame, verdict in passed(source, Gate(FaceLandmarker.load())):
        vectors.append(embedder(frame.image, verdict.face)[0])
        if len(vectors) == count:
            break
    if len(vectors) < count:
        raise DataError(f"{len(vectors)} of {count} pictures passed the gate; nobody was enrolled.")
    gallery = Gallery(embedder.name)
    gallery.add(name, np.stack(vectors))
    gallery.save(profile, os.environ.get(PASSPHRASE, ""))
    print(f"enrolled {name} from {count} pictures: {profile}")


@app.command()
def verify(
    source: Source = "0", model: Model = "default", profile: Profile = Path("me.faces"), blink: Blink = False,
    live: Alive = False,
    max_distance: Annotated[float | None, typer.Option(
        min=0, help="who is further from everybody enrolled is a stranger; the network's own unless given")] = None,
    count: Annotated[int, typer.Option(min=1, help="pictures whose mean is compared")] = 3,
) -> None:
    """Compare a face that passes the gate with the enrolled ones; exit code 1 for a stranger."""
    embedder, vectors = FaceEmbedder.load(model), list[Floats]()
    gallery = Gallery.load(profile)
    if gallery.model != embedder.name:
        raise DataError(f"{str(profile)!r} was made with {gallery.model!r}, and this is {embedder.name!r}.")
    limit = embedder.layout.named if max_distance is None else max_distance
    for frame, verdict in passed(source, Gate(FaceLandmarker.load(), blink=blink, live=live)):
        vectors.append(embedder(frame.image, verdict.face)[0])
        if len(vectors) < count:
            continue
        (who,), (distance,) = gallery.nearest(np.mean(vectors, axis=0, keepdims=True))
        known = distance < limit
        print(f"{gallery.names[who] if known else 'a stranger'}: distance {distance:.3f}, the limit is {limit:g}")
        raise typer.Exit(0 if known else 1)
    raise typer.Exit(1)


def main() -> None:
    """Run a command; an error of ours is one line and a non-zero exit."""
    try:
        app()
    except VisionError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

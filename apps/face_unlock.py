"""Face unlock, honestly: a gate that works with what ships, and an identity that you bring.

    python -m apps.face_unlock gate 0                          # a camera, or a video file
    python -m apps.face_unlock enrol 0 --embedding sface.onnx --profile me.npz
    python -m apps.face_unlock verify 0 --embedding sface.onnx --profile me.npz

The gate lets one face through that is near, frontal, sharp, with both eyes open for half a second
and, with `--blink`, after a blink. Who that is, it does not know: no weights for that ship here.
Enrol and verify take an ONNX file of the SFace or ArcFace layout, and do nothing without one. A
film of you on a screen blinks too: this is a demonstration, not a lock.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vision.card import Card, Input
from vision.engine import Engine, load
from vision.errors import DataError, UsageError, VisionError
from vision.io import latest, read
from vision.people.eyes import Eye
from vision.people.face import Faces
from vision.people.face_tracker import FaceTracker
from vision.people.landmarks import FaceLandmarker
from vision.types import Floats, Frame, Image
from vision.view import patch

# Where eyes, nose and corners of the mouth lie on the 112x112 picture that these networks learned
# from (Deng et al. 2019), and the points of the mesh that are these
TEMPLATE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)
FIVE = (468, 473, 1, 61, 291)
# mean and standard deviation of RGB in 0..1, and the cosine from which two pictures are one person,
# as the networks' publishers have it: yours may need another
LAYOUTS = {"sface": (0.0, 1 / 255, 0.363), "arcface": (0.5, 0.5, 0.4)}


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
    in which all else was right.
    """

    def __init__(
        self, landmarker: FaceLandmarker, *, open_for: float = 0.5, min_width: float = 80.0,
        max_yaw: float = 20.0, max_pitch: float = 20.0, max_roll: float = 20.0, blink: bool = False,
    ) -> None:
        self.tracker = FaceTracker(landmarker)
        self.open_for, self.min_width, self.blink = open_for, min_width, blink
        self.limits = np.array([max_yaw, max_pitch, max_roll])
        self._asked: dict[int, float] = {}              # face id -> when it was asked to blink

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


class Identity:
    """A face as a vector: whose angle to another says how alike the two are."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def load(cls, path: Path | None, layout: str) -> Identity:
        """The user's ONNX file. Raises UsageError where there is none: nothing is pretended."""
        if path is None:
            raise UsageError(
                "no identity network ships with this project, so nobody can be told apart without yours: "
                "give --embedding FILE.onnx (SFace, or an ArcFace with 112x112 input and --layout arcface)."
            )
        if layout not in LAYOUTS:
            raise UsageError(f"no layout {layout!r}. There are: {', '.join(LAYOUTS)}")
        mean, std, _ = LAYOUTS[layout]
        card = Card(
            name=path.stem, task="identity", form="onnx", file=str(path.resolve()), licence="",
            source=str(path), tolerance=0.001,
            input=Input((112, 112), "stretch", mean=(mean, mean, mean), std=(std, std, std)),
        )
        return cls(load(card))

    def __call__(self, image: Image, face: Faces) -> Floats:
        """The unit vector (D,) of the first of the faces in `image`."""
        vector = np.asarray(self.engine(aligned(image, face)[None])[0][0], np.float32).ravel()
        return vector / max(1e-9, float(np.linalg.norm(vector)))


def aligned(image: Image, face: Faces) -> Image:
    """The first of the faces, (112,112,3), turned and scaled so that its points meet the template."""
    seen, wanted = face.points[0, list(FIVE)] @ [1, 1j], TEMPLATE @ [1, 1j]          # points as complex
    away, back = seen - seen.mean(), wanted - wanted.mean()
    a = np.vdot(away, back) / np.vdot(away, away).real      # least squares of back = a * away
    centre = seen.mean() + (56 + 56j - wanted.mean()) / a
    place = (float(centre.real), float(centre.imag))
    return patch(image, place, 112 / abs(a), 112, angle=-float(np.angle(a))).pixels


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
Embedding = Annotated[Path | None, typer.Option(help="ONNX file that turns 112x112 faces into vectors")]
Layout = Annotated[str, typer.Option(help="how the file was trained: sface, arcface")]
Profile = Annotated[Path, typer.Option(help="the enrolled person")]
Blink = Annotated[bool, typer.Option("--blink", help="ask for a blink")]


@app.command()
def gate(source: Source = "0", blink: Blink = False) -> None:
    """Wait for one frontal, sharp face with open eyes; says nothing about whose it is."""
    with read(source) as frames:
        live = latest(frames) if frames.info.live else frames
        for frame, _ in admitted(Gate(FaceLandmarker.load(), blink=blink), live):
            print(f"a face at {frame.time:.2f} s; nobody has been identified")
            return
    raise typer.Exit(1)


@app.command()
def enrol(
    source: Source = "0", embedding: Embedding = None, layout: Layout = "sface",
    profile: Profile = Path("me.npz"), count: Annotated[int, typer.Option(min=1, help="pictures")] = 5,
) -> None:
    """Keep the mean vector of a few pictures that pass the gate."""
    identity = Identity.load(embedding, layout)
    vectors: list[Floats] = []
    with read(source) as frames:
        live = latest(frames) if frames.info.live else frames
        for frame, verdict in admitted(Gate(FaceLandmarker.load()), live):
            vectors.append(identity(frame.image, verdict.face))
            if len(vectors) == count:
                break
    if len(vectors) < count:
        raise DataError(f"{len(vectors)} of {count} pictures passed the gate; nobody was enrolled.")
    np.savez(profile, vector=np.mean(vectors, axis=0), layout=layout)
    print(f"enrolled from {count} pictures: {profile}")


@app.command()
def verify(
    source: Source = "0", embedding: Embedding = None, layout: Layout = "sface",
    profile: Profile = Path("me.npz"), blink: Blink = False,
    min_similarity: Annotated[float | None, typer.Option(
        min=-1, max=1, help="cosine; the layout's usual one unless given")] = None,
) -> None:
    """Compare the first face that passes the gate with the enrolled one; exit code 1 for another."""
    identity = Identity.load(embedding, layout)
    try:
        enrolled = np.load(profile, allow_pickle=False)["vector"]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{str(profile)!r} holds no enrolled face ({error}). Make one: enrol") from error
    with read(source) as frames:
        live = latest(frames) if frames.info.live else frames
        for frame, verdict in admitted(Gate(FaceLandmarker.load(), blink=blink), live):
            vector = identity(frame.image, verdict.face)
            likeness = float(vector @ enrolled / max(1e-9, float(np.linalg.norm(enrolled))))
            same = likeness >= (LAYOUTS[layout][2] if min_similarity is None else min_similarity)
            print(f"{'the same person' if same else 'another person'}: similarity {likeness:.3f}")
            raise typer.Exit(0 if same else 1)
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

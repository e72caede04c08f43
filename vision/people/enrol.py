"""Pictures of people into a gallery: a folder for each person, named as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vision.errors import DataError, VisionError
from vision.io import local_files, read
from vision.io.pictures import PICTURE_SUFFIXES
from vision.people.face import Faces
from vision.people.gallery import Gallery, proper
from vision.people.identity import FaceEmbedder
from vision.people.landmarks import FaceLandmarker
from vision.people.quality import SAID, Quality, quality
from vision.types import Floats, Image

_log = logging.getLogger("vision.people")
_ALONE = 2.0                    # times the area of the next: the largest face of a picture is whose picture it is


class Seen(NamedTuple):
    """What a picture gave: a vector (D,), or why it gave none."""

    vector: Floats | None
    why: str


class Looker:
    """Looks at pictures of one person each. landmarker finds the faces, embedder gives their vectors."""

    def __init__(self, landmarker: FaceLandmarker, embedder: FaceEmbedder) -> None:
        self.landmarker, self.embedder = landmarker, embedder
        self.name, self.in_flight = embedder.name, landmarker.in_flight

    def submit(self, images: Sequence[Image]) -> Callable[[], list[Seen]]:
        """Start on pictures (H,W,3); the function that comes back waits, and gives what each gave."""
        wait = self.landmarker.submit(images)
        return lambda: [self._one(image, faces) for image, faces in zip(images, wait(), strict=True)]

    def __call__(self, image: Image) -> Seen:
        """The vector of the one face in a picture (H,W,3), or of one that is by far the largest."""
        return self.submit([image])()[0]

    def _one(self, image: Image, faces: Faces) -> Seen:
        return look(faces, self.embedder, image)


def look(faces: Faces, embedder: FaceEmbedder, image: Image) -> Seen:
    """The vector of the one of the faces in a picture (H,W,3), or of one that is by far the largest."""
    if not len(faces):
        return Seen(None, "no face was found")
    areas = np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)
    first, *others = np.argsort(-areas).tolist()
    if others and areas[first] < _ALONE * areas[others[0]]:
        return Seen(None, f"{len(faces)} faces: cut the picture to one")
    face = faces[first]
    told = quality(face, 0, embedder.chip(image, face.points[0]).pixels)
    if told != Quality.GOOD:
        return Seen(None, f"its face is {SAID[told]}")
    return Seen(embedder(image, face)[0], "")


def enrol(
    folder: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, into: Gallery | None = None,
    told: Callable[[str], None] = _log.warning,
) -> Gallery:
    """A gallery of the people in a folder.

    folder: a folder for each person, named as they are, with pictures of them; or pictures alone, each named as the
        person is. into: a gallery that they are added to; None: a new one. told: is called with a sentence for each
        picture that cannot be used, and for each that may show somebody else.

    Raises DataError for a folder without people, for a name that a gallery does not take, and for a person of whom no
    picture can be used.
    """
    gallery = Gallery(embedder.name) if into is None else into
    before, looker = len(gallery), Looker(landmarker, embedder)
    people = [(proper(name), pictures) for name, pictures in _people(folder)]     # before a picture is looked at
    for name, pictures in people:
        vectors, used, reasons = [], [], []
        for picture in pictures:
            seen = _look_at(picture, looker)
            if seen.vector is not None:
                vectors.append(seen.vector)
                used.append(picture)
            else:
                reasons.append(f"{picture}: {seen.why}")
        if not pictures:
            raise DataError(f"the folder of {name!r} has no pictures.")
        if not vectors:
            raise DataError(f"no picture of {name!r} can be used ({'; '.join(reasons[:3])}). Add one with their face, "
                            "30 pixels wide or more.")
        for reason in reasons:
            told(f"left out: {reason}")
        gallery.add(name, np.stack(vectors))
        whose = gallery.names[-1]
        for odd, i, apart in gallery.odd(embedder.layout):
            if odd == whose:
                told(f"{used[i]}: {apart:.2f} from the other pictures of {odd!r}. Is that the same person?")
    if len(gallery) == before:
        raise DataError(f"{str(folder)!r} has no people: it needs a folder of pictures for each, named as they are.")
    return gallery


def _people(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r}. A gallery is a folder with a folder of pictures for each "
                        "person, or a file of `vision gallery enrol`.")
    for one in sorted(folder.iterdir()):
        if one.name.startswith("."):
            continue
        if one.is_dir():
            yield one.name, [Path(file) for file in local_files(str(one))]
        elif one.suffix.lower() in PICTURE_SUFFIXES:
            yield one.stem, [one]


def _look_at(path: Path, looker: Looker) -> Seen:
    try:
        with read(str(path), max_frames=1) as source:
            return looker(next(source).image)
    except (VisionError, StopIteration) as error:
        return Seen(None, f"it cannot be read ({error})")


def opened(path: Path, embedder: FaceEmbedder, landmarker: FaceLandmarker | None) -> Gallery:
    """The gallery in a folder of pictures, which are looked at now, or in a file. landmarker: finds the faces of a
    folder. Raises as `enrol` and `Gallery.load` do, DataError for a file with another network's vectors."""
    if path.is_dir() and landmarker is not None:
        return enrol(path, landmarker, embedder)
    gallery = Gallery.load(path)
    if gallery.model != embedder.name:
        raise DataError(f"{str(path)!r} was made with {gallery.model!r}, and this is {embedder.name!r}: their vectors "
                        f"cannot be compared. Enrol again, or give --model {gallery.model}.")
    return gallery

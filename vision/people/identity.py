"""Who a face is, as a vector: two pictures of one person lie near each other.

A face is cut out so that its eyes, its nose and, for some networks, its mouth lie where the network learned to expect
them; its vector is the mean of the picture's and its mirror image's. What ships is dlib's network (King 2017); files of
the SFace (Zhong et al. 2021) and ArcFace (Deng et al. 2019) layouts are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vision import zoo
from vision.card import Card, Input
from vision.errors import ModelError, WeightsError
from vision.people.face import Faces
from vision.people.mesh import LEFT_EYE, RIGHT_EYE
from vision.tasks.model import Model
from vision.types import Floats, Image
from vision.view import View, patch


@dataclass(frozen=True)
class Layout:
    """How a network of identity wants faces, and how its vectors are compared.

    points: of the face mesh. places: where they lie on the network's picture, (K,2) in 0..1 of its side.
    unit: whether vectors are brought to length 1.
    named: the distance below which somebody of a gallery is named; same: below which two pictures are of one person.
    middle: beyond it two pictures are rather of two people, where half of the pairs are. slope: of a score: a factor of
        e in its odds.
    """

    points: tuple[int, ...]
    places: tuple[tuple[float, float], ...]
    unit: bool
    named: float
    same: float
    middle: float
    slope: float


_EYES_AND_NOSE = (RIGHT_EYE[0], RIGHT_EYE[8], LEFT_EYE[8], LEFT_EYE[0], 2)
_FIVE = (468, 473, 1, 61, 291)                           # irises, tip of the nose, corners of the mouth
LAYOUTS: dict[str, Layout] = {
    "dlib": Layout(                                      # its chip of 150 pixels, a quarter of the face around it
        _EYES_AND_NOSE,
        ((0.2477, 0.3091), (0.3893, 0.3194), (0.5974, 0.3193), (0.7397, 0.3090), (0.4934, 0.5852)),
        unit=False, named=0.46, same=0.55, middle=0.645, slope=0.028,
    ),
    "arcface": Layout(                                   # thresholds as published for SFace; yours may need others
        _FIVE,
        ((0.342, 0.4616), (0.6563, 0.4598), (0.5002, 0.6405), (0.3709, 0.8246), (0.6315, 0.8232)),
        unit=True, named=1.0, same=1.128, middle=1.128, slope=0.06,
    ),
}
_ARCFACE_SIDE = 112


class FaceEmbedder(Model):
    """Turns faces into vectors. `FaceEmbedder.load()` makes one.

    engine: (B,s,s,3) uint8 to vectors (B,D). card: of the network; its `config["faces"]` is a key of `LAYOUTS`, dlib's
    where it has none.
    """

    task = "identity"

    @property
    def layout(self) -> Layout:
        """How faces are cut out and vectors compared."""
        return LAYOUTS[str(self.card.config.get("faces", "dlib"))]

    @classmethod
    def _card(cls, model: str | Path | Card) -> Card:
        if not isinstance(model, Card) and str(model).endswith(".onnx"):
            return _card_of(Path(model))
        return zoo.find(model, cls.task)

    def __call__(self, image: Image, faces: Faces) -> Floats:
        """The vectors (N,D) of the faces in `image` (H,W,3) uint8 BGR."""
        return self.submit([image], [faces])()[0]

    def submit(self, images: Sequence[Image], faces: Sequence[Faces]) -> Callable[[], list[Floats]]:
        """Start on the faces of each image; the function that comes back waits, and gives vectors (N,D) each.

        images: (H,W,3) uint8 BGR each; they must not change until then. faces: those of each.
        """
        asked = []
        for image, some in zip(images, faces, strict=True):
            chips = [self.chip(image, points) for points in some.points]
            asked.append([
                self.engine.submit(np.ascontiguousarray(one)[None])
                for chip in chips for one in (chip.pixels, chip.pixels[:, ::-1])
            ])

        def collect() -> list[Floats]:
            return [self._vectors([future.result()[0][0] for future in futures]) for futures in asked]

        return collect

    def chip(self, image: Image, points: Floats) -> View:
        """A face (478,2), in pixels of `image`, as the network sees it."""
        layout = self.layout
        return aligned(image, points[list(layout.points)], np.array(layout.places), self.card.input.size_wh[0])

    def _vectors(self, answers: Sequence[Floats]) -> Floats:
        """Vectors (N,D) from those of each face and its mirror image."""
        if not answers:
            return np.zeros((0, 0), np.float32)
        found = np.stack(answers).astype(np.float32)
        if self.layout.unit:
            found = _unit(found)
        mean = found.reshape(-1, 2, found.shape[1]).mean(axis=1)
        return _unit(mean) if self.layout.unit else mean


def aligned(image: Image, points: Floats, places: Floats, size: int) -> View:
    """A face, turned and scaled so that its points meet places as nearly as they can (least squares; Umeyama 1991).

    image: (H,W,3) uint8 BGR. points: (K,2) in its pixels. places: (K,2) in 0..1 of the view's side. size: in pixels.
    """
    seen, wanted = points @ [1, 1j], places @ [1, 1j]                   # as complex numbers
    away, back = seen - seen.mean(), wanted - wanted.mean()
    turned = np.vdot(away, back) / max(np.vdot(away, away).real, 1e-9)  # of back = turned * away
    if abs(turned) < 1e-9:
        turned = 1e-9
    centre = seen.mean() + (0.5 + 0.5j - wanted.mean()) / turned
    place = (float(centre.real), float(centre.imag))
    return patch(image, place, 1 / abs(turned), size, angle=-float(np.angle(turned)))


def distances(vectors: Floats, others: Floats) -> Floats:
    """Euclidean distances (N,M) of vectors (N,D) and (M,D)."""
    return np.asarray(np.linalg.norm(vectors[:, None] - others[None], axis=2), np.float32)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9), np.float32)


def _card_of(path: Path) -> Card:
    """The card of somebody's ONNX file of the SFace or ArcFace layout: 112x112 RGB in, a vector out. Raises
    WeightsError where it is not there, ModelError for a graph of another input."""
    from vision.engine.onnx_graph import begins_with_arithmetic

    if not path.is_file():
        raise WeightsError(f"there is no file {str(path)!r}. Give the path of an ONNX file, or leave out --model.")
    normalises = begins_with_arithmetic(path, _ARCFACE_SIDE)
    if normalises is None:
        side = _ARCFACE_SIDE
        raise ModelError(f"{str(path)!r} takes no faces of {side}x{side} pixels, as SFace and ArcFace do.")
    mean, std = ((0.0,) * 3, (1 / 255,) * 3) if normalises else ((0.5,) * 3, (0.5,) * 3)
    return Card(
        name=path.stem, task="identity", form="onnx", file=str(path.resolve()), licence="", source=str(path),
        tolerance=0.001, input=Input((_ARCFACE_SIDE,) * 2, "stretch", fixed=True, mean=mean, std=std),
        config={"faces": "arcface"},
    )

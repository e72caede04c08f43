"""Semantic segmentation: a picture in, the class of each of its pixels out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vision import zoo
from vision.card import Card
from vision.engine import Outputs
from vision.errors import ModelError, UsageError
from vision.tasks.own import OwnModel, argmax, labels
from vision.tasks.together import Engines, joint, same_classes
from vision.types import ClassMap, Image, UncertainMap
from vision.view import checked_image, stretch

Plan = tuple[list[int], list[int]]     # left and top edges of tiles
_OVERLAP = 0.25                        # of a tile's side: what neighbours share, at least


class Segmenter(OwnModel):
    """Says what every pixel shows.

    engine: takes (B,h,w,3) uint8 BGR, and returns class maps (B,h,w) uint8 and, where it runs with dropout on,
    their variance (B,h,w). card: the network's card.
    """

    task = "segment"
    decoder, outputs = staticmethod(argmax), staticmethod(labels)

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        *,
        uncertainty: bool = False,
        passes: int = 16,
    ) -> Segmenter:
        """A segmenter, ready to run.

        model: a name of `vision models`, a path to weights with their card, or a card.
        device, precision, backend: see `Model.load`, which also says what is raised.
        uncertainty: results are `UncertainMap`, from `passes` passes with dropout on (Kendall et al. 2017,
            "Bayesian SegNet"); only torch runs it. Raises ModelError for a network without dropout.
        """
        if names := zoo.members(model):
            if uncertainty:
                raise ModelError("how sure a network is comes of one network's dropout, not of an ensemble")
            load, cards = super().load, [cls._card(name) for name in names]
            likely = [
                replace(card, net="probable", config={"of": card.net, "config": dict(card.config)}, int8=None)
                for card in cards
            ]
            ensemble = SegmenterEnsemble([load(card, device, precision, backend) for card in likely])
            ensemble.loaded_as = {"model": model, "device": device, "precision": precision, "backend": backend}
            return ensemble
        card = cls._card(model)
        if uncertainty:
            if backend not in ("auto", "torch"):
                raise ModelError(f"dropout at test time runs on torch only; got the back end {backend!r}.")
            config = {"of": card.net, "config": dict(card.config), "passes": passes}
            card, backend = replace(card, net="bayesian", config=config), "torch"
        return super().load(card, device, precision, backend)

    def __call__(self, image: Image, *, tiled: bool = False) -> ClassMap:
        """Segment a picture.

        image: (H,W,3) uint8 BGR. tiled: see `submit`. Returns a class for each of its pixels. Raises UsageError for
        another picture.
        """
        return self.submit([image], tiled=tiled)()[0]

    def batch(self, images: Sequence[Image], *, tiled: bool = False) -> list[ClassMap]:
        """Segment each of `images`, (H,W,3) uint8 BGR of any sizes. tiled: see `submit`."""
        return self.submit(images, tiled=tiled)()

    def submit(
        self, images: Sequence[Image], *, tiled: bool = False
    ) -> Callable[[], list[ClassMap]]:
        """Start on pictures, and do not wait.

        images: (H,W,3) uint8 BGR each, of any sizes.
        tiled: cut a picture that is larger than the network's input into tiles of that size, instead of shrinking
            it. Tiles overlap by at least a quarter; there the tile with the nearer centre decides.
        Returns a function that waits and returns one map for each picture, of its size.
        """
        size_wh = self.engine.input_wh or self.card.input.size_wh
        as_it_is = self.card.input.resize == "none"
        sizes = [checked_image(image).shape[1::-1] for image in images]
        plans = [_tiles((w, h), size_wh) if tiled and not as_it_is else None for w, h in sizes]
        futures: list[list[Future[Outputs]]] = []
        for image, plan in zip(images, plans, strict=True):
            if plan is None:
                parts = [image if as_it_is else stretch(image, size_wh).pixels]
            else:
                parts = [image[y : y + size_wh[1], x : x + size_wh[0]] for y in plan[1] for x in plan[0]]
            futures.append([self.engine.submit(np.ascontiguousarray(part)[None]) for part in parts])

        def collect() -> list[ClassMap]:
            results = []
            for image, plan, waited in zip(images, plans, futures, strict=True):
                frame_wh = (image.shape[1], image.shape[0])
                outputs = [future.result() for future in waited]
                kinds = [[output[k][0] for output in outputs] for k in range(len(outputs[0]))]
                planes = [
                    _resized(maps[0], frame_wh) if plan is None
                    else _joined([_resized(one, size_wh) for one in maps], plan, frame_wh, size_wh)
                    for maps in kinds
                ]
                results.append(_result(planes))
            return results

        return collect


class SegmenterEnsemble(Segmenter):
    """Several segmenters of the same classes: the class whose probabilities have the highest mean.

    members: at least one, whose networks hand out probabilities (`vision.nets.probable`). Raises ModelError where
    their classes differ.
    """

    def __init__(self, members: Sequence[Segmenter]) -> None:
        cards = [member.card for member in members]
        super().__init__(Engines([member.engine for member in members]), joint(cards, same_classes(cards)))
        self.members = tuple(members)

    def submit(self, images: Sequence[Image], *, tiled: bool = False) -> Callable[[], list[ClassMap]]:
        """Start on pictures with every member; see `Segmenter.submit`. Raises UsageError for tiles: the members' sizes
        may differ."""
        if tiled:
            raise UsageError("an ensemble looks at a picture as a whole; leave out tiled")
        sizes = [member.engine.input_wh or member.card.input.size_wh for member in self.members]
        futures = [
            [member.engine.submit(stretch(checked_image(image), size_wh).pixels[None])
             for member, size_wh in zip(self.members, sizes, strict=True)]
            for image in images
        ]

        def averaged(image: Image, waited: list[Future[Outputs]]) -> ClassMap:
            maps = [np.moveaxis(future.result()[0][0], 0, -1) for future in waited]           # (h,w,C)
            total = sum(cv2.resize(one, sizes[0], interpolation=cv2.INTER_LINEAR) for one in maps)
            return ClassMap(_resized(np.asarray(total).argmax(-1).astype(np.uint8), (image.shape[1], image.shape[0])))

        return lambda: [averaged(image, waited) for image, waited in zip(images, futures, strict=True)]


def _result(planes: list[np.ndarray]) -> ClassMap:
    if len(planes) == 1:
        return ClassMap(planes[0])
    return UncertainMap(planes[0], planes[1])


def _resized(plane: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A plane of the network brought to the frame's size: labels by the nearest pixel."""
    if (plane.shape[1], plane.shape[0]) == size_wh:
        return plane
    how = cv2.INTER_NEAREST_EXACT if plane.dtype == np.uint8 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size_wh, interpolation=how), plane.dtype)


def _tiles(frame_wh: tuple[int, int], tile_wh: tuple[int, int]) -> Plan | None:
    """Left and top edges of the tiles of a frame; None where a tile would not fit into it."""
    if frame_wh[0] < tile_wh[0] or frame_wh[1] < tile_wh[1] or frame_wh == tile_wh:
        return None
    return _starts(frame_wh[0], tile_wh[0]), _starts(frame_wh[1], tile_wh[1])


def _starts(length: int, tile: int) -> list[int]:
    """Evenly spread starts that cover `length`, with neighbours that share a quarter at least."""
    if length == tile:
        return [0]
    count = 1 + int(np.ceil((length - tile) / (tile * (1 - _OVERLAP))))
    return [int(start) for start in np.rint(np.linspace(0, length - tile, count))]


def _joined(
    maps: list[np.ndarray], plan: Plan, frame_wh: tuple[int, int], tile_wh: tuple[int, int]
) -> np.ndarray:
    """One plane from the tiles', row by row: each pixel from the tile whose centre is nearest."""
    whole = np.empty((frame_wh[1], frame_wh[0]), maps[0].dtype)
    across, down = _shares(plan[0], tile_wh[0], frame_wh[0]), _shares(plan[1], tile_wh[1], frame_wh[1])
    tiles = iter(maps)
    for top, (y0, y1) in zip(plan[1], down, strict=True):
        for left, (x0, x1) in zip(plan[0], across, strict=True):
            whole[y0:y1, x0:x1] = next(tiles)[y0 - top : y1 - top, x0 - left : x1 - left]
    return whole


def _shares(starts: list[int], tile: int, length: int) -> list[tuple[int, int]]:
    """What part of the frame each tile decides, along one axis: up to the middle of each overlap."""
    middles = [(before + tile + after) // 2 for before, after in pairwise(starts)]
    return list(zip([0, *middles], [*middles, length], strict=True))

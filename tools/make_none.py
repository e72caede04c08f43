"""Make clips that show none of the actions: what `vision train action` takes in a class folder named `none`.

    python tools/make_none.py DATA/none PHOTOGRAPHS FILM [FILM ...] [--every 10]

Each tenth photograph of a folder becomes two seconds before a camera that stands still, pans or zooms, with a little
noise; a film becomes pieces of three seconds, twelve at most, which are one group in `--folds`. All are 320x240, like
UCF101's videos.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from vision import read
from vision.types import Floats, Image

SIZE_WH = 320, 240
RATE, STILL = 25, 50                     # frames a second and frames of a photograph's clip
PIECE_S, PIECES = 3.0, 12


def write(path: Path, frames: Iterable[Image], rate: int) -> None:
    """Frames (240,320,3) uint8 BGR as H.264."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "23"})
        stream.width, stream.height = SIZE_WH
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        file.mux(stream.encode())


def camera(picture: Image, random: np.random.Generator) -> Iterable[Image]:
    """A window that stands still in three of ten pictures, and moves and changes its size in the others."""
    begins, ends = window(picture, random), window(picture, random)
    if random.random() < 0.3:
        ends = begins
    for share in np.linspace(0, 1, STILL):
        x, y, width, height = begins + (ends - begins) * share
        matrix = np.array([[width / SIZE_WH[0], 0, x], [0, height / SIZE_WH[1], y]])
        seen = cv2.warpAffine(picture, matrix, SIZE_WH, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        yield np.clip(seen.astype(np.int16) + random.integers(-4, 5, seen.shape), 0, 255).astype(np.uint8)


def window(picture: Image, random: np.random.Generator) -> Floats:
    """xywh in pixels of a part of a picture, 4:3."""
    height, width = picture.shape[:2]
    side = min(width, height * 4 / 3) * random.uniform(0.6, 1)
    x, y = random.random(2)
    return np.array([x * (width - side), y * (height - side * 3 / 4), side, side * 3 / 4])


def main() -> None:
    """Write the clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("photographs")
    parser.add_argument("films", nargs="+")
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for frame in read(args.photographs, stride=args.every):
        write(args.folder / f"photograph-{frame.index:05d}.mp4", camera(frame.image, random), RATE)
    for number, film in enumerate(args.films, start=100):
        with read(film) as frames:
            rate = round(frames.info.rate or RATE)
            for piece in range(PIECES):
                shown = [cv2.resize(frame.image, SIZE_WH, interpolation=cv2.INTER_AREA)
                         for frame in islice(frames, round(PIECE_S * rate))]
                if len(shown) < PIECE_S * rate / 2:
                    break
                write(args.folder / f"v_none_g{number}_c{piece:02d}.mp4", shown, rate)


if __name__ == "__main__":
    main()

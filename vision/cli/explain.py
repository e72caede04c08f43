"""`vision explain`: what in a picture or a film spoke for what a model says."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vision.errors import SourceError, UsageError, plain
from vision.files import check_writable, write_whole

if TYPE_CHECKING:
    from vision.inspect.explain import Explained, Explainer
    from vision.types import Frame, Image

_MOST = 1000                           # frames that are read for one clip


def explain(
    source: Annotated[str, typer.Argument(help="a picture or a video; with -o FILE.mp4 each frame is explained")],
    output: Annotated[Path, typer.Option("-o", "--output", help="picture, or film, to write")],
    model: Annotated[str, typer.Option(
        help="a classifier, detector, segmenter or action network: a name of `vision models`, a run, torchvision:NAME")]
    = "mobilenet-v2",
    of: Annotated[str | None, typer.Option("--class", help="the class to explain; the surest unless given")] = None,
    how: Annotated[Literal["grad-cam", "occlusion", "filters", "maps"], typer.Option(
        help="grad-cam, occlusion; or a sheet of the first layer's filters, or of a layer's maps")] = "grad-cam",
    layer: Annotated[str, typer.Option(help="whose maps are looked at; the deepest unless given")] = "",
    neighbours: Annotated[Path | None, typer.Option(
        help="folder of pictures: instead, those that are most alike to the network")] = None,
    max_frames: Annotated[int, typer.Option(min=1, help="of a film")] = 250,
) -> None:
    """What in a picture speaks for what a model says of it. Nothing is trained, and no weight changes."""
    from vision.io import Inputs
    from vision.io.pictures import WRITABLE_SUFFIXES
    from vision.sinks.frames import FILMS, either

    kind, sheet = output.suffix.lower(), how in ("filters", "maps") or neighbours is not None
    if kind and kind not in (*FILMS, *WRITABLE_SUFFIXES):
        raise UsageError(f"{str(output)!r} is no kind of picture; a film is written as {either(FILMS)}.")
    if kind in FILMS and sheet:
        asked = f"--how {how}" if neighbours is None else "--neighbours"
        raise UsageError(f"{asked} gives one picture, no film: name a picture with -o, such as sheet.png.")
    Inputs([source, *([] if neighbours is None else [str(neighbours)])]).refuse(output)
    check_writable(output)
    _frames(source, 1)                                  # a source that is not there is told before torch is loaded
    from vision.inspect.explain import Explainer

    explainer = Explainer(model, how if how in ("grad-cam", "occlusion") else "grad-cam", layer)
    if explainer.random:
        print(plain(f"{explainer.card.name} has no weights here: random ones stand in, and know nothing"),
              file=sys.stderr)
    if kind in FILMS:
        _film(explainer, source, output, of, max_frames)
        return
    frames = _frames(source, explainer.frames, explainer.card.clip.rate)
    if neighbours is not None:
        _alike(explainer, frames[-1], neighbours, output)
    elif sheet:
        _sheet(explainer, frames, how, layer, output)
    else:
        found = explainer(frames if explainer.clip else frames[0], of)
        if not found:
            what = "nothing" if of is None else f"no {of!r}"
            raise UsageError(f"{explainer.card.name!r} finds {what} here that could be explained.")
        _draw(found, output)
    print(f"-> {plain(str(output))}")


def _frames(source: str, count: int, rate: float = 25.0) -> list[Image]:
    """The first frames of a source, `rate` a second."""
    from vision.io import read

    seen: list[Frame] = []
    with read(source, max_frames=1 if count == 1 else _MOST) as opened:
        for frame in opened:
            seen.append(frame)
            if frame.time - seen[0].time >= (count - 1) / rate - 1e-6:
                break
    if not seen:
        raise SourceError(f"{source!r} has no frame.")
    return _spaced(seen, count, rate)


def _spaced(frames: Sequence[Frame], count: int, rate: float) -> list[Image]:
    """So many frames up to the last one, `rate` a second: those nearest in time, the first for what was before it."""
    return [min(frames, key=lambda frame: abs(frame.time - frames[-1].time + back / rate)).image
            for back in range(count - 1, -1, -1)]


def _draw(found: list[Explained], output: Path) -> None:
    """Each statement's picture, in a row; of a clip its frames."""
    import cv2
    import numpy as np

    from vision.drawing import label
    from vision.inspect.sheets import joined

    pictures = []
    for one in found:
        for place, picture in enumerate(one.drawn):
            large = picture if min(picture.shape[:2]) >= 224 else cv2.resize(
                picture, None, fx=224 / min(picture.shape[:2]), fy=224 / min(picture.shape[:2]))
            large = np.ascontiguousarray(large)
            if place == 0:
                label(large, one.said, (0, 0), (40, 40, 40))
            pictures.append(large)
        print(plain(one.said + (f", by the maps of {one.heat.layer!r}" if one.heat.layer else "")))
    _write(output, joined(pictures))


def _sheet(explainer: Explainer, frames: list[Image], how: str, layer: str, output: Path) -> None:
    from vision.inspect.heat import last_map
    from vision.inspect.sheets import feature_maps, filters

    if how == "filters":
        _write(output, filters(explainer.net))
        return
    _, x = explainer.shown(frames)
    _write(output, feature_maps(explainer.net, x, layer or last_map(explainer.net, x)))


def _alike(explainer: Explainer, image: Image, folder: Path, output: Path) -> None:
    import numpy as np

    from vision.inspect.sheets import descriptor, joined, nearest_of
    from vision.io.pictures import PICTURE_SUFFIXES

    if explainer.frames > 1:
        raise UsageError(f"{explainer.card.name!r} sees {explainer.frames} frames at once: it has no neighbours among "
                         "pictures.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise UsageError(f"{str(folder)!r} has no pictures to compare with.")
    views = []
    for path in paths:
        try:
            views.append((path, explainer.view(_frames(str(path), 1)[0])))
        except SourceError as error:
            print(plain(f"passed over: {error}"), file=sys.stderr)
    if not views:
        raise UsageError(f"{str(folder)!r} has no picture that can be read.")
    rows = np.stack([descriptor(explainer.net, explainer.inputs(view)) for _, view in views])
    seen = explainer.view(image)
    near = nearest_of(descriptor(explainer.net, explainer.inputs(seen)), rows, 8)
    for place, cosine in near:
        print(plain(f"{cosine:.3f}  {views[place][0]}"))
    _write(output, joined([seen, *(views[place][1] for place, _ in near)]))


def _film(explainer: Explainer, source: str, output: Path, of: str | None, most: int) -> None:
    """Each frame under its heat, with the source's times."""
    import numpy as np

    from vision.drawing import label
    from vision.inspect.sheets import joined
    from vision.io import read
    from vision.sinks.film import VideoWriter

    count, rate = explainer.frames, explainer.card.clip.rate
    past: deque[Frame] = deque()
    with read(source, max_frames=most) as opened, VideoWriter(output) as film:
        for frame in opened:
            if past and frame.time < past[-1].time:            # the next of several videos
                past.clear()
            past.append(frame)
            while len(past) > 1 and past[1].time <= frame.time - count / rate:
                past.popleft()
            found = explainer(_spaced(past, count, rate) if explainer.clip else frame.image, of)
            picture = found[0].drawn[-1] if found else explainer.view(frame.image).copy()
            if len(found) > 1:
                picture = joined([one.drawn[-1] for one in found[:4]])
            picture = np.ascontiguousarray(picture)
            if found:
                label(picture, found[0].said, (0, 0), (40, 40, 40))
            film.write(picture, frame.time)
    print(f"-> {plain(str(output))}")


def _write(path: Path, image: Image) -> None:
    import cv2

    write_whole(path, cv2.imencode(path.suffix or ".png", image)[1].tobytes())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)

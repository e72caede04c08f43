"""`vision follow`: one chosen object."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.run import RunOptions, command, execute
from vision.cli.track import one_png, sequence_rate
from vision.errors import SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vision.io import Source
    from vision.pipeline import Pending, Sink, Step
    from vision.tracking import Follower, Target
    from vision.types import Frame, Image


@command
def follow(
    run: RunOptions,
    box: Annotated[str | None, typer.Option(
        help="x,y,w,h in pixels of the first frame; without it you draw it in a window")] = None,
    follower: Annotated[str, typer.Option(
        help="dsst (fast), ivt (learns a subspace) or mil (OpenCV)")] = "dsst",
    show_basis: Annotated[Path | None, typer.Option(
        help="the mean and the eigenvectors of --follower ivt at the end (PNG)")] = None,
) -> None:
    """Follow one chosen object, say when it is lost, and find it again.

    Pictures are taken as 30 a second, where no seqinfo.ini beside them says it.
    """
    from vision.tracking import FOLLOWERS, Ivt
    from vision.tracking.follow import Target, checked_box

    if follower not in FOLLOWERS:
        raise UsageError(f"no follower {follower!r}. Choose one of: {', '.join(FOLLOWERS)}.")
    if show_basis is not None and follower != "ivt":
        raise UsageError("--show-basis is of --follower ivt; the others have no subspace.")
    one_png(run, "--show-basis", show_basis)
    chosen = _box(box) if box is not None else None

    def make(source: Source) -> Step:
        from vision.pipeline import Step

        state: list[Follower] = []

        def begin(frames: Sequence[Frame]) -> Pending:
            return lambda: list(frames)

        def then(frame: Frame, _: Any) -> Target:
            if not state:
                first = checked_box(chosen or _drawn(frame.image), frame.image)
                state.append(FOLLOWERS[follower](frame.image, first, frame.time))
                return Target(first, 1.0, False)
            return state[0](frame.image, frame.time)

        source.at_rate(sequence_rate(source) or 30.0)
        followers[source.info.uri] = state
        return Step("follow", follower, ("target",), begin, then)

    followers: dict[str, list[Follower]] = {}

    def sinks(source: Source, stack: ExitStack) -> Iterable[Sink]:
        if show_basis is not None:
            def save() -> None:
                import cv2

                for one in followers[source.info.uri]:
                    if isinstance(one, Ivt) and not cv2.imwrite(str(show_basis), one.subspace.picture()):
                        raise SinkError(f"{str(show_basis)!r} cannot be written. Is its folder there?")

            stack.callback(save)
        return ()

    execute(run, make, sinks, (show_basis,))


def _box(text: str) -> tuple[float, float, float, float]:
    """x,y,w,h -> left, top, right, bottom."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise UsageError(f"--box is x,y,w,h in pixels; got {text!r}.") from None
    return x, y, x + w, y + h


def _drawn(image: Image) -> tuple[float, float, float, float]:
    """The box that the user draws on the first frame."""
    import cv2

    from vision.io import Window

    title = "vision follow: draw a box, then press Enter"
    try:
        with Window(title):
            # OpenCV's own has a bar that grows with the mouse's position, and the picture jumps
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            x, y, w, h = cv2.selectROI(title, image, showCrosshair=False, printNotice=False)
    except SinkError:
        raise UsageError("there is no display to draw a box on. Give --box x,y,w,h.") from None
    if not w or not h:
        raise UsageError("no box was drawn. Draw one, or give --box x,y,w,h.")
    return x, y, x + w, y + h


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("follow")(follow)

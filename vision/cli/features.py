"""`vision features`: what an action network sees in each video, as one vector."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from vision.cli.options import ModelOptions, opened
from vision.errors import UsageError
from vision.files import check_writable, write_whole


@opened
def features(
    options: ModelOptions,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="videos, folders, globs, lists of them")],
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.npz: descriptors (N,D) and sources (N,)")],
    feature: Annotated[str, typer.Option(help="fc6 or pool5 of C3D, pool of others")] = "pool",
) -> None:
    """Describe each video by one vector of length 1, for training and searching."""
    import numpy as np

    from vision.io import Inputs, local_files
    from vision.tasks.action import Recognizer

    if output.suffix != ".npz":
        raise UsageError(f"-o is a .npz; got {str(output)!r}.")
    Inputs(sources).refuse(output)
    check_writable(output)
    files = [file for uri in sources for file in local_files(uri)]
    if not files:
        raise UsageError(f"there are no video files at {', '.join(sources)}.")
    recognizer = Recognizer.load(*options.where)
    rows = [recognizer.descriptor(file, feature) for file in files]
    data = BytesIO()
    np.savez(data, sources=[str(file) for file in files], descriptors=np.stack(rows), feature=feature)
    write_whole(output, data.getvalue())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("features")(features)

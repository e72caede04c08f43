"""`vision gallery`: people whose faces are to be known, as one small file; and two pictures compared."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.options import ModelOptions, opened
from vision.cli.text import counted
from vision.errors import DataError, UsageError, plain

if TYPE_CHECKING:
    from vision.people.enrol import Looker
    from vision.types import Floats

_File = Annotated[Path, typer.Argument(metavar="FILE", help="a gallery that `vision gallery enrol` wrote")]


@opened
def enrol(
    options: ModelOptions,
    people: Annotated[Path, typer.Argument(
        metavar="PEOPLE", help="a folder with a folder of pictures for each person, named as they are")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the gallery, one file")],
    add: Annotated[bool, typer.Option("--add", help="to the people who are in the file already")] = False,
    encrypt: Annotated[bool, typer.Option(
        "--encrypt", help="with the pass phrase in $VISION_PASSPHRASE, or one that is asked for")] = False,
) -> None:
    """Look at pictures of people, and keep a vector of each face: no picture, nothing that shows them."""
    from vision.files import check_writable
    from vision.people.enrol import enrol as enrolled
    from vision.people.gallery import Gallery, encrypted

    check_writable(output)
    kept = add and encrypted(output)                     # what is encrypted stays so
    phrase = _phrase(confirm=not kept) if encrypt or kept else ""
    before = Gallery.load(output, phrase if kept else None) if add else None
    looker = _looker(options)
    if before is not None and before.model != looker.name:
        raise DataError(f"{str(output)!r} was made with {before.model!r}, and this is {looker.name!r}.")
    gallery = enrolled(people, looker.landmarker, looker.embedder, before, told=lambda line: print(plain(line)))
    gallery.save(output, phrase)
    pictures = sum(len(vectors) for vectors in gallery.people.values())
    print(plain(f"{output}: {len(gallery)} people, {counted(pictures, 'picture')}, {output.stat().st_size} bytes"
                f"{', encrypted' if phrase else ''}"))


def show(file: _File) -> None:
    """List the people in a gallery."""
    from vision.people.gallery import Gallery, encrypted

    gallery = Gallery.load(file, _phrase() if encrypted(file) else "")
    print(plain(f"{file}: {len(gallery)} people, vectors of {gallery.model}"))
    for name, vectors in gallery.people.items():
        print(plain(f"  {name}: {counted(len(vectors), 'picture')}"))


def forget(
    file: _File,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="people who are to be forgotten")],
) -> None:
    """Take people out of a gallery."""
    from vision.people.gallery import Gallery, encrypted
    from vision.spec import nearest

    phrase = _phrase() if encrypted(file) else ""
    gallery = Gallery.load(file, phrase)
    for name in (unicodedata.normalize("NFC", one).strip() for one in names):      # as a gallery has them
        if name not in gallery.people:
            raise UsageError(f"there is no {name!r} in {str(file)!r}. {nearest(name, gallery.names)}")
        del gallery.people[name]
    gallery.save(file, phrase)
    print(plain(f"{file}: {len(gallery)} people left"))


@opened
def verify(
    options: ModelOptions,
    first: Annotated[Path, typer.Argument(metavar="PICTURE", help="a picture of one person")],
    second: Annotated[Path, typer.Argument(metavar="PICTURE", help="another one")],
    max_distance: Annotated[float | None, typer.Option(
        min=0, help="below which they are one person; the network's own unless given")] = None,
) -> None:
    """Say whether two pictures are of one person; exit code 1 where they are not."""
    looker = _looker(options)
    a, b = (_vector(looker, path) for path in (first, second))
    apart = float(((a - b) ** 2).sum() ** 0.5)
    limit = looker.embedder.layout.same if max_distance is None else max_distance
    same = apart < limit
    print(f"{'the same person' if same else 'two people, or too unlike to say'}: distance {apart:.3f}, the limit is "
          f"{limit:g} (vision eval identity says how often it is wrong)")
    raise typer.Exit(0 if same else 1)


def _vector(looker: Looker, path: Path) -> Floats:
    from vision.io import read

    with read(str(path), max_frames=1) as source:
        seen = looker(next(source).image)
    if seen.vector is None:
        raise DataError(f"{path}: {seen.why}.")
    return seen.vector


def _looker(options: ModelOptions) -> Looker:
    from vision.people.enrol import Looker
    from vision.people.identity import FaceEmbedder
    from vision.people.landmarks import FaceLandmarker

    embedder = FaceEmbedder.load(*options.where)
    return Looker(FaceLandmarker.load("default", *options.where[1:]), embedder)


def _phrase(confirm: bool = False) -> str:
    """The pass phrase in the environment, or one that is typed. Raises UsageError where there is neither."""
    import sys

    from vision.people.gallery import PASSPHRASE

    found = os.environ.get(PASSPHRASE, "")
    if not found and sys.stdin.isatty():
        found = str(typer.prompt("pass phrase", hide_input=True, confirmation_prompt=confirm, err=True))
    if not found:
        raise UsageError(f"a gallery that is encrypted needs a pass phrase: put it into the environment, {PASSPHRASE}.")
    return found


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="People whose faces are to be known (vision identify).", no_args_is_help=True)
    for command in (enrol, show, forget, verify):
        group.command(command.__name__)(command)
    app.add_typer(group, name="gallery")

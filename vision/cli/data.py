"""`vision data`: what a data set holds and what is wrong in it."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.text import counted
from vision.errors import SourceError, plain
from vision.files import check_writable, write_json, write_whole

if TYPE_CHECKING:
    from vision.data.check import Checked, Entry

_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 2em auto }
.row { display: flex; flex-wrap: wrap; gap: .5em } img { height: 110px } h2 { font-size: 1.1em; margin: 1.4em 0 .3em }
td, th { padding: .1em .8em; text-align: right; font-weight: normal } th { text-align: left }"""


def check(
    data: Annotated[Path, typer.Argument(help="folder of labelled data of any task, or a CSV of pictures")],
    html: Annotated[Path | None, typer.Option(help="a page with examples of each class")] = None,
    report: Annotated[Path | None, typer.Option(help="all that was found, as JSON")] = None,
) -> None:
    """Classes, sizes, duplicates within and across splits, broken files, boxes and masks out of place."""
    from vision.data.check import check as checked
    from vision.io import Inputs

    inputs = Inputs([str(data)] if data.is_file() else [])              # an earlier page in a folder may be
    for path in (html, report):
        if path is not None:
            inputs.refuse(path)
            check_writable(path)
    found = checked(data)
    thing = "video" if found.task == "action" else "picture"
    print(f"{data}: for {found.task}, {counted(len(found.entries), thing)}")
    splits = list(found.objects)
    names = sorted({name for counts in found.objects.values() for name in counts})
    width = max((len(name) for name in names), default=0)
    print(f"  {'':<{width}}  " + "  ".join(f"{split:>7}" for split in splits))
    for name in names:
        print(plain(f"  {name:<{width}}  " + "  ".join(f"{found.objects[split][name]:>7}" for split in splits)))
    if found.sizes:
        widths, heights = zip(*found.sizes, strict=True)
        usual, often = found.sizes.most_common(1)[0]
        print(f"sizes: {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)}, most often "
              f"{usual[0]}x{usual[1]} ({often})")
    for kind, places in found.problems.items():
        print(plain(f"{kind}: {len(places)} (first: {places[0]})"))
    if not found.problems:
        print("nothing wrong was found")
    if report is not None:
        write_json(report, {
            "task": found.task, "pictures": len(found.entries), "classes": found.objects, "problems": found.problems})
    if html is not None:
        write_whole(html, _page(found, data.name).encode())
        print(f"-> {plain(str(html))}")


def _page(found: Checked, name: str) -> str:
    from vision.data.check import examples

    wrong = "".join(f"<li>{escape(kind)}: {len(places)}<br><small>{escape('; '.join(places[:5]))}</small></li>"
                    for kind, places in found.problems.items()) or "<li>nothing was found</li>"
    counts = {name: sum(c[name] for c in found.objects.values()) for c in found.objects.values() for name in c}
    rows = "".join(
        f"<h2>{escape(of)} <small>{counts[of]}</small></h2><div class=row>{''.join(map(_picture, some))}</div>"
        for of, some in examples(found).items() if found.task != "action")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{escape(name)}</h1><p>for {found.task}, "
            f"{len(found.entries)} pictures</p><h2>What is wrong</h2><ul>{wrong}</ul>{rows}</body></html>\n")


def _picture(entry: Entry) -> str:
    import cv2

    from vision.drawing import colour
    from vision.io import read

    try:
        with read(str(entry.path), max_frames=1) as source:
            image = next(source).image.copy()
    except (SourceError, StopIteration):
        return ""
    kinds = sorted(set(entry.classes))
    for box, name in zip(entry.boxes, entry.classes, strict=False):
        left, top, right, bottom = (round(side) for side in box)
        cv2.rectangle(image, (left, top), (right, bottom), colour(kinds.index(name)), max(2, image.shape[0] // 120))
    small = cv2.resize(image, (max(1, round(image.shape[1] * 110 / image.shape[0])), 110), interpolation=cv2.INTER_AREA)
    text = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
    name = escape(entry.path.name)
    return f'<img alt="{name}" title="{name}" src="data:image/jpeg;base64,{text}">'


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="What a data set holds, and what is wrong in it.", no_args_is_help=True)
    group.command("check")(check)
    app.add_typer(group, name="data")

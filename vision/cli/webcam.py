"""`vision webcam`: a camera and what the models see in it. What it runs is a page to be copied: `apps/webcam/`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from vision.cli.options import Engine, opened
from vision.errors import SinkError


def webcam(
    options: Engine,
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", help="camera number, RTSP or HTTP address, or a file, which plays a camera")] = "0",
    do: Annotated[str, typer.Option(help="tasks to begin with, such as detect,faces; keys change them")] = "track",
    plan: Annotated[Path | None, typer.Option(
        help=r"a TOML file with one \[\[do]] for each step, in place of --do")] = None,
    mirror: Annotated[bool | None, typer.Option(
        "--mirror/--no-mirror", help="show it as a mirror does; a camera is, unless given")] = None,
    folder: Annotated[Path, typer.Option("--output", "-o", help="folder of recordings and pictures")] = Path(),
) -> None:
    """Show a camera, and what is found in it, in a window or (--web) in a browser."""
    from dataclasses import replace

    from vision.files import make_folder
    from vision.io.listing import is_camera
    from vision.sinks.show import check_display
    from vision.steps import Spec
    from vision.steps.plan import plan_of, read_plan
    from vision.watch import Watch

    try:
        check_display()
    except SinkError:
        raise SinkError("there is no display for a window. See it in a browser: vision webcam --web") from None
    own = {one.key: one for one in read_plan(plan)} if plan is not None else {}

    def planned(names: Sequence[str]) -> list[Spec]:
        """A plan of tasks by name, with the options that the file has for them."""
        return [replace(own[one.key]) if one.key in own else one for one in plan_of(names)]

    begin = list(own.values()) or planned([name.strip() for name in do.split(",") if name.strip()])
    make_folder(folder)
    with Watch(source, begin, device=options.device, precision=options.precision, backend=options.backend) as watch:
        page("webcam.window").show(watch, planned, folder, is_camera(source) if mirror is None else mirror)


def page(name: str) -> ModuleType:
    """A page of `apps/`, by its path: in the package as it is installed, beside it in a checkout."""
    here = Path(__file__).parents[1]
    if (here / "_apps").is_dir():
        return import_module(f"vision._apps.{name}")
    path = here.parent / "apps" / f"{name.replace('.', '/')}.py"
    found = importlib.util.spec_from_file_location(f"vision._apps.{name}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("webcam")(opened(webcam))

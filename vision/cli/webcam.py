"""`vision webcam`: a camera and what the models see in it. What it runs is a page to be copied: `apps/webcam/`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from vision.cli.options import Engine, opened
from vision.errors import SinkError, UsageError
from vision.spec import Option, spec

if TYPE_CHECKING:
    from vision.steps import Spec


@spec
class Webcam(Engine):
    """What `vision webcam` shows, and where. Those of a server are as `vision serve` has them."""

    do: Annotated[tuple[str, ...], Option(
        "tasks to begin with, such as detect,faces; keys change them", separator=",")] = ("track",)
    plan: Annotated[Path | None, Option(r"a TOML file with one \[\[do]] for each step, in place of --do")] = None
    mirror: Annotated[bool | None, Option(
        "show it as a mirror does; a camera is, unless given", flags=("--mirror/--no-mirror",))] = None
    folder: Annotated[Path, Option("folder of recordings and pictures", flags=("--output", "-o"))] = Path()
    web: Annotated[bool, Option("in a browser, in place of a window: the visitor's camera, files, and SOURCE")] = False
    host: Annotated[str, Option("with --web: the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Option("with --web: the port; 0: a free one", min=0, max=65535)] = 8000
    tls: Annotated[bool, Option("with --web: HTTPS, which browsers want before they give a camera to another machine")
                   ] = False
    token: Annotated[str | None, Option("with --web: what visitors must show; $VISION_TOKEN unless given")] = None
    open: Annotated[bool, Option("with --web: listen on a network without a token")] = False


def webcam(
    options: Webcam,
    source: Annotated[str | None, typer.Argument(
        metavar="SOURCE", help="camera number (0 unless given), RTSP or HTTP address, or a file, which plays a camera")
    ] = None,
) -> None:
    """Show a camera, and what is found in it, in a window or in a browser."""
    if options.web:
        _in_browser(options, source)
    else:
        _in_window(options, source or "0")


def _in_window(options: Webcam, source: str) -> None:
    from vision.files import make_folder
    from vision.io.listing import is_camera
    from vision.sinks.show import check_display
    from vision.steps.plan import read_plan
    from vision.watch import Watch

    try:
        check_display()
    except SinkError:
        raise SinkError("there is no display for a window. See it in a browser: vision webcam --web") from None
    own = read_plan(options.plan) if options.plan is not None else []
    planned = partial(planned_of, own)
    begin = own or planned(options.do)
    make_folder(options.folder)
    mirror = is_camera(source) if options.mirror is None else options.mirror
    with Watch(source, begin, device=options.device, precision=options.precision, backend=options.backend) as watch:
        page("webcam.window").show(watch, planned, options.folder, mirror)


def planned_of(own: Sequence[Spec], names: Sequence[str]) -> list[Spec]:
    """A plan of tasks by name, with the steps of a file, `own`, in place of those of their keys."""
    from vision.steps import find_task
    from vision.steps.plan import handed, plan_of

    mine = {one.key for one in own}
    steps = [*own, *(one for one in plan_of(names) if one.key not in mine)]
    return handed(steps, [find_task(name).spec.task for name in names])


def _in_browser(options: Webcam, source: str | None) -> None:
    from vision.cli.serve import check_web
    from vision.steps import find_task

    check_web("vision webcam --web")
    from vision.serve.settings import ServerOptions

    if options.plan is not None:
        raise UsageError("--plan is for the window: in a browser the page has the options. Give --do.")
    begin = [find_task(name).spec.task for name in options.do]
    shared = {name: getattr(options, name)
              for name in ("host", "port", "tls", "token", "open", "device", "precision", "backend")}
    cameras = () if source is None else (source,)
    page("webcam.browser").serve(ServerOptions(camera=cameras, **shared), begin)


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

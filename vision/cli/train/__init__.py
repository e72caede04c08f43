"""`vision train`: networks for your own data. A command for each recipe, made of its settings when it is asked for."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from vision.cli import hints
from vision.cli.options import command, parameter
from vision.cli.train.going import go
from vision.spec import options

_OWN = {
    "data": (Path, typer.Option(help="folder of labelled data"), inspect.Parameter.empty),
    "output": (Path, typer.Option("-o", "--output", help="folder of the run"), inspect.Parameter.empty),
    "resume": (bool, typer.Option("--resume", help="go on after the run's last whole epoch"), False),
    "quiet": (bool, typer.Option("--quiet", "-q", help="show no progress"), False),
}
_FOLDS = (int | None, typer.Option(min=2, help="cross-validate by group: so many runs, in FOLDER/fold1 ..."), None)


class _Recipes(TyperGroup):
    """A command for each of `RECIPES`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The tasks."""
        from vision.train.training import RECIPES

        return list(RECIPES)

    def get_command(self, ctx: Any, name: str) -> Any:
        """The command of one task, with all of its options."""
        if name not in self.list_commands(ctx):
            return None
        whole = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        whole.command(name, epilog=hints.epilog(f"train {name}"))(_command(name))
        return typer.main.get_command(whole)


def _command(task: str) -> Any:
    from vision.train.settings import Settings
    from vision.train.training import RECIPES

    recipe, common = RECIPES[task], {field.name for field in options(Settings)}
    own = {**_OWN, **({"folds": _FOLDS} if task in ("action", "classify") else {})}

    def run(**values: Any) -> None:
        settings: Any = recipe.settings(**{n: v for n, v in values.items() if n not in own and v not in (None, [])})
        given = {name: values[name] for name in own}
        if task == "action":
            from vision.cli.train.action import measured_runs

            measured_runs(settings, **given)
        elif task == "classify":
            from vision.cli.train.classify import runs

            runs(settings, **given)
        else:
            go(task, settings, **given)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, note])
        for name, (kind, note, default) in own.items()
    ]
    fields = sorted(options(recipe.settings), key=lambda field: field.name in common)       # the task's own first
    parameters += [parameter(field, "The run" if field.name in common else task.capitalize()) for field in fields]
    return command(run, parameters, recipe.doc)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(cls=_Recipes, help="Train networks on your own data.", no_args_is_help=True)
    app.add_typer(group, name="train")

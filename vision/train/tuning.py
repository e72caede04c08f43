"""A search for the settings of a training: many short trainings, each in a folder of its own, the best one kept.

Optuna does the search (Akiba et al. 2019): grid, random, TPE (Bergstra et al. 2011), CMA-ES (Hansen and Ostermeier
2001), or a genetic algorithm (NSGA-II, Deb et al. 2002).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any

from vision.errors import MissingExtra, UsageError
from vision.files import make_folder, own, write_whole
from vision.spec import Field, nearest, options
from vision.train.recipe import Progress, Recipe
from vision.train.settings import Settings
from vision.train.space import Space, as_typed, read_space
from vision.train.training import RECIPES, Training
from vision.train.tuning_page import page

METHODS = ("tpe", "random", "grid", "cmaes", "genetic")
_ENOUGH = 8                              # different figures, before what decides is guessed
_STUDY, _JOURNAL, _LOCK, _ASKED = "vision", "study.log", "study.lock", "asked"


@dataclass(frozen=True)
class Tried:
    """One training of a search. state: `complete`, `pruned` (stopped since others were better by then) or `failed`.
    value: its figure, NaN where there is none. folder: of the run."""

    number: int
    state: str
    value: float
    chosen: Mapping[str, Any]
    folder: Path
    why: str = ""


class Tuning:
    """A search for settings.

    task: a key of `RECIPES`, or a recipe of your own. data, folder: as `Training` has them; a trial's run is in
        `folder/trial003`, with its own values in its record.
    settings: what all trials share. search: for each option that is searched its values, `a,b,c`, or its range,
        `0.0001..0.01`, with `:log` where steps are factors.
    trials: how many, with those of an earlier run. method: one of `METHODS`. prune: stop a trial whose figure is below
        the median of the others' at the same epoch. seed: of the search.
    resume: go on with the search in `folder`.

    Raises UsageError for an option that there is not, a range that cannot be, a method that does not fit, or a folder
    with a search in it; MissingExtra without the extra `search`.
    """

    def __init__(
        self, task: str | Recipe, data: str | Path, folder: str | Path, settings: Mapping[str, Any],
        search: Mapping[str, str], *, trials: int = 20, method: str = "tpe", prune: bool = False, seed: int = 0,
        resume: bool = False,
    ) -> None:
        if isinstance(task, str) and task not in RECIPES:
            raise UsageError(f"nothing trains {task!r}. {nearest(task, RECIPES)}")
        self.recipe = RECIPES[task] if isinstance(task, str) else task
        self.data, self.folder, self.shared = data, Path(folder), dict(settings)
        if find_spec("optuna") is None:
            raise MissingExtra("optuna", "search", "a search for settings")
        if method not in METHODS:
            raise UsageError(f"no method {method!r}. There are: {', '.join(METHODS)}")
        if not search:
            raise UsageError("a search needs an option to search: --search lr=0.0001..0.01:log")
        known = {field.name: field for field in options(self.recipe.settings)}
        self.space = {field.name: read_space(field, text) for field, text in
                      ((_known(name, known), text) for name, text in search.items())}
        for name, value in self.shared.items():
            field = _known(name, known)
            self.shared[name] = as_typed(field, value) if isinstance(value, str) else value
        if twice := self.shared.keys() & self.space.keys():
            raise UsageError(f"{', '.join(sorted(twice))} is searched: it cannot be set, too.")
        for name, space in self.space.items():
            if method == "grid" and not space.values:
                raise UsageError(f"a grid needs values of {name}, such as {name}=0.1,0.01; got a range.")
            for value in space.ends:                     # refused now, and not in the last trial
                self.recipe.settings(**self.shared, **{name: value})
        self.trials, self.method, self.prune, self.seed = trials, method, prune, seed
        if (self.folder / _JOURNAL).is_file() != resume:
            raise UsageError(
                f"{str(folder)!r} has no search to go on with. Start without --resume." if resume else
                f"{str(folder)!r} holds a search already. Go on with --resume, or name another folder.")

    def run(self, told: Callable[[Tried], None] = lambda tried: None) -> Tried:
        """Search, and write `tuning.html` and `best.json` into the folder after each trial.

        told: called after each trial. Returns the best. A trial that fails is told, and the others go on. Raises
        UsageError with the first one's reason where none succeeded, where another search is under way in the folder,
        and for one that goes on with other values."""
        make_folder(self.folder)
        try:
            alone = own(self.folder / _LOCK)
        except BlockingIOError:
            raise UsageError(f"another search is under way in {str(self.folder)!r}. Name another folder.") from None
        with alone:
            return self._run(told)

    def _run(self, told: Callable[[Tried], None]) -> Tried:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            study_name=_STUDY, storage=JournalStorage(JournalFileBackend(str(self.folder / _JOURNAL))),
            sampler=self._sampler(optuna, 0), pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
            if self.prune else optuna.pruners.NopPruner(), direction="maximize", load_if_exists=True)
        self._same_search(study)
        for trial in study.trials:                       # under way when an earlier run was killed
            if trial.state == optuna.trial.TrialState.RUNNING:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.sampler = self._sampler(optuna, len(study.trials))
        left = self.trials - len(study.trials)

        def after(study: Any, trial: Any) -> None:
            tried = [self._tried(one) for one in study.trials if one.state.is_finished()]
            best = max((one for one in tried if one.state == "complete"), key=lambda one: one.value, default=None)
            write_whole(self.folder / "tuning.html", page(self.folder.name, tried, _weights(optuna, study)).encode())
            if best is not None:
                content = {"trial": best.number, "value": best.value, "settings": {**self.shared, **best.chosen}}
                write_whole(self.folder / "best.json", json.dumps(content, indent=2, default=str).encode())
            told(self._tried(trial))

        if left > 0:
            study.optimize(self._objective, n_trials=left, callbacks=[after], catch=(Exception,))
        complete = [self._tried(one) for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
        if not complete:
            whys = [one.user_attrs.get("why", "") for one in study.trials]
            raise UsageError(f"none of {len(whys)} trials came to an end. The first: {whys[0] if whys else 'none'}")
        return max(complete, key=lambda one: one.value)

    def _same_search(self, study: Any) -> None:
        """Raise UsageError where the search that goes on is another one: its trials could not be compared."""
        asked = {"--set": self.shared, "--search": {name: asdict(space) for name, space in self.space.items()},
                 "--data": str(self.data)}
        asked = json.loads(json.dumps(asked, default=str))
        before = study.user_attrs.get(_ASKED, asked)
        for option, values in asked.items():
            if values != before.get(option, values):
                raise UsageError(f"the search in {str(self.folder)!r} was begun with another {option}: "
                                 f"{json.dumps(before[option])[:200]}. Give the same, or name another folder.")
        study.set_user_attr(_ASKED, asked)

    def _objective(self, trial: Any) -> float:
        import optuna

        chosen = {name: space.of(trial, name) for name, space in self.space.items()}
        trial.set_user_attr("chosen", chosen)
        try:
            settings: Settings = self.recipe.settings(**self.shared, **chosen)
            training = Training(self.recipe, self.data, self._folder(trial.number), settings)
            trained = training.run(partial(self._watched, trial))
        except optuna.TrialPruned:
            raise
        except Exception as error:                       # whatever these settings make a training trip over
            trial.set_user_attr("why", " ".join(str(error).split())[:300])
            raise
        value = float(next(iter(trained.figures.values()), float("nan")))
        if isnan(value):
            trial.set_user_attr("why", "it has no figure")
            raise optuna.TrialPruned
        return value

    def _watched(self, trial: Any, progress: Progress) -> None:
        """Stop a trial that is worse than the others were."""
        import optuna

        value = next(iter(progress.figures.values()), float("nan")) if progress.done else float("nan")
        if not isnan(value):
            trial.report(value, progress.epoch)
            if trial.should_prune():
                trial.set_user_attr("why", f"stopped after epoch {progress.epoch} with {value:.4f}")
                raise optuna.TrialPruned

    def _tried(self, trial: Any) -> Tried:
        state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
        value = float("nan") if trial.value is None else float(trial.value)
        attributes = trial.user_attrs
        return Tried(trial.number, state, value, attributes.get("chosen", {}), self._folder(trial.number),
                     attributes.get("why", ""))

    def _folder(self, number: int) -> Path:
        return self.folder / f"trial{number:03d}"

    def _sampler(self, optuna: Any, done: int) -> Any:
        """What chooses the settings of a trial, after so many that are done: it does not draw theirs again."""
        samplers, seed = optuna.samplers, self.seed + done
        match self.method:
            case "grid":
                return samplers.GridSampler({name: list(space.values) for name, space in self.space.items()}, self.seed)
            case "random":
                return samplers.RandomSampler(seed)
            case "cmaes":
                if find_spec("cmaes") is None:
                    raise MissingExtra("cmaes", "search", "CMA-ES")
                return samplers.CmaEsSampler(seed=seed)
            case "genetic":
                return samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, self.trials // 4)))
            case _:
                return samplers.TPESampler(seed=seed)


def _known(name: str, known: Mapping[str, Field]) -> Field:
    found = known.get(name.replace("-", "_"))
    if found is None:
        raise UsageError(f"there is no option {name!r} to search. {nearest(name.replace('-', '_'), known)}")
    return found


def _weights(optuna: Any, study: Any) -> dict[str, float]:
    """How much each option decides, 0..1, where there are enough trials to tell (PED-ANOVA, Watanabe et al. 2023)."""
    values = {one.value for one in study.trials if one.state.name == "COMPLETE"}
    if len(values) < _ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return {str(name): float(share) for name, share in optuna.importance.get_param_importances(study).items()}
        except (ValueError, RuntimeError, ZeroDivisionError):            # whatever it stumbles on: the page is whole
            return {}


__all__ = ["METHODS", "Space", "Tried", "Tuning"]

"""Adaptive search: Optuna chooses the next settings from what the runs before have shown."""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.ma  # noqa: F401 - a pruner would import it, beside the thread that does so
from filelock import FileLock, Timeout

from helpers.errors import CourseError, ParameterError
from helpers.runs.engine import collect, executor_for
from helpers.runs.executor import LOOK_UP
from helpers.runs.keys import Surroundings, keyed_runs
from helpers.runs.metrics import is_number
from helpers.runs.notebook import read_notebook
from helpers.runs.objective import Objective, choose_objective, objective_of
from helpers.runs.parameters import check_parameters
from helpers.runs.progress import Progress
from helpers.runs.report import PAGE, require_own_files
from helpers.runs.results import SUCCEEDED, Run, RunResult
from helpers.runs.select import find_notebooks
from helpers.runs.status import execute_kept
from helpers.sweeps.compare import conclude
from helpers.sweeps.grid import require_seed
from helpers.sweeps.summary import import_early, write_summary
from helpers.sweeps.table import require_free_names, write_table

if TYPE_CHECKING:
    import optuna
    import pandas as pd

STUDY, CHECKPOINTS, LOCK = "study.log", "checkpoints", ".search.lock"
RANGE = re.compile(r"^(?P<low>[^.].*?)\.\.(?P<high>.+?)(?P<log>:log)?$")
BEFORE_PRUNING = 4  # trials, with which a median begins to mean something
PRUNERS = ("median", "hyperband")


class Space:
    """What may be chosen for each parameter, checked against the notebook.

    Parameters
    ----------
    notebook
        Whose parameters they are.
    choices
        Parameter to a list of values, or to the text of a range: ``"1e-4..1e-1"``,
        ``"1e-4..1e-1:log"`` (evenly over the orders of magnitude), ``"16..128"``.
    fixed
        The same in every run.

    Raises
    ------
    ParameterError
        If a name, a value or a range does not fit.
    """

    def __init__(
        self,
        notebook: Path,
        choices: Mapping[str, Sequence[Any] | str],
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self.notebook = read_notebook(notebook)
        require_free_names(self.notebook)
        self.fixed = check_parameters(self.notebook, dict(fixed or {}))
        if both := set(self.fixed) & set(choices):
            raise ParameterError(f"{min(both)!r} is both searched and fixed; expected one of them")
        if not choices:
            raise ParameterError("Nothing to search; expected a parameter with values or a range")
        self.choices = {name: self._choice(name, wanted) for name, wanted in choices.items()}

    def _choice(self, name: str, wanted: Sequence[Any] | str) -> Any:
        text = wanted if isinstance(wanted, str) else wanted[0] if len(wanted) == 1 else None
        found = RANGE.match(text) if isinstance(text, str) else None
        if not found:
            if isinstance(wanted, str):
                raise ParameterError(f"{name}={wanted!r}; expected a list, or a range LOW..HIGH")
            return [self._checked(name, value) for value in wanted]
        low, high = (self._checked(name, found[end]) for end in ("low", "high"))
        if not all(type(end) in (int, float) for end in (low, high)) or not low < high:
            raise ParameterError(f"{name}={text!r}; expected two numbers, the smaller one first")
        if found["log"] and low <= 0:
            raise ParameterError(f"{name}={text!r}; expected a range above 0 for :log")
        return {"low": low, "high": high, "log": bool(found["log"])}

    def _checked(self, name: str, value: Any) -> Any:
        return check_parameters(self.notebook, {name: value})[name]

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Return the settings of a trial."""
        settings = dict(self.fixed)
        for name, choice in self.choices.items():
            if isinstance(choice, list):  # as text, so that a value may be a list too
                texts = [json.dumps(value) for value in choice]
                settings[name] = json.loads(trial.suggest_categorical(name, texts))
            elif isinstance(choice["low"], int) and isinstance(choice["high"], int):
                settings[name] = trial.suggest_int(name, **choice)
            else:
                settings[name] = trial.suggest_float(name, **choice)
        return settings

    def digest(self, *more: Any) -> str:
        """Name a study of this space, so that another one in the same folder is another study."""
        content = json.dumps([self.notebook.name, self.choices, self.fixed, *more], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def search(
    notebook: str | Path,
    choices: Mapping[str, Sequence[Any] | str],
    fixed: Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    trials: int,
    metric: str = "val_accuracy",
    direction: str | None = None,
    prune: Mapping[str, Sequence[Any]] | None = None,
    pruner: str = "median",
    repeat: int = 1,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
    timeout: int | None = None,
    progress: bool = True,
) -> "pd.DataFrame":
    """Search for good parameters of a notebook.

    The tree-structured Parzen estimator of Optuna (Bergstra et al., 2011) chooses. Runs are kept
    and the study is stored in ``out``, so that a search that was cut short goes on, and one that
    has ended can be given more trials.

    Parameters
    ----------
    notebook, out, jobs, scheduler, timeout, progress
        As of ``sweep``.
    choices, fixed
        As of ``Space``.
    trials
        Settings to try, those of earlier calls included.
    metric, direction
        What is to be large or small: ``"maximize"`` or ``"minimize"``, which is known of an
        accuracy, a loss and the like.
    prune
        One parameter with rising values, such as ``{"epochs": [1, 3, 9]}``: every trial runs with
        the first, and goes on to the next only as long as ``pruner`` lets it. Over ``epochs``, a
        notebook that takes a ``checkpoint`` goes on from where it was, instead of starting anew.
    pruner
        ``"median"``: a trial ends if it is worse than the median of the trials before;
        ``"hyperband"``: as Li et al. (2018).
    repeat
        Runs of each setting, with seeds 0, 1, …; the study is told their mean.
    seed
        Of the choices.

    Returns
    -------
    DataFrame
        A row a run of each trial's last stage, with its number in ``trial``, and ``pruned``.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook, it does not record ``metric``, or nothing is
        known of its direction.
    CourseError
        If another search is at work in ``out``.
    """
    objective = objective_of(metric, direction)
    (path,) = find_notebooks([str(notebook)])
    space = Space(path, choices, fixed)
    rungs = _rungs(space, prune)
    if repeat > 1:
        require_seed(space.notebook)
        if "seed" in {*space.choices, *space.fixed}:
            raise ParameterError("'seed' is given, and repeat= sets it; expected one of them")
    if pruner not in PRUNERS:
        raise ParameterError(f"pruner={pruner!r}; expected one of {', '.join(PRUNERS)}")
    out = Path(out).resolve()
    require_own_files(out)
    out.mkdir(parents=True, exist_ok=True)
    # Trials of another notebook, other data or another library belong to another study.
    depends = Surroundings().dependencies(space.notebook, space.fixed)
    name = space.digest(metric, objective.smaller, rungs, pruner, repeat, depends)
    with _alone(out):
        study = _study(out, name, objective, _pruner(pruner, len(rungs)), seed)
        left = trials - len(_ended(study))
        searching = _Search(study, space, rungs, out, objective, repeat, timeout)
        try:
            if left > 0:
                bar = Progress(
                    kept=trials - left, total=left, names=list(space.choices), objective=objective,
                    shown=progress,
                )  # fmt: skip
                runs = executor_for(
                    scheduler, jobs, left * repeat, bar, [space.notebook], import_early
                )
                with runs as (executor, width):
                    for result in searching.run(executor, left, -(-width // repeat)):
                        bar.ended(result)
            if not searching.unfinished():
                searching.remove_checkpoints()
        finally:
            if results := searching.results():
                table = write_table(results, out)
                write_summary(results, table, out / PAGE, conclude(table, metric, direction))
    return table


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse a second search in the same folder: each would take the other's trials for its own."""
    try:
        lock = FileLock(out / LOCK).acquire(timeout=0)
    except Timeout:
        raise CourseError(
            f"Another search is at work in {out}; wait for its end, or choose another --out"
        ) from None
    with lock:
        yield


def _rungs(space: Space, prune: Mapping[str, Sequence[Any]] | None) -> list[dict[str, Any]]:
    """Return what is set at each stage of a trial."""
    if not prune:
        return [{}]
    if len(prune) > 1:
        raise ParameterError(f"prune has {', '.join(prune)}; expected one parameter")
    ((name, values),) = prune.items()
    if name in space.choices or name in space.fixed:
        raise ParameterError(f"{name!r} is set by prune, and searched or fixed; expected one")
    rungs = [check_parameters(space.notebook, {name: value}) for value in values]
    rising = [rung[name] for rung in rungs]
    if not all(map(is_number, rising)) or sorted(set(rising)) != rising:
        raise ParameterError(f"prune has {name}={rising}; expected rising numbers")
    return rungs


def _pruner(kind: str, rungs: int) -> "optuna.pruners.BasePruner":
    import optuna

    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING)
    return optuna.pruners.HyperbandPruner(max_resource=rungs)


def _study(
    out: Path, name: str, objective: Objective, pruner: "optuna.pruners.BasePruner", seed: int
) -> "optuna.Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(out / STUDY))),
            study_name=name,
            direction="minimize" if objective.smaller else "maximize",
            pruner=pruner,
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{out / STUDY} cannot be read ({type(error).__name__}); remove it, and the search "
            "begins anew (runs that are kept are not repeated)"
        ) from None
    # Continued with the seed alone, it would draw the first settings again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), constant_liar=True)
    return study


def _ended(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


@dataclass
class _Stage:
    """The runs of a trial at one rung."""

    trial: "optuna.Trial"
    rung: int
    waiting: set[str]
    results: list[RunResult] = field(default_factory=list)


class _Search:
    """The trials of a study on their way."""

    def __init__(
        self,
        study: "optuna.Study",
        space: Space,
        rungs: list[dict[str, Any]],
        out: Path,
        objective: Objective,
        repeat: int,
        timeout: int | None,
    ) -> None:
        self._study, self._space, self._rungs = study, space, rungs
        self._metric, self._repeat = objective.metric, repeat
        self._work = partial(execute_kept, out=out, timeout=timeout)
        self._checkpoints = out / CHECKPOINTS / study.study_name  # another study has its own

    def run(self, executor: Executor, count: int, at_a_time: int) -> Iterator[RunResult]:
        """Bring so many trials to their end; give the last result of each."""
        running: dict[Future[RunResult], tuple[_Stage, Run]] = {}
        unfinished, begun = self.unfinished(), 0

        def start(trial: "optuna.Trial", rung: int) -> None:
            runs = self._runs_of(trial, rung)
            stage = _Stage(trial, rung, set(runs))
            for run in runs.values():
                running[executor.submit(self._work, run)] = (stage, run)

        def begin() -> None:
            nonlocal begun
            start(unfinished.pop() if unfinished else self._study.ask(), 0)
            begun += 1

        while begun < min(at_a_time, count):
            begin()
        while running:
            for future in wait(running, timeout=LOOK_UP, return_when=FIRST_COMPLETED).done:
                stage, run = running.pop(future)
                stage.results.append(collect(future, run))
                stage.waiting.discard(run.key)
                if stage.waiting:
                    continue
                if self._goes_on(stage):
                    start(stage.trial, stage.rung + 1)
                    continue
                yield stage.results[-1]
                if begun < count:
                    begin()

    def unfinished(self) -> "list[optuna.Trial]":
        """Return the trials that were on their way when the search was cut short."""
        import optuna

        running = (optuna.trial.TrialState.RUNNING,)
        return [
            optuna.Trial(self._study, trial._trial_id)
            for trial in self._study.get_trials(deepcopy=False, states=running)
        ]

    def _runs_of(self, trial: "optuna.Trial", rung: int) -> dict[str, Run]:
        """Return the runs of a trial's next stage, one for each seed."""
        settings, notebook = self._space.suggest(trial), self._space.notebook
        seeds = [{"seed": seed} for seed in range(self._repeat)] if self._repeat > 1 else [{}]
        first = keyed_runs(Run(notebook, settings | self._rungs[0] | seed) for seed in seeds)
        return keyed_runs(
            Run(notebook, run.parameters | self._rungs[rung] | self._checkpoint(key))
            for key, run in first.items()
        )

    def _checkpoint(self, key: str) -> dict[str, str]:
        """Return where a trial keeps its training, if its stages are more and more epochs.

        It is named by the key of the first stage: what has changed since, such as a library, begins
        a training of its own.
        """
        takes = "checkpoint" in self._space.notebook.parameters
        if not takes or "checkpoint" in self._space.fixed or "epochs" not in self._rungs[0]:
            return {}
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        return {"checkpoint": str(self._checkpoints / key)}

    def remove_checkpoints(self) -> None:
        """Remove what trials that have all ended would have gone on from."""
        if self._checkpoints.exists():
            shutil.rmtree(self._checkpoints, ignore_errors=True)
            with contextlib.suppress(OSError):  # it holds something else
                self._checkpoints.parent.rmdir()

    def _goes_on(self, stage: _Stage) -> bool:
        """Tell the study about the runs of a stage; return whether its trial has another one."""
        import optuna

        trial, last = stage.trial, stage.rung == len(self._rungs) - 1
        stage.results.sort(key=lambda result: str(result["parameters"].get("seed")))
        trial.set_user_attr("results", stage.results)
        for result in stage.results:
            if result["status"] == SUCCEEDED and self._metric not in result["metrics"]:
                choose_objective(list(result["metrics"]), self._metric, "maximize")  # which raises
        values = [result["metrics"].get(self._metric) for result in stage.results]
        if not all(map(is_number, values)):  # of a run that failed, or that recorded NaN
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return False
        value = sum(values) / len(values)
        trial.report(value, stage.rung)
        if last:
            self._study.tell(trial, value)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True

    def results(self) -> list[RunResult]:
        """Return the last runs of every trial that has ended, with what became of the trial."""
        found = []
        for trial in _ended(self._study):
            about = {"trial": trial.number, "pruned": trial.state.name == "PRUNED"}
            for result in trial.user_attrs["results"]:
                parameters = {k: v for k, v in result["parameters"].items() if k != "checkpoint"}
                found.append({**result, **about, "parameters": parameters})
        return found

"""Adaptive search: Optuna chooses the next settings from what the runs before have shown."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.ma  # noqa: F401 - a pruner would import it, beside the thread that does so

from helpers.errors import CourseError, ParameterError
from helpers.runs.choices import Range, check_choices
from helpers.runs.engine import collect, executor_for
from helpers.runs.executor import as_completed
from helpers.runs.kept import execute_kept
from helpers.runs.keys import Surroundings, digest, keyed_runs
from helpers.runs.metrics import is_number
from helpers.runs.notebook import Notebook, read_notebook
from helpers.runs.objective import Objective, choose_objective, objective_of
from helpers.runs.output import output_folder
from helpers.runs.parameters import check_parameters
from helpers.runs.plan import find_notebooks, make_run, require_seed
from helpers.runs.progress import Progress
from helpers.runs.results import SUCCEEDED, Run, RunResult
from helpers.runs.sweep_page import import_early, write_conclusion
from helpers.runs.table import require_free_names

if TYPE_CHECKING:
    import optuna
    import pandas as pd

STUDY = "study.log"
RETRIED = "retried"  # attribute of a study: the numbers of trials that were to be tried again
BEFORE_PRUNING = 4  # trials, with which a median begins to mean something


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
    repeat: int = 1,
    seed: int = 0,
    cwd: str | Path | None = None,
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
    notebook, out, cwd, jobs, scheduler, timeout, progress
        See ``sweep``.
    choices
        See ``check_choices``.
    fixed
        Parameters that are the same in every run.
    trials
        Settings to try, those of earlier calls included.
    metric, direction
        What is to be large or small: ``"maximize"`` or ``"minimize"``, which is known of an
        accuracy, a loss and the like.
    prune
        One parameter with rising values, such as ``{"epochs": [1, 3, 9]}``: every trial runs with
        the first and then with the next ones. Once four trials have ended, a trial that is worse
        than their median ends there.
    repeat
        Runs of each setting, with seeds 0, 1, …; the study is told their mean.
    seed
        Seed of the choices.

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
        If another command is at work in ``out``.
    """
    objective = objective_of(metric, direction)
    (path,) = find_notebooks([str(notebook)])
    space = Space(read_notebook(path), choices, fixed, prune, repeat, cwd)
    out = Path(out).resolve()
    with output_folder(out):
        study = _open_study(out, space.digest(objective), objective, seed)
        left = trials - len(_ended(study))
        try:
            if left > 0:
                bar = Progress(
                    kept=trials - left, total=left, names=list(space.choices), objective=objective,
                    shown=progress,
                )  # fmt: skip
                work = partial(execute_kept, out=out, timeout=timeout)
                where = executor_for(
                    scheduler, jobs, left * repeat, bar, [space.notebook], import_early
                )
                with where as (executor, width):
                    at_a_time = -(-width // repeat)
                    trial = partial(_run_trial, study, space, objective, executor, work)
                    for result in _in_threads(trial, left, at_a_time):
                        bar.ended(result)
        finally:
            table, _ = write_conclusion(_results_of(study), out, metric, direction)
    return table


class Space:
    """What a search chooses from, checked against the notebook, and the runs of a trial.

    Parameters
    ----------
    notebook, choices, fixed, prune, repeat, cwd
        See ``search``.

    Raises
    ------
    ParameterError
        If a name, a value or a range does not fit.
    """

    def __init__(
        self,
        notebook: Notebook,
        choices: Mapping[str, Sequence[Any] | str],
        fixed: Mapping[str, Any] | None = None,
        prune: Mapping[str, Sequence[Any]] | None = None,
        repeat: int = 1,
        cwd: str | Path | None = None,
    ) -> None:
        require_free_names(notebook)
        self.notebook, self.repeat, self.cwd = notebook, repeat, cwd
        self.fixed = check_parameters(notebook, dict(fixed or {}))
        if both := set(self.fixed) & set(choices):
            raise ParameterError(f"{min(both)!r} is both searched and fixed; expected one of them")
        if not choices:
            raise ParameterError("Nothing to search; expected a parameter with values or a range")
        if repeat > 1:
            require_seed(notebook, {*choices, *self.fixed})
        self.choices = check_choices(notebook, choices)
        self._now = Surroundings()
        self.rungs = self._check_rungs(prune) if prune else [{}]

    def _check_rungs(self, prune: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Return what is set at each stage of a trial."""
        if len(prune) > 1:
            raise ParameterError(f"prune has {', '.join(prune)}; expected one parameter")
        ((name, values),) = prune.items()
        if isinstance(values, str) or not len(values):
            raise ParameterError(f"prune has {name}={values!r}; expected a list of rising values")
        if name in self.choices or name in self.fixed:
            raise ParameterError(f"{name!r} is set by prune, and searched or fixed; expected one")
        rungs = [check_parameters(self.notebook, {name: value}) for value in values]
        rising = [rung[name] for rung in rungs]
        if not all(map(is_number, rising)) or sorted(set(rising)) != rising:
            raise ParameterError(f"prune has {name}={rising}; expected rising numbers")
        return rungs

    def digest(self, objective: Objective) -> str:
        """Name a study of this space, so that another one in the same folder is another study.

        Trials of another notebook, other data or another library belong to another study.
        """
        run = make_run(self.notebook, self.fixed, self.cwd)
        texts = {
            f"{name} {number}": value
            for name, choice in self.choices.items() if not isinstance(choice, Range)
            for number, value in enumerate(choice)
        }  # fmt: skip
        depends = self._now.dependencies(run.notebook, run.parameters | texts, run.folder)
        choices = {name: _as_json(choice) for name, choice in self.choices.items()}
        parts = [self.notebook.name, choices, self.fixed, objective.metric, objective.smaller,
                 self.rungs, self.repeat, depends]  # fmt: skip
        return digest(parts)

    def suggest(self, trial: "optuna.Trial") -> dict[str, Any]:
        """Return the setting of a trial."""
        setting = dict(self.fixed)
        for name, choice in self.choices.items():
            if not isinstance(choice, Range):  # as text, so that a value may be a list too
                texts = [json.dumps(value) for value in choice]
                setting[name] = json.loads(trial.suggest_categorical(name, texts))
            else:
                suggest = trial.suggest_int if choice.is_whole else trial.suggest_float
                setting[name] = suggest(name, choice.low, choice.high, log=choice.log)
        return setting

    def make_runs(self, setting: dict[str, Any]) -> list[Run]:
        """Return the runs of a setting, one for each seed."""
        seeds = [{"seed": seed} for seed in range(self.repeat)] if self.repeat > 1 else [{}]
        runs = [make_run(self.notebook, setting | seed, self.cwd) for seed in seeds]
        return list(keyed_runs(runs, self._now).values())


def _as_json(choice: list[Any] | Range) -> Any:
    return [choice.low, choice.high, choice.log] if isinstance(choice, Range) else choice


def _open_study(out: Path, name: str, objective: Objective, seed: int) -> "optuna.Study":
    """Create or continue a study; trials that were on their way are to be tried again."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(out / STUDY))),
            study_name=name,
            direction="minimize" if objective.smaller else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=BEFORE_PRUNING),
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{out / STUDY} cannot be read ({type(error).__name__}); remove it, and the search "
            "begins anew (runs that are kept are not repeated)"
        ) from None
    # Continued with the seed alone, it would draw the first settings again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), constant_liar=True)
    _try_again(study)
    return study


def _try_again(study: "optuna.Study") -> None:
    """Let trials that have failed, or were on their way when a search ended, be the next ones."""
    from optuna.trial import TrialState

    again = study.user_attrs.get(RETRIED, [])
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL)):
        if trial.number not in again:
            again = [*again, trial.number]
            study.set_user_attr(RETRIED, again)
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _ended(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """Return the trials that have ended, without those that were tried again."""
    again = study.user_attrs.get(RETRIED, [])
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and trial.number not in again]


def _in_threads(trial: Callable[[], RunResult], count: int, at_a_time: int) -> Iterator[RunResult]:
    """Bring trials to their end, each in a thread; yield the last result of each."""
    threads = ThreadPoolExecutor(at_a_time)
    try:
        for call in as_completed([threads.submit(trial) for _ in range(count)]):
            yield call.result()
    finally:  # after an interrupt the trials end when their runs do, which others see to
        threads.shutdown(wait=False, cancel_futures=True)


def _run_trial(
    study: "optuna.Study",
    space: Space,
    objective: Objective,
    executor: Executor,
    work: Callable[..., RunResult],
) -> RunResult:
    """Run a setting that the study chooses, stage by stage; return the last result."""
    from optuna.trial import TrialState

    trial = study.ask()
    setting = space.suggest(trial)
    for rung, stage in enumerate(space.rungs):
        runs = space.make_runs(setting | stage)
        calls = [executor.submit(work, run) for run in runs]
        results = [collect(call, run) for call, run in zip(calls, runs, strict=True)]
        trial.set_user_attr("results", results)
        values = [_value(result, objective.metric) for result in results]
        numbers = [value for value in values if value is not None]
        if len(numbers) < len(values):  # a run has failed, or recorded NaN
            study.tell(trial, state=TrialState.FAIL)
            break
        mean = sum(numbers) / len(numbers)
        trial.report(mean, rung)
        if rung == len(space.rungs) - 1:
            study.tell(trial, mean)
        elif trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            break
    return results[-1]


def _value(result: RunResult, metric: str) -> float | None:
    """Return a run's number; refuse a metric that a run that succeeded has not recorded."""
    metrics = result["metrics"]
    if result["status"] == SUCCEEDED and metric not in metrics:
        choose_objective(list(metrics), metric, "maximize")  # which raises
    return metrics[metric] if is_number(metrics.get(metric)) else None


def _results_of(study: "optuna.Study") -> list[RunResult]:
    """Return the last runs of every trial that has ended, with what became of the trial."""
    results = []
    for number, trial in enumerate(_ended(study)):
        about = {"trial": number, "pruned": trial.state.name == "PRUNED"}
        results += [result | about for result in trial.user_attrs["results"]]
    return results

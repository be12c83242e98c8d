"""The metric that runs are compared by, and its direction: known or given, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

from helpers.errors import ParameterError, nearest

LARGER = {"accuracy", "acc", "auc", "f1", "precision", "r2", "recall"}
TURNED = {"brier", "drop", "gap", "neg", "reduction", "std"}  # words that turn the others round
SMALLER = {"error", "loss", "mae", "mse", "perplexity", "rmse", "seconds"}
TEST = "test_"  # begins the name of what is looked at once, for the chosen setting


@dataclass(frozen=True)
class Objective:
    """A metric, and whether it is to be small."""

    metric: str
    smaller: bool

    @property
    def test(self) -> str:
        """The metric of the test set that belongs to one of the validation set."""
        return TEST + self.metric.removeprefix("val_").removeprefix(TEST)


def is_known(metric: str) -> bool:
    """Tell whether the words of a metric's name, such as ``val_accuracy``, tell its direction."""
    words = set(metric.lower().split("_"))
    return bool(words & LARGER) != bool(words & SMALLER) and not words & TURNED


def objective_of(metric: str, direction: str | None = None) -> Objective:
    """Return the objective of a metric.

    Parameters
    ----------
    metric
        Its name.
    direction
        ``"maximize"`` or ``"minimize"``, needed where the name does not tell.

    Raises
    ------
    ParameterError
        If the direction is neither known nor said.
    """
    if direction not in {None, "maximize", "minimize"}:
        raise ParameterError(f"direction={direction!r}; expected 'maximize' or 'minimize'")
    if direction is None and not is_known(metric):
        raise ParameterError(
            f"Nothing is known of {metric!r}; say whether it is to be large or small: "
            f"--maximize {metric} or --minimize {metric}"
        )
    smaller = bool(set(metric.lower().split("_")) & SMALLER)
    return Objective(metric, direction == "minimize" if direction else smaller)


def choose_objective(
    names: Sequence[str], metric: str | None = None, direction: str | None = None
) -> Objective | None:
    """Return by what runs are compared that recorded these numbers; None if nothing will do.

    It is the wanted metric; or one whose direction is known: of the validation set rather than
    any other, of the test set only if there is nothing else, and what is to be large first.

    Raises
    ------
    ParameterError
        If the wanted one is not among them, or its direction is not known.
    """
    if metric is not None:
        if metric not in names:
            raise ParameterError(
                f"{metric!r} is not a recorded number; recorded are {', '.join(names) or 'none'}."
                + nearest(metric, names)
            )
        return objective_of(metric, direction)
    known = [objective_of(name) for name in names if is_known(name)]

    def rank(objective: Objective) -> tuple[bool, bool, bool, bool]:
        name = objective.metric
        accuracy = name.endswith("accuracy")
        return name.startswith(TEST), not name.startswith("val_"), objective.smaller, not accuracy

    return min(known, key=rank, default=None)

"""How tasks are scored: what an evaluation asks of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from uvim_fsq.evaluators.runner import Evaluator
from uvim_fsq.tasks.base import Task


@runtime_checkable
class Scoring(Protocol):
    """What the evaluation of a run asks of a task."""

    @property
    def headline(self) -> str:
        """The score that ranks pictures and models."""
        ...

    @property
    def unit(self) -> str:
        """Of the headline, for people."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Of the headline."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The scores of the table."""
        ...

    @property
    def further(self) -> Sequence[str]:
        """Those that stand beside the headline where models are compared."""
        ...

    def evaluator(self) -> Evaluator:
        """Scores one prediction per picture."""
        ...

    def baselines(
        self, task: Task, targets: Iterable[Any]
    ) -> dict[str, dict[str, Any]]:
        """Planes of predictors that know training targets and no picture, on the model's grid."""
        ...

    def unpredicted(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """Predictions, by name, that can be had of a picture without any model."""
        ...

    def target(self, reference: Mapping[str, Any]) -> Any:
        """What `visualize` shows as the truth."""
        ...

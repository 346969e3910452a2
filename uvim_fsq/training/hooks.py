"""What happens every so often while training: log, evaluate, save, profile."""

import dataclasses
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax

from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.state import TrainState

HookFunction = Callable[[int, TrainState | None, Mapping[str, Any]], None]
"""(finished steps, state, metrics of the last step, still on the device)."""


class HookError(RuntimeError):
    """A hook failed: its name, the step, and the error (also the `__cause__`)."""

    def __init__(self, name: str, step: int, error: Exception):
        self.name, self.step = name, step
        super().__init__(
            f"the hook {name!r} failed at step {step}: {type(error).__name__}: {error}"
        )


@dataclasses.dataclass(frozen=True)
class Hook:
    """A function that the loop calls after every `every` steps (0: never).

    - `also_every`: more periods at which it is due.
    - `late`: called after the next step is dispatched and without the state (None):
      for hooks that only read metrics, so that the device never waits for them.
    - `at_end`: also called after the last step; `on_stop`: also called when a signal or
      an error ends the run early.
    - `catches_up`: also called at the step that a run continues from, if it is due there:
      what was cut short is made good.
    - `reads_state`: the loop makes sure first that losses and norms are finite.
    - `wait`: of a hook that saves the state in the background, returns once it is written.
    """

    name: str
    every: int
    function: HookFunction
    also_every: tuple[int, ...] = ()
    late: bool = False
    at_end: bool = False
    on_stop: bool = False
    catches_up: bool = False
    reads_state: bool = False
    wait: Callable[[], None] | None = None

    def is_due(self, step: int) -> bool:
        """Whether one of the periods divides the number of finished steps."""
        return any(n and step % n == 0 for n in (self.every, *self.also_every))


@runtime_checkable
class Writer(Protocol):
    """Takes scalars of a step: `JsonLines`, `TensorBoard`, `Progress`."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None: ...


class Score:
    """Hands the validation metric from the evaluation hook to the checkpoint hook."""

    def __init__(self, name: str):
        self.name = name
        self._step, self._value = -1, 0.0

    def set(self, step: int, values: Mapping[str, Any]) -> None:
        """Takes the metric from what an evaluation returned."""
        if self.name not in values:
            raise KeyError(
                f"the evaluation returned no {self.name!r}, which chooses the best "
                f"checkpoint; it returned {sorted(values)}."
            )
        self._step, self._value = step, float(values[self.name])

    def at(self, step: int) -> float | None:
        """The metric if it belongs to this very step."""
        return self._value if step == self._step else None


def write_scalars(
    writers: Sequence[Writer], step: int, values: Mapping[str, Any]
) -> None:
    """Gives the scalars to every writer."""
    for writer in writers:
        writer.scalars(step, values)


def logging_hook(
    writers: Sequence[Writer],
    every: int,
    *,
    batch_size: int,
    seconds_before: float | int = 0.0,
    clock: Callable[[], float | int] = time.monotonic,
) -> Hook:
    """Writes the step's metrics as `train/<name>`, with `images_per_second` and `seconds`.

    The rate counts the time between two calls of this hook, evaluations included. Seconds are those
    since the hook was made, on top of `seconds_before`: those of a run that this one continues.
    """
    last: list[tuple[int, float]] = []
    began = clock() - seconds_before

    def log(step: int, state: TrainState | None, metrics: Mapping[str, Any]) -> None:
        del state
        values = {f"train/{k}": float(v) for k, v in jax.device_get(metrics).items()}
        values.pop("train/finite", None)
        now = clock()
        if last and now > last[0][1]:
            rate = (step - last[0][0]) * batch_size / (now - last[0][1])
            values["train/images_per_second"] = rate
        values["train/seconds"] = now - began
        last[:] = [(step, now)]
        write_scalars(writers, step, values)

    return Hook("log", every, log, late=True)


def evaluation_hook(
    evaluate: Callable[[TrainState], Mapping[str, Any]],
    every: int,
    *,
    writers: Sequence[Writer] = (),
    score: Score | None = None,
    name: str = "validation",
    before: Container[int] = (),
) -> Hook:
    """Writes `evaluate(state)` as `<name>/<metric>`; `score` keeps one of them.

    `before` are steps that were evaluated already, before the run was continued.
    """

    def run(step: int, state: TrainState | None, metrics: Mapping[str, Any]) -> None:
        del metrics
        if step in before:
            return
        assert state is not None
        values = {k: float(v) for k, v in evaluate(state).items()}
        if score is not None:
            score.set(step, values)
        write_scalars(writers, step, {f"{name}/{k}": v for k, v in values.items()})

    return Hook(name, every, run, at_end=True, catches_up=True, reads_state=True)


def checkpoint_hook(
    checkpoints: Checkpoints,
    every: int,
    *,
    score: Score | None = None,
    also_every: tuple[int, ...] = (),
) -> Hook:
    """Saves the state; give the evaluation's period as `also_every` to keep the best.

    List it after the evaluation hook, whose score belongs into the checkpoint.
    """

    def save(step: int, state: TrainState | None, metrics: Mapping[str, Any]) -> None:
        del metrics
        checkpoints.save(state, step, None if score is None else score.at(step))

    return Hook(
        "checkpoint",
        every,
        save,
        also_every=also_every,
        at_end=True,
        on_stop=True,
        catches_up=True,
        reads_state=True,
        wait=checkpoints.wait,
    )


def profile_hook(directory: str | Path, first: int, steps: int = 3) -> Hook:
    """Traces `steps` steps after step `first` with JAX's profiler into `directory`.

    A run that ends or stops in between writes what there is. View it with TensorBoard's
    profile plugin or at ui.perfetto.dev.
    """
    if first < 1 or steps < 1:
        raise ValueError(f"expected first >= 1 and steps >= 1, got {first}, {steps}.")
    traced: list[int] = []  # the last step seen while tracing

    def trace(step: int, state: TrainState | None, metrics: Mapping[str, Any]) -> None:
        if not traced and step != first:
            return
        jax.block_until_ready((state, metrics))
        if not traced:
            jax.profiler.start_trace(str(directory))
        elif step >= first + steps or step == traced[-1]:  # enough, or the run ends
            jax.profiler.stop_trace()
            traced.clear()
            return
        traced.append(step)

    return Hook("profile", 1, trace, at_end=True, on_stop=True)

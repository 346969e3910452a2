"""The training loop: the only one."""

from collections.abc import Callable, Iterator, Sequence

import jax

from uvim_fsq.training.hooks import Hook, HookError
from uvim_fsq.training.signals import Interrupted, StopRequested, StopSignals
from uvim_fsq.training.state import TrainState
from uvim_fsq.training.step import Step
from uvim_fsq.types import Tree


class NotFiniteError(RuntimeError):
    """A loss, a norm or the codebook is not finite; nothing of it was saved."""

    exit_code = 1


def run_loop(
    step: Step,
    state: TrainState,
    batches: Iterator[Tree],
    *,
    total_steps: int,
    frozen: Tree = None,
    hooks: Sequence[Hook] = (),
    stop: StopSignals | None = None,
    last_good: Callable[[], str] = lambda: "nothing was saved",
) -> TrainState:
    """Trains from `state.step` (where `batches` starts) to `total_steps`.

    Next batch and step are dispatched before the host looks at the step before. State
    and batches move explicitly; an implicit transfer inside the step is an error.

    Raises NotFiniteError (with the first bad step and `last_good()`), Interrupted after
    SIGTERM or Ctrl-C once the hooks marked `on_stop` have run, and HookError.
    """
    stop = StopSignals() if stop is None else stop
    number = int(state.step)
    state, frozen = step.replicate(state), step.replicate(frozen)
    placed = map(step.put, batches)  # explicit transfers, one batch ahead
    metrics: dict = {}

    def call(chosen: Sequence[Hook], number: int, state: TrainState | None) -> None:
        for hook in chosen:
            try:
                hook.function(number, state, metrics)
            except StopRequested:
                return  # The loop sees the signal itself.
            except Exception as error:
                raise HookError(hook.name, number, error) from error

    def look_back(number: int) -> None:  # what needs metrics only
        if metrics:
            _check_finite(number, metrics, last_good)
            call([h for h in hooks if h.late and h.is_due(number)], number, None)

    with stop:
        batch = _next(placed, number, total_steps)
        while number < total_steps and stop.requested is None:
            with jax.transfer_guard("disallow"):
                state, new_metrics = step(state, frozen, batch)
            batch = _next(placed, number + 1, total_steps)
            look_back(number)
            number, metrics = number + 1, new_metrics
            due = [h for h in hooks if not h.late and h.is_due(number)]
            if number < total_steps:
                if any(h.reads_state for h in due):
                    _check_finite(number, metrics, last_good)
                call(due, number, state)
        look_back(number)
        if number >= total_steps:
            last = [h for h in hooks if not h.late and (h.at_end or h.is_due(number))]
            call(last, number, state)
        if stop.requested is not None:
            call([h for h in hooks if h.on_stop], number, state)
            raise Interrupted(stop.requested, number)
    return state


def _next(placed: Iterator[Tree], position: int, total_steps: int) -> Tree:
    if position >= total_steps:
        return None
    for batch in placed:
        return batch
    raise RuntimeError(
        f"the data ended after {position} of {total_steps} steps: give an iterator "
        "that repeats its examples."
    )


def _check_finite(number: int, metrics: dict, last_good: Callable[[], str]) -> None:
    if not jax.device_get(metrics["finite"]):
        loss = float(jax.device_get(metrics["loss"]))
        raise NotFiniteError(
            f"step {number}: the loss ({loss:g}), a norm or a collection is not finite; "
            f"{last_good()}. Lower the learning rate, clip the gradients, or look at "
            "the data of this step."
        )

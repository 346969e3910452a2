"""The training loop: the only one."""

import contextlib
import dataclasses
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

    No finished step is lost: whatever ends the run early, be it a signal, the data or a
    hook, those hooks marked `on_stop` that did not fail are called first. Only a state that is not
    finite is never saved.

    Args:
      stop: entered by the caller, who then hears of signals too; by default the loop's own.

    Raises NotFiniteError (with the first bad step and `last_good()`), HookError, and
    Interrupted after SIGTERM or Ctrl-C; if all was done by then, it returns.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals()) if stop is None else stop
        state, frozen = step.replicate(state), step.replicate(frozen)
        placed = map(step.put, batches)  # explicit transfers, one batch ahead
        run = _Run(step, frozen, hooks, stop, last_good, int(state.step), state)
        try:
            run.train(placed, total_steps)
        except (NotFiniteError, Interrupted):
            raise
        except Exception as error:
            run.save_after(error)
            raise
    return run.state


@dataclasses.dataclass
class _Run:
    """A run under way: state and metrics are those after `number` steps."""

    step: Step
    frozen: Tree
    hooks: Sequence[Hook]
    stop: StopSignals
    last_good: Callable[[], str]
    number: int
    state: TrainState
    metrics: dict = dataclasses.field(default_factory=dict)
    unseen: list[tuple[int, dict]] = dataclasses.field(default_factory=list)
    """Steps whose metrics the host has not looked at, and these."""

    def train(self, placed: Iterator[Tree], total: int) -> None:
        """To the last step, and what belongs to its end."""
        if 0 < self.number < total:
            self._call(
                [h for h in self.hooks if h.catches_up and h.is_due(self.number)]
            )
        batch = _next(placed, self.number, total)
        while self.number < total and self.stop.requested is None:
            with jax.transfer_guard("disallow"):
                state, metrics = self.step(self.state, self.frozen, batch)
            self.number, self.state, self.metrics = self.number + 1, state, metrics
            self.unseen.append((self.number, metrics))
            batch = _next(placed, self.number, total)
            self._look_back(all_but=1)
            due = [h for h in self.hooks if not h.late and h.is_due(self.number)]
            if self.number < total:
                if any(h.reads_state for h in due):
                    # Logged before it is saved: a kill after that loses no line.
                    self._look_back()
                self._call(due)
        self._look_back()
        done = self.number >= total and self._call(
            [h for h in self.hooks if not h.late and (h.at_end or h.is_due(total))]
        )
        if self.stop.requested is not None and not done:
            self._call([h for h in self.hooks if h.on_stop])
            self._wait(self.hooks)
            raise Interrupted(self.stop.requested, self.number)
        self._wait(self.hooks)

    def save_after(self, error: Exception) -> None:
        """Saves the steps since the last checkpoint after an error, which is told of it."""
        failed = error.name if isinstance(error, HookError) else None
        hooks = [h for h in self.hooks if h.on_stop and h.name != failed]
        try:
            self._look_back(without=failed)
            self._call(hooks)
            self._wait(hooks)
        except Exception as second:
            error.add_note(
                f"the state after step {self.number} could not be saved: {second}"
            )
        else:
            if any(h.wait for h in hooks):
                error.add_note(
                    f"the state after step {self.number} is saved, and the same command "
                    "continues from there"
                )

    def _call(self, chosen: Sequence[Hook]) -> bool:
        """Calls hooks; False if a signal ended one of them early."""
        for hook in chosen:
            try:
                with _named(hook, self.number):
                    hook.function(self.number, self.state, self.metrics)
            except StopRequested:
                return False
        return True

    def _wait(self, hooks: Sequence[Hook]) -> None:
        """Until what hooks do in the background is done."""
        for hook in hooks:
            if hook.wait is not None:
                with _named(hook, self.number):
                    hook.wait()

    def _look_back(self, *, all_but: int = 0, without: str | None = None) -> None:
        """What needs no more than the metrics of a step, of all steps but the last so many."""
        failures = []
        while len(self.unseen) > all_but:
            number, metrics = self.unseen.pop(0)
            self._check_finite(number, metrics)
            for hook in self.hooks:
                if hook.late and hook.is_due(number) and hook.name != without:
                    try:
                        with _named(hook, number):
                            hook.function(number, None, metrics)
                    except HookError as error:  # The others are called none the less.
                        failures.append(error)
        if failures:
            raise failures[0]

    def _check_finite(self, number: int, metrics: dict) -> None:
        if not jax.device_get(metrics["finite"]):
            loss = float(jax.device_get(metrics["loss"]))
            raise NotFiniteError(
                f"step {number}: the loss ({loss:g}), a norm or a collection is not finite; "
                f"{self.last_good()}. Lower the learning rate, clip the gradients, or look at "
                "the data of this step."
            )


@contextlib.contextmanager
def _named(hook: Hook, number: int) -> Iterator[None]:
    """What goes wrong in a hook bears its name and the step."""
    try:
        yield
    except StopRequested:
        raise
    except Exception as error:
        raise HookError(hook.name, number, error) from error


def _next(placed: Iterator[Tree], position: int, total_steps: int) -> Tree:
    if position >= total_steps:
        return None
    for batch in placed:
        return batch
    raise RuntimeError(
        f"the data ended after {position} of {total_steps} steps: give an iterator "
        "that repeats its examples."
    )

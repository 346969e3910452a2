"""Checkpoints of a run: the last one and the best one, written in the background."""

import contextlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax.sharding import Sharding

from uvim_fsq.files import write_text
from uvim_fsq.training.checkpoint_errors import (
    CheckpointError,
    Gone,
    check_fits,
    not_read,
    not_written,
)
from uvim_fsq.types import Tree

__all__ = ["CheckpointError", "Checkpoints"]

T = TypeVar("T")

_REMOVED = "removed"
_METADATA = "metadata"
"""Item of a checkpoint, and the JSON file in it."""
_TRIES = 5
"""How often a reader looks for a newer checkpoint when the one it chose was removed."""


def _without_traceback(record: logging.LogRecord) -> bool:
    """Leaves out what Orbax logs of an error in its threads: `wait` raises the same error."""
    return not (record.exc_info and "orbax" in record.pathname)


class _LastAndBest:
    """Orbax's preservation policy: keep the last checkpoint and the best one."""

    def __init__(self, owner: "Checkpoints"):
        self._owner = owner

    def should_preserve(self, checkpoints: Any, *, context: Any) -> list[bool]:
        del context
        kept = {self._owner.best_step(), checkpoints[-1].step if checkpoints else None}
        return [info.step in kept for info in checkpoints]


class Checkpoints:
    """The checkpoints in one directory: `directory/<step>/{state,metadata}`.

    - `save` returns once the state is copied; the rest is written in the background,
      under a temporary name that is renamed when complete. A process killed at any
      moment leaves the step before intact.
    - Two are kept: the last and, by the metric given to `save`, the best. A third waits
      in `removed/` until the next save.
    - `metadata` is written into each checkpoint as JSON beside `step` (which is also
      the position in the data) and `metric`.
    - `read_only`: nothing of the directory is changed, so that another process may go on to
      train in it; what it removes meanwhile is made up for by what is newer.

    Use it as a context manager, or call `close`: that waits for the last write.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        lower_is_better: bool = True,
        metadata: Mapping[str, Any] | None = None,
        read_only: bool = False,
    ):
        import orbax.checkpoint as ocp

        logging.getLogger("absl").addFilter(_without_traceback)
        self.directory = Path(directory).absolute()
        self._sign = 1.0 if lower_is_better else -1.0
        self._metadata = dict(metadata or {})
        self._metrics: dict[int, float] = {}
        self._pending: int | None = None
        self._read_only = read_only
        if not read_only:
            _make_writable(self.directory)
            self._clear()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_LastAndBest(self),
            create=not read_only,
            # Of a process that was killed; but of one that reads, they are another's.
            cleanup_tmp_directories=not read_only,
            # Deleting in place is not atomic: a process killed meanwhile would leave
            # half a checkpoint. Renaming is; `_clear` deletes what was renamed.
            todelete_subdir=_REMOVED,
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "metadata": ocp.JsonCheckpointHandler(_METADATA),
        }
        self._manager = self._undisturbed(
            lambda: ocp.CheckpointManager(
                self.directory, item_handlers=handlers, options=options
            )
        )
        self._read_metrics()

    def _undisturbed(self, look: Callable[[], T]) -> T:
        """What a look at the directory gives, again if something was removed meanwhile."""
        for _ in range(_TRIES if self._read_only else 0):
            with contextlib.suppress(FileNotFoundError):
                return look()
        return look()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            self.close()
        except CheckpointError as failure:
            if error is None:  # Never hide the reason for leaving.
                raise
            error.add_note(str(failure))

    def latest_step(self) -> int | None:
        """The step of the last complete checkpoint, None if there is none."""
        return max(self._manager.all_steps(), default=None)

    def best_step(self) -> int | None:
        """The step with the best metric (the earliest of equals), None without one."""
        ranked = [(self._sign * value, step) for step, value in self._metrics.items()]
        return min(ranked)[1] if ranked else None

    def last_good(self) -> str:
        """For messages: where the last complete checkpoint lies."""
        step = self.latest_step()
        if step is None:
            return f"there is no checkpoint in {self.directory} yet"
        return f"the last good checkpoint is {self.directory / str(step)}"

    def save(self, state: Tree, step: int, metric: float | int | None = None) -> bool:
        """Starts to write the state; False if this step is there already.

        Waits for the write before it, and raises CheckpointError if that failed. A
        metric that is not finite counts as none. A checkpoint that is there without a metric
        gets it.
        """
        import orbax.checkpoint as ocp

        self.wait()
        latest = self.latest_step()
        metric = metric if metric is not None and math.isfinite(metric) else None
        if latest is not None and step <= latest:
            if metric is not None and step in self._manager.all_steps():
                self._add_metric(step, float(metric))
            return False
        if metric is not None:
            self._metrics[step] = float(metric)
        metadata = {**self._metadata, "step": step, "metric": self._metrics.get(step)}
        self._pending = step
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    metadata=ocp.args.JsonSave(metadata),
                ),
            )
        except Exception as error:
            raise self._failed(error) from error
        return True

    def _add_metric(self, step: int, metric: float) -> None:
        if step in self._metrics:
            return
        file = self.directory / str(step) / _METADATA / _METADATA
        try:
            metadata = self.metadata(step) | {"metric": metric}
            write_text(file, json.dumps(metadata, allow_nan=False))
        except OSError as error:
            self._pending = step
            raise self._failed(error) from error
        self._metrics[step] = metric

    def wait(self) -> None:
        """Returns when nothing is being written; raises CheckpointError if it failed."""
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            raise self._failed(error) from error
        self._pending = None
        if not self._read_only:
            self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self.directory / _REMOVED, ignore_errors=True)

    def close(self) -> None:
        """Waits for the last write and releases Orbax's threads."""
        self.wait()
        self._manager.close()

    def _failed(self, error: Exception) -> CheckpointError:
        step, self._pending = self._pending, None
        if step is not None:
            self._metrics.pop(step, None)
        self._manager.reload()
        return not_written(step, error, self.last_good())

    def _read_metrics(self) -> None:
        self._metrics = {}
        for step in self._manager.all_steps():
            with contextlib.suppress(Gone):
                metric = self.metadata(step).get("metric")
                if metric is not None:
                    self._metrics[step] = metric

    def metadata(self, step: int) -> dict[str, Any]:
        """The JSON metadata of one checkpoint."""
        import orbax.checkpoint as ocp

        args = ocp.args.Composite(metadata=ocp.args.JsonRestore())
        try:
            return dict(self._manager.restore(step, args=args)["metadata"])
        except Exception as error:
            raise self._not_read(step, error) from error

    def restore_latest(
        self, abstract: Tree, sharding: Sharding | None = None
    ) -> tuple[Any, dict[str, Any]] | None:
        """(state, metadata) of the last checkpoint, None if there is none.

        `abstract` gives structure, shapes and dtypes (arrays or `ShapeDtypeStruct`);
        the arrays are placed by `sharding`, or on the first device.
        """
        return self._restore_chosen(self.latest_step, abstract, sharding)

    def restore_best(
        self, abstract: Tree, sharding: Sharding | None = None
    ) -> tuple[Any, dict[str, Any]] | None:
        """(state, metadata) of the best checkpoint; the last if none has a metric."""

        def choose() -> int | None:
            best = self.best_step()
            return self.latest_step() if best is None else best

        return self._restore_chosen(choose, abstract, sharding)

    def _restore_chosen(
        self,
        choose: Callable[[], int | None],
        abstract: Tree,
        sharding: Sharding | None,
    ) -> tuple[Any, dict[str, Any]] | None:
        for _ in range(_TRIES):
            step = choose()
            try:
                return None if step is None else self.restore(step, abstract, sharding)
            except Gone:
                if not self._read_only:
                    raise
                self._undisturbed(self._manager.reload)
                self._read_metrics()
        raise CheckpointError(
            f"the checkpoints in {self.directory} are replaced faster than they can be read: "
            "start again when training has ended"
        )

    def restore(
        self, step: int, abstract: Tree, sharding: Sharding | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """(state, metadata) of a step.

        Raises CheckpointError naming every array that is missing or has another shape
        or dtype, or if the files cannot be read.
        """
        import orbax.checkpoint as ocp

        if sharding is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            abstract,
        )
        try:
            stored = self._manager.item_metadata(step)["state"]
            if stored is None:
                raise FileNotFoundError("its arrays are missing")
        except Exception as error:
            raise self._not_read(step, error) from error
        place = self.directory / str(step)
        check_fits(place, getattr(stored, "tree", stored), abstract)
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(target),
                    metadata=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:
            raise self._not_read(step, error) from error
        return restored["state"], dict(restored["metadata"])

    def _not_read(self, step: int, error: Exception) -> CheckpointError:
        others = [each for each in self._manager.all_steps() if each != step]
        return not_read(self.directory / str(step), others, error)


def _make_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint directory {directory} cannot be made: {error.strerror}."
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise CheckpointError(f"the checkpoint directory {directory} is not writable.")

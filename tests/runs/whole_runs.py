"""Whole runs at the tiny size, stopped on their way and continued: a program, for several devices.

    python whole_runs.py OUTPUT DEVICES [NAME ...]

Every quantizer and every task occurs, and so do micro-batches and an average of the weights.
"""

import json
import os
import signal
import sys
from pathlib import Path

import jax

from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.runs import job
from uvim_fsq.runs.train import train
from uvim_fsq.settings import IdentityConfig, replace
from uvim_fsq.training.signals import Interrupted

BATCH = 8
SETTINGS = dict(
    output__evaluate_every=2,
    output__log_every=1,
    output__pictures=1,
    evaluation__samples=2,
    evaluation__batch_size=3,
    stage1__batch_size=BATCH,
    stage2__batch_size=BATCH,
)
RUNS = {
    "depth-fsq": replace(
        depth.get_config("fsq", "tiny"),
        **SETTINGS,
        # In stage I every part of a batch draws its own code dropout, and parts are other examples
        # on other devices.
        stage2__micro_batches=2,
    ),
    "panoptic-vq": replace(panoptic.get_config("vq", "tiny"), **SETTINGS),
    "colorization-vq_no_split": replace(
        colorization.get_config("vq_no_split", "tiny"),
        **SETTINGS,
        stage1__average_decay=0.5,
        stage2__average_decay=0.5,
    ),
    "depth-identity": replace(
        depth.get_config("fsq", "tiny"), **SETTINGS, quantizer=IdentityConfig(4)
    ),
}


def whole_run(config, folder: Path) -> None:
    """Trains, is stopped by SIGTERM in the last stage, continues, and is scored."""
    stages = (1,) if isinstance(config.quantizer, IdentityConfig) else (1, 2)
    loader, calls = job.training_batches, []

    def stopped(*arguments, **options):
        calls.append(options)
        for number, batch in enumerate(loader(*arguments, **options)):
            if len(calls) == len(stages) and number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    job.training_batches = stopped
    try:
        train(config, folder, stages)
    except Interrupted as stop:
        assert 2 <= stop.step < 4, stop
    else:
        raise AssertionError("it was not stopped")
    finally:
        job.training_batches = loader
    train(config, folder, stages)
    evaluate_run(folder, stage1_only=len(stages) == 1, output=folder / "scores")


def main() -> None:
    """Makes all runs in OUTPUT."""
    output, devices = Path(sys.argv[1]), int(sys.argv[2])
    jax.config.update("jax_num_cpu_devices", devices)
    assert jax.device_count() == devices
    names = sys.argv[3:] or list(RUNS)
    for name in names:
        whole_run(RUNS[name], output / name)
    (output / "runs.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()

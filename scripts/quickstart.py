"""Trains a small model on the built-in scenes, scores it and shows what it predicts.

    bash scripts/quickstart.sh [depth|panoptic|colorization] [--variant fsq] [--output FOLDER]

Started again, it continues where it was; finished, it only scores again.
"""

import argparse
import sys
import time
from pathlib import Path

TASKS = ("depth", "panoptic", "colorization")


def main() -> None:
    """Runs the quickstart of a task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", nargs="?", default="depth", choices=TASKS)
    parser.add_argument("--variant", default="fsq", help="fsq, vq, vq_no_split, ...")
    parser.add_argument(
        "--output", type=Path, help="run directory (runs/quickstart-TASK)"
    )
    options = parser.parse_args()

    from uvim_fsq.evaluation.evaluate import evaluate_run
    from uvim_fsq.evaluation.table import summary
    from uvim_fsq.runs.train import train
    from uvim_fsq.settings.check import check
    from uvim_fsq.settings.find import load_config
    from uvim_fsq.training.progress import duration

    config, _ = load_config(options.task, options.variant, "quickstart")
    check(config)
    directory = options.output or Path("runs") / f"quickstart-{options.task}"
    began = time.monotonic()
    train(config, directory)
    scores = evaluate_run(directory)
    print(
        f"\nstage I and II trained and scored in {duration(time.monotonic() - began)}"
    )
    print(summary(scores, config.task.scoring()))
    print(f"pictures: {directory / 'evaluation' / 'pictures.png'}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from uvim_fsq.cli.failure import explained

    sys.exit(explained(main))

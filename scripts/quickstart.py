"""Trains a small model on the built-in scenes, scores it and shows what it predicts.

    bash scripts/quickstart.sh [depth] [--variant fsq] [--output runs/quickstart-depth]

Started again, it continues where it was; finished, it only scores again.
"""

import argparse
import sys
import time
from pathlib import Path

TASKS = ("depth",)


def main() -> None:
    """Runs the quickstart of a task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", nargs="?", default="depth", choices=TASKS)
    parser.add_argument("--variant", default="fsq", help="fsq, vq, vq_no_split, ...")
    parser.add_argument(
        "--output", type=Path, help="run directory (runs/quickstart-TASK)"
    )
    options = parser.parse_args()

    from uvim_fsq.build.evaluate import evaluate_run
    from uvim_fsq.build.train import train
    from uvim_fsq.cli.config_file import load_config
    from uvim_fsq.config_check import check
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
    whole, mean = scores["greedy/rmse"], scores["per_pixel_mean/rmse"]
    print(
        f"RMSE of the whole (greedy): {whole:.3f} m, {whole / mean:.2f} of the per-pixel mean's"
    )
    print(f"pictures: {directory / 'evaluation' / 'pictures.png'}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from uvim_fsq.cli.main import explained

    sys.exit(explained(main))

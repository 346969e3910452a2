"""What each command does with its options: settles the settings, then hands over."""

import argparse
from pathlib import Path
from typing import Any

from uvim_fsq import config_json
from uvim_fsq.cli.config_file import load_config
from uvim_fsq.cli.settings import (
    EvaluationSettings,
    override,
    print_help,
    unknown_option,
    with_source,
)
from uvim_fsq.config import ConfigError, EvaluationConfig, RunConfig
from uvim_fsq.config import replace as replace_settings
from uvim_fsq.config_check import check, check_evaluation

_SAMPLING = ("temperature", "top_k", "top_p", "samples")
_LOADING = ("seed", "batch_size")
_STAGES = {"1": (1,), "2": (2,), "both": (1, 2)}


def train(options: argparse.Namespace, words: list[str]) -> None:
    """Trains the stages asked for, or continues; see `uvim_fsq.build.train`."""
    config, name = _settled(options, words)
    stages = _STAGES[options.stage]
    stage1 = None
    if options.stage1 is not None:
        if options.stage == "1":
            raise ConfigError(
                "--stage1 names a model whose stage I is done, and --stage 1 trains it: "
                "give one of the two."
            )
        stages, stage1 = (2,), options.stage1
    check(config, stages)
    directory = Path(config.output.directory or Path("runs") / name)

    from uvim_fsq.build.train import train as train_stages

    train_stages(config, directory, stages, stage1, options.stage2_seed)


def config(options: argparse.Namespace, words: list[str]) -> None:
    """Prints the settings, then checks them."""
    settled, _ = _settled(options, words)
    print(config_json.dumps(settled), end="", flush=True)
    check(settled)


def evaluate(options: argparse.Namespace, words: list[str]) -> None:
    """Scores a run; see `uvim_fsq.build.evaluate`."""
    from uvim_fsq.build.trained import open_trained

    saved = open_trained(options.run).config
    before = EvaluationSettings.of(saved)
    data = with_source(saved, options.source).data
    after = override(
        replace_settings(before, data=data),
        words,
        ["--source", "--part", "--output", "--stage2-seed", "--stage1-only"],
    )
    changes = {
        part: getattr(after, part)
        for part in ("data", "evaluation", "loader_threads")
        if getattr(after, part) != getattr(before, part)
    }
    check(replace_settings(saved, **changes), stages=())

    from uvim_fsq.build.evaluate import evaluate_run

    output = Path(options.output) if options.output else None
    evaluate_run(
        options.run,
        changes or None,
        output,
        part=options.part,
        seed=options.stage2_seed,
        stage1_only=options.stage1_only,
    )


def predict(options: argparse.Namespace, words: list[str]) -> None:
    """Predicts on pictures; see `uvim_fsq.predictor`."""
    if words:
        known = [
            "--" + name.replace("_", "-")
            for name in vars(options)
            if name not in ("command", "run", "images")
        ]
        raise ConfigError(unknown_option(words[0], known, {}))
    check_evaluation(EvaluationConfig(**_given(options, *_SAMPLING, *_LOADING)), "--")

    import uvim_fsq

    model = uvim_fsq.load(options.run, **_given(options, *_LOADING))
    written = model.predict_files(
        options.images,
        Path(options.output),
        overwrite=options.overwrite,
        keep_luminance=options.keep_luminance,
        **_given(options, *_SAMPLING),
    )
    print("\n".join(map(str, written)))


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def print_settings_help(options: argparse.Namespace) -> None:
    """Prints the settings that a command takes, at their values in the configuration or run."""
    if options.command == "evaluate":
        from uvim_fsq.build.trained import open_trained

        run = getattr(options, "run", None)
        saved = open_trained(run).config if run else RunConfig()
        print_help(EvaluationSettings.of(saved), "uvim-fsq evaluate RUN")
        return
    name = getattr(options, "config", None) or "depth"
    config, _ = load_config(name, options.variant, options.preset)
    print_help(
        with_source(config, options.source), f"uvim-fsq {options.command} CONFIG"
    )


def _settled(options: argparse.Namespace, words: list[str]) -> tuple[RunConfig, str]:
    config, name = load_config(options.config, options.variant, options.preset)
    config = with_source(config, options.source)
    if options.codebook_size is not None:
        from uvim_fsq.build.codebook import with_codebook_size

        config = with_codebook_size(config, options.codebook_size)
    known = ["--variant", "--preset", "--source", "--codebook-size"]
    if options.command == "train":
        known += ["--stage", "--stage1", "--stage2-seed"]
    return override(config, words, known), name

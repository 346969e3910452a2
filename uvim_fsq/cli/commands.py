"""What each command does with its options: settles the settings, then hands over."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.fields import replace as replace_settings
from uvim_fsq.settings import as_json
from uvim_fsq.settings.check import check
from uvim_fsq.settings.command_line import (
    EvaluationSettings,
    LoadingSettings,
    override,
    print_help,
    unknown_option,
    with_source,
)
from uvim_fsq.settings.find import is_model, load_config
from uvim_fsq.settings.run import EvaluationConfig, RunConfig

_SAMPLING = ("temperature", "top_k", "top_p", "samples")
_LOADING = ("seed", "batch_size")
_PARTS = {"evaluate": EvaluationSettings, "codes": LoadingSettings}
"""The settings that a command about a trained model takes."""
_STAGES = {"1": (1,), "2": (2,), "both": (1, 2)}


def train(options: argparse.Namespace, words: list[str]) -> None:
    """Trains the stages asked for, or continues; see `uvim_fsq.runs.train`."""
    more = ("--stage", "--stage1", "--stage2-seed", "--new-data")
    config, name = settled(options, words, more)
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
    scratch = is_model(options.config) and not (config.init_from or stage1)
    if scratch and not directory.exists():
        print(
            f"{options.config} gives its settings, and the weights start from scratch: to start "
            f"from its weights, add --init-from {options.config}"
        )

    from uvim_fsq.runs.train import train as train_stages

    train_stages(
        config,
        directory,
        stages,
        stage1,
        options.stage2_seed,
        new_data=options.new_data,
    )


def config(options: argparse.Namespace, words: list[str]) -> None:
    """Prints the settings, then checks them."""
    config, _ = settled(options, words)
    print(as_json.dumps(config), end="", flush=True)
    check(config)


def evaluate(options: argparse.Namespace, words: list[str]) -> None:
    """Scores a run; see `uvim_fsq.evaluation.evaluate`."""
    from uvim_fsq.runs.open import open_trained

    if options.stage1_only and options.stage2_seed is not None:
        raise ConfigError(
            "--stage1-only scores no stage II, and --stage2-seed chooses one: give one of the two."
        )
    changes = changed_settings(
        open_trained(options.run).config,
        EvaluationSettings,
        options.source,
        words,
        ["--source", "--part", "--output", "--stage2-seed", "--stage1-only"],
    )

    from uvim_fsq.evaluation.evaluate import evaluate_run

    output = Path(options.output) if options.output else None
    evaluate_run(
        options.run,
        changes,
        output,
        part=options.part,
        seed=options.stage2_seed,
        stage1_only=options.stage1_only,
    )


def changed_settings(
    saved: RunConfig,
    kind: type[EvaluationSettings] | type[LoadingSettings],
    source: str | None,
    words: list[str],
    options: list[str],
) -> dict[str, Any]:
    """Settings of a trained model that `--source` and the words change, by name, after checking them.

    `kind` says which may change; `options` are what else the command takes, for suggestions.
    """
    before = kind.of(saved)
    data = with_source(saved, source).data
    after = override(replace_settings(before, data=data), words, options)
    changes = {
        field.name: getattr(after, field.name)
        for field in dataclasses.fields(kind)
        if getattr(after, field.name) != getattr(before, field.name)
    }
    check(replace_settings(saved, **changes), stages=())
    return changes


def predict(options: argparse.Namespace, words: list[str]) -> None:
    """Predicts on pictures; see `uvim_fsq.predictor`."""
    if words:
        known = [
            "--" + name.replace("_", "-")
            for name in vars(options)
            if name not in ("command", "run", "images")
        ]
        raise ConfigError(unknown_option(words[0], known, {}))
    EvaluationConfig(**_given(options, *_SAMPLING, *_LOADING)).check("--")

    import uvim_fsq

    model = uvim_fsq.load(options.run, **_given(options, *_LOADING))
    from uvim_fsq.predictor import LeftOutError

    try:
        written = model.predict_files(
            options.images,
            Path(options.output),
            overwrite=options.overwrite,
            keep_luminance=options.keep_luminance,
            depth_format=options.format,
            **_given(options, *_SAMPLING),
        )
    except LeftOutError as error:
        print("\n".join(map(str, error.written)))
        raise
    print("\n".join(map(str, written)))


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def print_catalogue(options: argparse.Namespace) -> None:
    """Prints what a command's CONFIG and its options may name."""
    from uvim_fsq.cli.catalogue import catalogue

    name = None
    if options.command not in _PARTS:
        name = getattr(options, "config", None) or "depth"
    print(catalogue(name, studies=options.command == "experiment"))


def print_settings_help(options: argparse.Namespace) -> None:
    """Prints the settings that a command takes, at their values in the configuration or run."""
    if options.command in _PARTS:
        saved = RunConfig()
        if getattr(options, "run", None):
            from uvim_fsq.runs.open import open_trained

            saved = open_trained(options.run).config
        settings = _PARTS[options.command].of(saved)
        print_help(settings, f"uvim-fsq {options.command} MODEL")
        return
    name = getattr(options, "config", None) or "depth"
    variant = getattr(options, "variant", None)  # An experiment has all of them.
    config, _ = load_config(name, variant, options.preset)
    print_help(
        with_source(config, options.source), f"uvim-fsq {options.command} CONFIG"
    )


def settled(
    options: argparse.Namespace, words: list[str], more: Sequence[str] = ()
) -> tuple[RunConfig, str]:
    """The settings that CONFIG, its options and the words give, and a name for the run.

    `more` are what else the command takes, for suggestions.
    """
    config, name = load_config(options.config, options.variant, options.preset)
    config = with_source(config, options.source)
    if options.codebook_size is not None:
        config = replace(
            config, quantizer=config.quantizer.with_size(options.codebook_size)
        )
    known = ["--variant", "--preset", "--source", "--codebook-size", *more]
    changed = override(config, words, known)
    if is_model(options.config):
        changed = _of_other_data(config, changed)
    return changed, name


def _of_other_data(before: RunConfig, after: RunConfig) -> RunConfig:
    """A model's settings on other data do without the place where the old data was scored."""
    old, new = (getattr(config.data, "path", "") for config in (before, after))
    score = [getattr(config.data, "evaluation_path", "") for config in (before, after)]
    if old == new or score[0] != score[1] or not score[1]:
        return after
    return replace_settings(after, data__evaluation_path="")

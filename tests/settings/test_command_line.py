"""Settings as options."""

import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.settings import ConfigError, FolderConfig, ScenesConfig, replace
from uvim_fsq.settings.command_line import EvaluationSettings, override, with_source


def test_values_of_every_type():
    words = [
        *("--stage1.model.width", "192", "--stage2.optimizer.learning-rate", "3e-4"),
        *(
            "--task.no-flip",
            "--task.image_size",
            "64",
            "96",
            "--quantizer.levels",
            "8",
            "5",
        ),
        *("--stage1.model.dtype=bfloat16", "--evaluation.examples", "10"),
        *("--stage2.optimizer.multipliers", "encoder/.*", "0.1", "patches/.*", "0"),
    ]
    config = override(get_config(), words)
    assert config == replace(
        get_config(),
        stage1__model__width=192,
        stage1__model__dtype="bfloat16",
        stage2__optimizer__learning_rate=3e-4,
        stage2__optimizer__multipliers=(("encoder/.*", 0.1), ("patches/.*", 0.0)),
        task__flip=False,
        task__image_size=(64, 96),
        quantizer__levels=(8, 5),
        evaluation__examples=10,
    )


def test_no_words_change_nothing():
    assert override(get_config("vq"), []) == get_config("vq")


def test_epochs_replace_steps_and_steps_epochs():
    config = override(get_config(), ["--stage1.epochs", "2"])
    assert (config.stage1.epochs, config.stage1.steps) == (2.0, None)
    assert config.stage2 == get_config().stage2
    config = override(config, ["--stage1.steps", "7"])
    assert (config.stage1.epochs, config.stage1.steps) == (None, 7)
    both = override(get_config(), ["--stage1.steps", "7", "--stage1.epochs", "None"])
    assert (both.stage1.epochs, both.stage1.steps) == (None, 7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage1.model.widht", "3"], "mean --stage1.model.width or"),
        (["--widht", "3"], "mean --stage1.model.width or --stage2.model.width"),
        (["--varaint", "vq"], "did you mean --variant"),
        (["--zzz", "1"], "no option --zzz: see --help"),
        (["--data.path", "x"], "another kind of data: add --source folder"),
        (["--no-task.flip"], "did you mean"),
        (["--stage1.model.width", "abc"], "must be one whole number, found abc"),
        (["--stage1.model.width", "1.5"], "must be one whole number, found 1.5"),
        (["--stage1.model.width"], "must be one whole number, found nothing"),
        (["--stage1.model.width", "3", "4"], "must be one whole number, found 3 4"),
        (["--stage1.steps", "x"], "must be one whole number or None, found x"),
        (["--stage1.optimizer.clip-norm", "x"], "must be one number, found x"),
        (["--stage1.model.dtype", "half"], "one of float32, bfloat16, found half"),
        (["--task.image-size", "32"], "must be 2 whole numbers, found 32"),
        (["--task.flip", "false"], "without a value .* found false"),
        (["--quantizer.levels", "8", "x"], "must be whole numbers, found 8 x"),
        (["--stage1.optimizer.multipliers", "a"], "pairs of a text and a number"),
        (["--stage1.optimizer.multipliers", "a", "b"], "pairs of a text and a number"),
        (["stray"], "expected an option such as --seed 1, found 'stray'"),
    ],
)
def test_words_that_cannot_be_read(words, message):
    with pytest.raises(ConfigError, match=message):
        override(get_config(), words, ["--variant", "--preset"])


def test_source_changes_kind_and_keeps_what_is_there():
    config = get_config()
    assert with_source(config, None) is config
    assert with_source(config, "scenes") is config
    assert with_source(config, "folder").data == FolderConfig()
    folder = get_config(preset="folder")
    assert with_source(folder, "scenes").data == ScenesConfig(
        size=folder.task.image_size
    )


def test_evaluation_settings_are_a_part():
    settings = override(
        EvaluationSettings.of(get_config()), ["--evaluation.samples", "3"]
    )
    assert settings.evaluation.samples == 3
    assert settings.data == get_config().data
    with pytest.raises(ConfigError, match="no option --stage1.steps"):
        override(settings, ["--stage1.steps", "3"])


def test_skip_broken_has_a_short_name():
    config = with_source(get_config("fsq", "tiny"), "folder")
    assert override(config, ["--skip-broken"]).data.skip_broken

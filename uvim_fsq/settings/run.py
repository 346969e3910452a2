"""Every setting of a run: what tasks, data, quantizers and models declare, and how it is kept.

A configuration is a `RunConfig`: nested frozen dataclasses of plain values. Configuration files
(`configs/`) build one, the command line overrides single values (`--stage1.model.width 192`), and
`RUN/config.json` keeps it. The docstring of a field is what `--help` shows.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import AvoidSubcommands

from uvim_fsq.data.registry import SOURCES
from uvim_fsq.data.scenes.settings import ScenesConfig
from uvim_fsq.data.settings import DataConfig
from uvim_fsq.fields import any_of, at_least, require, seed
from uvim_fsq.models.uvim.settings import Stage1Config, Stage2Config
from uvim_fsq.quantizers.settings import QUANTIZERS, FSQConfig, QuantizerConfig
from uvim_fsq.tasks.depth.settings import DepthConfig
from uvim_fsq.tasks.registry import TASKS
from uvim_fsq.tasks.settings import TaskConfig

if TYPE_CHECKING:
    AnyTask = TaskConfig
    AnyData = DataConfig
    AnyQuantizer = QuantizerConfig
else:
    AnyTask, AnyData, AnyQuantizer = map(any_of, (TASKS, SOURCES, QUANTIZERS))


@dataclass(frozen=True)
class EvaluationConfig:
    """How a model is scored. May change when a run is scored again."""

    batch_size: int = 32
    """Images per batch; smaller ones are padded to it."""
    examples: int | None = None
    """Score so many examples only, spread evenly over all; all by default."""
    temperature: float = 1.0
    """Of the one sample and of those that are averaged; greedy is always scored too."""
    top_k: int = 0
    """Draw among the k most likely indices; 0 for all."""
    top_p: float = 1.0
    """Draw among the most likely indices that hold this share of probability."""
    samples: int = 16
    """Samples per image for the score of their mean."""
    seed: int = 0
    """Of the sampler."""
    list: str = ""
    """A text file with the names of the pictures to score, one a line; by default all."""
    inception: str = ""
    """Colorization: the folder of an Inception SavedModel, for FID; without it there is PSNR only."""
    reference_folder: str = ""
    """Colorization: pictures that FID compares with."""
    reference_list: str = ""
    """Colorization: the names of those pictures, in that folder or else in the data."""

    def check(self, prefix: str = "evaluation.") -> None:
        """Raises ConfigError for a value that cannot be used; `prefix` stands before names in messages."""

        def named(name: str) -> str:
            return prefix + (name.replace("_", "-") if prefix == "--" else name)

        at_least(1, named("batch_size"), self.batch_size)
        if self.examples is not None:
            at_least(1, named("examples"), self.examples)
        at_least(0, named("temperature"), self.temperature)
        at_least(0, named("top_k"), self.top_k)
        require(
            0 < self.top_p <= 1,
            f"{named('top_p')} must be above 0 and at most 1, found {self.top_p}",
        )
        at_least(1, named("samples"), self.samples)
        seed(named("seed"), self.seed)
        require(
            bool(self.inception) or not (self.reference_folder or self.reference_list),
            f"{named('reference_folder')} and {named('reference_list')} are for FID, which needs "
            f"{named('inception')}: give the folder of an Inception SavedModel, or leave them out",
        )


@dataclass(frozen=True)
class OutputConfig:
    """Where a run is kept and what it reports. May change when a run is continued."""

    directory: str = ""
    """The run's folder; by default runs/<config>-<variant>-<preset>."""
    log_every: int = 50
    """Steps between log lines."""
    evaluate_every: int = 1000
    """Steps between validations."""
    evaluate_examples: int = 256
    """Examples of a validation while training, spread evenly over the validation part."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    pictures: int = 4
    """Sample pictures in a validation's log; 0 for none."""
    profile: bool = False
    """Record a JAX profile of a few steps near the start."""

    def check(self) -> None:
        """Raises ConfigError for a value that cannot be used."""
        for name in (
            *("log_every", "evaluate_every"),
            *("evaluate_examples", "checkpoint_every"),
        ):
            at_least(1, f"output.{name}", getattr(self, name))
        at_least(0, "output.pictures", self.pictures)


@dataclass(frozen=True)
class RunConfig:
    """A run: one task, both stages."""

    task: Annotated[AnyTask, AvoidSubcommands] = field(default_factory=DepthConfig)
    """What is predicted; each has a configuration of its own."""
    data: Annotated[AnyData, AvoidSubcommands] = field(default_factory=ScenesConfig)
    """What it is learned from; `--source` changes the kind."""
    quantizer: Annotated[AnyQuantizer, AvoidSubcommands] = field(
        default_factory=FSQConfig
    )
    """The bottleneck; `--variant` changes the kind."""
    stage1: Stage1Config = Stage1Config()
    """The autoencoder of the target."""
    stage2: Stage2Config = Stage2Config()
    """The model of the guiding code."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Scoring."""
    output: OutputConfig = OutputConfig()
    """Logs, checkpoints and pictures."""
    init_from: str = ""
    """A run, a bundle or a name on the Hugging Face Hub whose weights the stages start from where they fit."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a stage is used: the one with the lowest validation loss, or the last, as in
    the published runs."""
    seed: int = 0
    """Of initialization, data order, augmentation and dropout."""
    loader_threads: int = 0
    """Threads that read and augment; 0 for one per core."""

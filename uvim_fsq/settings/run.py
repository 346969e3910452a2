"""Every setting of a run, declared once.

A configuration is a `RunConfig`: nested frozen dataclasses of plain values. Configuration files
(`configs/`) build one, the command line overrides single values (`--stage1.model.width 192`), and
`RUN/config.json` keeps it. The docstring of a field is what `--help` shows.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from tyro.conf import AvoidSubcommands

from uvim_fsq.errors import ConfigError
from uvim_fsq.settings.data import (
    CategoryConfig,
    CocoConfig,
    ColorizationConfig,
    DataConfig,
    DepthConfig,
    FolderConfig,
    PanopticConfig,
    PicturesConfig,
    RecordsConfig,
    ScenesConfig,
    Size,
    TaskConfig,
    TfdsConfig,
)

__all__ = [
    "CategoryConfig",
    "CocoConfig",
    "ColorizationConfig",
    "ConfigError",
    "DataConfig",
    "DepthConfig",
    "EvaluationConfig",
    "FSQConfig",
    "FolderConfig",
    "IdentityConfig",
    "ModelConfig",
    "OptimizerConfig",
    "OutputConfig",
    "PanopticConfig",
    "PicturesConfig",
    "RecordsConfig",
    "RunConfig",
    "ScenesConfig",
    "Stage1Config",
    "Stage1ModelConfig",
    "Stage2Config",
    "StageConfig",
    "TaskConfig",
    "TfdsConfig",
    "VQConfig",
    "replace",
]


@dataclass(frozen=True)
class FSQConfig:
    """Finite scalar quantization."""

    kind: ClassVar[str] = "fsq"

    levels: tuple[int, ...] = (7, 5, 5, 5, 5)
    """Levels of each channel; their product is the codebook size."""
    bound: str = "tan"
    """How latents are bounded; "tan" is the paper's."""


@dataclass(frozen=True)
class VQConfig:
    """Vector quantization with running averages, as in UViM."""

    kind: ClassVar[str] = "vq"

    codebook_size: int = 4096
    """Number of codewords."""
    code_dim: int = 768
    """Width of a codeword."""
    decay: float = 0.995
    """Of the running counts and sums."""
    splitting: bool = True
    """Replace unused codewords by copies of the most used one."""
    min_count: float = 0.1
    """Running count below which a codeword is unused."""
    commitment_weight: float = 0.0
    """Weight of the commitment loss."""


@dataclass(frozen=True)
class IdentityConfig:
    """No quantization: stage I alone, as an upper bound."""

    kind: ClassVar[str] = "identity"

    code_dim: int = 5
    """Width of a code."""


QuantizerConfig = FSQConfig | VQConfig | IdentityConfig


@dataclass(frozen=True)
class ModelConfig:
    """The transformer of a stage."""

    width: int = 768
    """Width of a token."""
    encoder_depth: int = 6
    """Layers of the encoder."""
    decoder_depth: int = 12
    """Layers of the decoder."""
    mlp_width: int = 3072
    """Hidden width of the MLPs."""
    num_heads: int = 12
    """Heads of attention."""
    patch_size: Size = (16, 16)
    """Rows and columns of a patch, in pixels."""
    positions: Literal["learned", "sincos2d"] = "learned"
    """Position embeddings."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products; the residual stream, logits and all else stay float32."""
    attention: Literal["xla", "cudnn"] = "xla"
    """Attention kernel; "cudnn" needs an NVIDIA GPU and bfloat16."""
    rematerialize: Literal["nothing", "cheap", "everything"] = "cheap"
    """What the backward pass computes again instead of keeping it; "cheap": all but products with weights."""


@dataclass(frozen=True)
class Stage1ModelConfig(ModelConfig):
    """The autoencoder."""

    code_length: int = 256
    """Positions of the guiding code (stage II has the same); a square number if `resize` is linear."""
    encoder_context: bool = True
    """Show the image to the encoder."""
    decoder_context: bool = True
    """Show the image to the decoder."""
    resize: Literal["linear", "learned"] = "linear"
    """Between patches and code positions."""
    code_dropout: Literal["random", "ordered", "none"] = "random"
    """Hide part of the code while training."""
    head_memory_mb: int = 0
    """Bound on the heads' logits that are in memory at once, in megabytes; 0: by the device."""


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer of a stage."""

    name: Literal["adafactor", "adamw"] = "adafactor"
    """Adafactor is what UViM uses."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 1e-5
    """Decoupled, on kernels, not multiplied by the learning rate but by the schedule."""
    clip_norm: float = 1.0
    """Global gradient norm to clip at; 0 for no clipping."""
    multipliers: tuple[tuple[str, float], ...] = ()
    """Learning-rate multipliers: pairs of a regular expression on the parameter's path and a
    factor; the first that matches counts, 0 freezes."""


@dataclass(frozen=True)
class StageConfig:
    """How a stage is trained."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    batch_size: int = 1024
    """Examples per step, over all devices."""
    micro_batches: int = 1
    """Parts of each batch, to save memory; the result is the same but for rounding and code dropout's draws."""
    steps: int | None = None
    """Updates in all; give either this or `epochs`."""
    epochs: float | None = None
    """Passes over the training data."""
    warmup_steps: int = 4000
    """Steps of linear warm-up, before the cosine decay to 0."""
    average_decay: float = 0.0
    """Decay of an exponential moving average of the weights, such as 0.999, but at most
    (1 + t) / (10 + t) after update t = 0, 1, ...; whatever uses the model takes the average. 0: none."""


@dataclass(frozen=True)
class Stage1Config(StageConfig):
    """Stage I: the autoencoder of the target."""

    model: Stage1ModelConfig = Stage1ModelConfig()
    """The model."""


@dataclass(frozen=True)
class Stage2Config(StageConfig):
    """Stage II: the model of the guiding code."""

    model: ModelConfig = ModelConfig(
        width=1024, encoder_depth=24, decoder_depth=24, mlp_width=4096, num_heads=16
    )
    """The model."""
    pretrained_encoder: str = ""
    """A ViT of the AugReg or big_vision releases that the image encoder starts from: an .npz file, or
    its gs://, hf:// or https:// address. Empty: from scratch."""


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


@dataclass(frozen=True)
class RunConfig:
    """A run: one task, both stages."""

    task: Annotated[TaskConfig, AvoidSubcommands] = field(default_factory=DepthConfig)
    """What is predicted; each has a configuration of its own."""
    data: Annotated[DataConfig, AvoidSubcommands] = field(default_factory=ScenesConfig)
    """What it is learned from; `--source` changes the kind."""
    quantizer: Annotated[QuantizerConfig, AvoidSubcommands] = field(
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


def replace(config, **changes):
    """A copy with changes; `__` goes a level down: `replace(config, stage1__steps=10)`."""
    nested: dict[str, dict] = {}
    flat = {}
    for name, value in changes.items():
        head, _, rest = name.partition("__")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            flat[head] = value
    for head, inner in nested.items():
        flat[head] = replace(flat.get(head, getattr(config, head)), **inner)
    return dataclasses.replace(config, **flat)

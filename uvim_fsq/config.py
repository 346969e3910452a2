"""Every setting of a run, declared once.

A configuration is a `RunConfig`: nested frozen dataclasses of plain values. Configuration files
(`configs/`) build one, the command line overrides single values (`--stage1.model.width 192`), and
`RUN/config.json` keeps it. The docstring of a field is what `--help` shows.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import tyro.conf

from uvim_fsq.errors import ConfigError as ConfigError

Size = tuple[int, int]


@dataclass(frozen=True)
class DepthConfig:
    """Depth estimation: one channel of depth bins."""

    kind: ClassVar[str] = "depth"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    min_depth: float = 1e-3
    """Smallest depth in metres; pixels at or below it count as missing."""
    max_depth: float = 10.0
    """Largest depth in metres."""
    bins: int = 256
    """Classes of equal width between the two."""
    crop: Literal["none", "uvim", "eigen"] = "none"
    """Part of a frame that is used: all of it, UViM's crop of NYU frames (rows 54-480, columns
    41-601 of 480 x 640), or the Eigen crop (rows 45-471)."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""


@dataclass(frozen=True)
class CategoryConfig:
    """A class of a panoptic dataset."""

    id: int
    """The dataset's number for it."""
    name: str
    """For people."""
    isthing: bool
    """Counted, or stuff."""
    color: tuple[int, int, int]
    """RGB, 0 to 255."""


@dataclass(frozen=True)
class PanopticConfig:
    """Panoptic segmentation: a channel of classes and a channel of instances."""

    kind: ClassVar[str] = "panoptic"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    classes: int = 0
    """Classes of the model, void included; 0 for as many as the data has."""
    instances: int = 100
    """Slots for instances, slot 0 for void included; of more segments the largest are kept."""
    min_fraction: float = 0.0
    """Predicted segments with at most this share of the picture are left out."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""
    categories: Annotated[tuple[CategoryConfig, ...], tyro.conf.Suppress] = ()
    """Classes of the data that the model was trained on; training fills them in."""


@dataclass(frozen=True)
class ColorizationConfig:
    """Colorization: colours from a grey picture."""

    kind: ClassVar[str] = "colorization"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""


TaskConfig = DepthConfig | PanopticConfig | ColorizationConfig


@dataclass(frozen=True)
class ScenesConfig:
    """The built-in source: procedural indoor scenes with depth and panoptic labels."""

    kind: ClassVar[str] = "scenes"

    size: Size = (128, 128)
    """Rows and columns that the scenes are rendered at, in pixels."""
    train_count: int = 16_000
    """Scenes to train on."""
    validation_count: int = 512
    """Held-out scenes."""
    seed: int = 0
    """Other seeds are other scenes."""


@dataclass(frozen=True)
class FolderConfig:
    """A folder of RGB-D frames: `rgb/` and `depth/`, files matched by name, or NYU's raw `.h5`."""

    kind: ClassVar[str] = "folder"

    path: str = ""
    """The folder; it may have the parts `train/` and `validation/`."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    units_per_metre: float = 1000.0
    """Of 16-bit depth PNGs; 1000 is millimetres."""
    validation_fraction: float = 0.1
    """Share of the frames held out, by a hash of their names, where there is no validation part."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class CocoConfig:
    """A folder of pictures with panoptic labels in COCO's format."""

    kind: ClassVar[str] = "coco"

    path: str = ""
    """The folder: `images/`, `panoptic/` and `panoptic.json`, or COCO's own layout."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    validation_fraction: float = 0.1
    """Share of the pictures held out, by a hash of their names, where there is no validation part."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class PicturesConfig:
    """A folder of pictures, for colorization."""

    kind: ClassVar[str] = "pictures"

    path: str = ""
    """The folder; pictures may lie in folders below it, and in `train/` and `validation/`."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    evaluation_list: str = ""
    """A text file with the names of the pictures to score on, one a line; by default all."""
    validation_fraction: float = 0.1
    """Share of the pictures held out, by a hash of their names, where there is no validation part."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class RecordsConfig:
    """A folder packed into ArrayRecord by `scripts/prepare_data.py pack`."""

    kind: ClassVar[str] = "records"

    path: str = ""
    """The packed folder."""
    evaluation_path: str = ""
    """A packed folder to score on in the end; by default the validation part of `path`."""


@dataclass(frozen=True)
class TfdsConfig:
    """A TFDS dataset that `scripts/prepare_data.py tfds` prepared."""

    kind: ClassVar[str] = "tfds"

    name: str = ""
    """Of the dataset, such as nyu_depth_v2, coco/2017_panoptic or imagenet2012."""
    data_dir: str = ""
    """Where TFDS keeps its data; its own default if empty."""
    train_split: str = "train"
    """Examples to train on; TFDS's slices such as train[4096:] work."""
    validation_split: str = "validation"
    """Examples to watch while training."""
    test_split: str = "validation"
    """Examples to score on in the end."""
    fields: tuple[tuple[str, str], ...] = ()
    """For another dataset: pairs of our field (image, depth, panoptic, segments) and its name there."""


DataConfig = (
    ScenesConfig
    | FolderConfig
    | CocoConfig
    | PicturesConfig
    | RecordsConfig
    | TfdsConfig
)


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
    """Of the matrix products; all else stays float32."""
    attention: Literal["xla", "cudnn"] = "xla"
    """Attention kernel; "cudnn" needs an NVIDIA GPU and bfloat16."""


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
    """Split each batch into this many parts to save memory; the result stays the same."""
    steps: int | None = None
    """Updates in all; give either this or `epochs`."""
    epochs: float | None = None
    """Passes over the training data."""
    warmup_steps: int = 4000
    """Steps of linear warm-up, before the cosine decay to 0."""


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


@dataclass(frozen=True)
class EvaluationConfig:
    """How a model is scored. May change when a run is scored again."""

    batch_size: int = 32
    """Images per batch; smaller ones are padded to it."""
    examples: int | None = None
    """Score the first so many examples only; all by default."""
    temperature: float = 1.0
    """Of the one sample and of those that are averaged; greedy is always scored too."""
    top_k: int = 0
    """Draw among the k most likely indices; 0 for all."""
    top_p: float = 1.0
    """Draw among the most likely indices that hold this share of probability."""
    samples: int = 16
    """Samples per image for the score of their mean; 0 for none."""
    seed: int = 0
    """Of the sampler."""


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
    """Examples of a validation while training."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    pictures: int = 4
    """Sample pictures in a validation's log; 0 for none."""
    profile: bool = False
    """Record a JAX profile of a few steps near the start."""


@dataclass(frozen=True)
class RunConfig:
    """A run: one task, both stages."""

    task: Annotated[TaskConfig, tyro.conf.AvoidSubcommands] = field(
        default_factory=DepthConfig
    )
    """What is predicted; each has a configuration of its own."""
    data: Annotated[DataConfig, tyro.conf.AvoidSubcommands] = field(
        default_factory=ScenesConfig
    )
    """What it is learned from; `--source` changes the kind."""
    quantizer: Annotated[
        FSQConfig | VQConfig | IdentityConfig, tyro.conf.AvoidSubcommands
    ] = field(default_factory=FSQConfig)
    """The bottleneck; `--variant` changes the kind."""
    stage1: Stage1Config = Stage1Config()
    """The autoencoder of the target."""
    stage2: Stage2Config = Stage2Config()
    """The model of the guiding code."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Scoring."""
    output: OutputConfig = OutputConfig()
    """Logs, checkpoints and pictures."""
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

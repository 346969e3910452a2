"""Settings of UViM's two stages: their transformers, and what the stages demand of one another."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from uvim_fsq.fields import WHOLE_LIMIT, Size, at_least, divides, require
from uvim_fsq.quantizers.settings import QuantizerConfig
from uvim_fsq.tasks.settings import TaskConfig
from uvim_fsq.training.settings import StageConfig


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

    def check(self, name: str, image_size: Size) -> None:
        """Raises ConfigError for a value that cannot be used; `name` is the stage's in messages."""
        for field in (
            *("width", "encoder_depth", "decoder_depth"),
            *("mlp_width", "num_heads"),
        ):
            at_least(1, f"{name}.model.{field}", getattr(self, field))
        divides(
            f"{name}.model.num_heads", self.num_heads, f"{name}.model.width", self.width
        )
        if self.positions == "sincos2d":
            divides(
                *("the 4 parts of sincos2d positions", 4),
                *(f"{name}.model.width", self.width),
            )
            require(
                self.width > 4,
                f"{name}.model.width must be above 4 for sincos2d positions, found {self.width}",
            )
        for side, pixels, patch in zip(
            ("rows", "columns"), image_size, self.patch_size, strict=True
        ):
            at_least(1, f"{name}.model.patch_size", patch)
            divides(
                f"the {side} of {name}.model.patch_size",
                patch,
                "those of task.image_size",
                pixels,
            )
        head_size = self.width // self.num_heads
        require(
            self.attention != "cudnn" or head_size % 8 == 0,
            f"{name}.model.attention cudnn needs heads with a multiple of 8 channels, found "
            f"{head_size} ({name}.model.width {self.width} over {name}.model.num_heads {self.num_heads})",
        )
        require(
            self.attention != "cudnn" or self.dtype == "bfloat16",
            f"{name}.model.attention cudnn needs {name}.model.dtype bfloat16, found "
            f"{self.dtype}",
        )


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

    def check(self, name, image_size):
        """Raises ConfigError for a value that cannot be used; `name` is the stage's in messages."""
        super().check(name, image_size)
        length = self.code_length
        at_least(1, f"{name}.model.code_length", length)
        side = math.isqrt(length)
        require(
            self.resize != "linear" or side * side == length,
            f"{name}.model.code_length must be a square number for {name}.model.resize linear, "
            f"found {length}: take {side * side} or {(side + 1) ** 2}, or the learned resizing",
        )
        at_least(0, f"{name}.model.head_memory_mb", self.head_memory_mb)


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


@runtime_checkable
class UvimSettings(Protocol):
    """What the models ask of a run's settings."""

    @property
    def task(self) -> TaskConfig:
        """What is predicted."""
        ...

    @property
    def quantizer(self) -> QuantizerConfig:
        """The bottleneck."""
        ...

    @property
    def stage1(self) -> Stage1Config:
        """The autoencoder."""
        ...

    @property
    def stage2(self) -> Stage2Config:
        """The model of the guiding code."""
        ...


def check_stages(stage1: Stage1Config, stage2: Stage2Config, image_size: Size) -> None:
    """Raises ConfigError, one sentence, for the first setting of the stages that cannot be used."""
    for name, stage in (("stage1", stage1), ("stage2", stage2)):
        stage.check(name)
        stage.model.check(name, image_size)
    length = stage1.model.code_length
    for name, stage in (("stage1", stage1), ("stage2", stage2)):
        require(
            stage.batch_size * length <= WHOLE_LIMIT,
            f"{name}.batch_size times stage1.model.code_length must be at most {WHOLE_LIMIT:,}, "
            f"found {stage.batch_size:,} times {length:,}",
        )

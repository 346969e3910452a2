"""Settings of the quantizers: their ranges, and how each is made."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import (
    WHOLE_LIMIT,
    at_least,
    between,
    kinds_of,
    positive,
    replace,
    require,
)

if TYPE_CHECKING:
    from uvim_fsq.quantizers import Quantizer

_MOST_CODEWORDS = WHOLE_LIMIT - 1
"""Stage II has one token more."""

_FSQ_BOUNDS = ("tan", "atanh")


@dataclass(frozen=True)
class QuantizerConfig:
    """A bottleneck.

    A quantizer's own class adds its fields, checks them, and makes the quantizer. Attributes of the
    class, not of a run:

      kind: its name in files.
      about: a sentence for a model's card.
    """

    kind: ClassVar[str]
    about: ClassVar[str]

    @property
    def size(self) -> int | None:
        """Codewords; None for a bottleneck without a codebook, of which there is no stage II."""
        raise NotImplementedError

    @property
    def codebook(self) -> tuple:
        """What must be the same for indices to stand for the same codewords."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        raise NotImplementedError

    def build(self) -> "Quantizer":
        """The quantizer."""
        raise NotImplementedError

    def with_size(self, size: int) -> "QuantizerConfig":
        """The settings with `size` codewords, or about as many.

        Raises:
          ConfigError: if there can be none of that size.
        """
        raise ConfigError(f"the {self.kind} quantizer has no codebook size.")

    def describe(self) -> str:
        """The bottleneck in a phrase."""
        return self.kind


@dataclass(frozen=True)
class FSQConfig(QuantizerConfig):
    """Finite scalar quantization."""

    kind: ClassVar[str] = "fsq"
    about: ClassVar[str] = (
        "The code is quantized by [FSQ](https://arxiv.org/abs/2309.15505), which rounds a few "
        "bounded channels."
    )

    levels: tuple[int, ...] = (7, 5, 5, 5, 5)
    """Levels of each channel; their product is the codebook size."""
    bound: str = "tan"
    """How latents are bounded; "tan" is the paper's."""

    @property
    def size(self) -> int:
        """Codewords."""
        return math.prod(self.levels)

    @property
    def codebook(self) -> tuple:
        """What must be the same for indices to stand for the same codewords."""
        return self.kind, self.levels

    def check(self) -> None:
        """Raises ConfigError for levels that cannot be, or are too many codewords."""
        levels = self.levels
        shown = " ".join(map(str, levels)) or "none"
        require(
            bool(levels) and min(levels) >= 2,
            "quantizer.levels must be whole numbers of at least 2, one per channel, such as "
            f"8 5 5 5, found {shown}",
        )
        require(
            self.size <= _MOST_CODEWORDS,
            f"quantizer.levels {shown} make {self.size:,} codewords, and indices allow "
            f"{_MOST_CODEWORDS:,}: use fewer channels or levels",
        )
        require(
            self.bound in _FSQ_BOUNDS,
            f"quantizer.bound must be one of {', '.join(_FSQ_BOUNDS)}, found {self.bound!r}",
        )
        require(
            self.bound != "atanh" or min(levels) > 2,
            f"quantizer.bound atanh has no value for 2 levels, found levels {shown}: use tan",
        )

    def build(self):
        """The quantizer."""
        from uvim_fsq.quantizers import FSQ

        return FSQ(levels=self.levels, bound=self.bound)

    def with_size(self, size: int) -> "FSQConfig":
        """The settings with about `size` codewords, of the paper's table or levels from 5 to 8.

        Raises:
          ConfigError: for a size that no levels are near.
        """
        from uvim_fsq.quantizers.fsq import recommended_levels, search_levels

        try:
            levels = recommended_levels(size)
        except ValueError:
            try:
                levels = search_levels(size)
            except ValueError as error:
                raise ConfigError(str(error)) from None
        return replace(self, levels=levels)

    def describe(self) -> str:
        """The bottleneck in a phrase."""
        levels = " x ".join(map(str, self.levels))
        return f"FSQ, {self.size:,} codewords ({levels} levels)"


@dataclass(frozen=True)
class VQConfig(QuantizerConfig):
    """Vector quantization with running averages, as in UViM."""

    kind: ClassVar[str] = "vq"
    about: ClassVar[str] = "The code is quantized by VQ with a learned codebook."

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

    @property
    def size(self) -> int:
        """Codewords."""
        return self.codebook_size

    @property
    def codebook(self) -> tuple:
        """What must be the same for indices to stand for the same codewords."""
        return self.kind, self.codebook_size, self.code_dim

    def check(self) -> None:
        """Raises ConfigError for a value that cannot be used."""
        # A latent is standardized over its channels, which leaves nothing of a single one.
        at_least(2, "quantizer.code_dim", self.code_dim)
        between(2, _MOST_CODEWORDS, "quantizer.codebook_size", self.codebook_size)
        require(
            0 < self.decay < 1,
            f"quantizer.decay must be above 0 and less than 1, found {self.decay}",
        )
        positive("quantizer.min_count", self.min_count)
        at_least(0, "quantizer.commitment_weight", self.commitment_weight)

    def build(self):
        """The quantizer."""
        from uvim_fsq.quantizers import VQ

        return VQ(
            codebook_size=self.codebook_size,
            code_dim=self.code_dim,
            decay=self.decay,
            splitting=self.splitting,
            min_count=self.min_count,
            commitment_weight=self.commitment_weight,
        )

    def with_size(self, size: int) -> "VQConfig":
        """The settings with `size` codewords."""
        return replace(self, codebook_size=size)

    def describe(self) -> str:
        """The bottleneck in a phrase."""
        splitting = "with" if self.splitting else "without"
        return (
            f"VQ, {self.size:,} codewords of width {self.code_dim}, {splitting} codebook "
            "splitting"
        )


@dataclass(frozen=True)
class IdentityConfig(QuantizerConfig):
    """No quantization: stage I alone, as an upper bound."""

    kind: ClassVar[str] = "identity"
    about: ClassVar[str] = (
        "This model's code is not quantized, so that it has no stage II."
    )

    code_dim: int = 5
    """Width of a code."""

    @property
    def size(self) -> None:
        """No codewords."""
        return None

    @property
    def codebook(self) -> tuple:
        """What must be the same for indices to stand for the same codewords."""
        return (self.kind,)

    def check(self) -> None:
        """Raises ConfigError for a value that cannot be used."""
        at_least(1, "quantizer.code_dim", self.code_dim)

    def build(self):
        """The quantizer."""
        from uvim_fsq.quantizers import Identity

        return Identity(code_dim=self.code_dim)

    def describe(self) -> str:
        """The bottleneck in a phrase."""
        return f"none: {self.code_dim} continuous channels"


QUANTIZERS: dict[str, type[QuantizerConfig]] = kinds_of(
    "uvim_fsq.quantizers", FSQConfig, VQConfig, IdentityConfig
)
"""Settings of each quantizer by its name."""

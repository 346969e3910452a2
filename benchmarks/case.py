"""What is measured: the settings of a run, and what the benchmark can change beyond them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uvim_fsq.settings import RunConfig, as_json

PART_NAMES = (
    "stage1",
    "stage2",
    "sampling",
    "predict",
    "loader",
    "splitting",
    "peak_float32",
    "peak_bfloat16",
)


@dataclass(frozen=True)
class Case:
    """Settings of a run and what the benchmark can change beyond them.

    Attributes:
      config: the settings.
      channels: classes of each channel of the target, in place of the task's own.
      unroll: layers of the scanned transformers that are compiled as one.
    """

    config: RunConfig
    channels: tuple[int, ...] = ()
    unroll: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return dataclasses.asdict(self) | {"config": as_json.to_dict(self.config)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Case":
        """What `to_dict` gave."""
        config = as_json.from_dict(data["config"])
        return cls(config, tuple(data["channels"]), data["unroll"])

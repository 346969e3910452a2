"""The tasks by name."""

from uvim_fsq.fields import kinds_of
from uvim_fsq.tasks.colorization.settings import ColorizationConfig
from uvim_fsq.tasks.depth.settings import DepthConfig
from uvim_fsq.tasks.panoptic.settings import PanopticConfig
from uvim_fsq.tasks.settings import TaskConfig

TASKS: dict[str, type[TaskConfig]] = kinds_of(
    "uvim_fsq.tasks", DepthConfig, PanopticConfig, ColorizationConfig
)
"""Settings of each task by its name."""

"""The settings of a run, all in one place for configuration files.

>>> from uvim_fsq.settings import FSQConfig, RunConfig, replace
>>> replace(RunConfig(), quantizer=FSQConfig(levels=(8, 5, 5, 5))).quantizer.size
1000
"""

from uvim_fsq.data.coco.settings import CocoConfig
from uvim_fsq.data.folders.settings import FolderConfig, PicturesConfig
from uvim_fsq.data.packed.settings import RecordsConfig
from uvim_fsq.data.scenes.settings import ScenesConfig
from uvim_fsq.data.settings import DataConfig
from uvim_fsq.data.tfds.settings import TfdsConfig
from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.models.uvim.settings import (
    ModelConfig,
    Stage1Config,
    Stage1ModelConfig,
    Stage2Config,
)
from uvim_fsq.quantizers.settings import (
    FSQConfig,
    IdentityConfig,
    QuantizerConfig,
    VQConfig,
)
from uvim_fsq.settings.run import EvaluationConfig, OutputConfig, RunConfig
from uvim_fsq.tasks.colorization.settings import ColorizationConfig
from uvim_fsq.tasks.depth.settings import DepthConfig
from uvim_fsq.tasks.panoptic.settings import CategoryConfig, PanopticConfig
from uvim_fsq.tasks.settings import TaskConfig
from uvim_fsq.training.settings import OptimizerConfig, StageConfig

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
    "QuantizerConfig",
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

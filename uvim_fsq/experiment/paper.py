"""The numbers of the FSQ paper's table 2 (arXiv 2309.15505), to stand beside ours.

Means and standard deviations over three stage-II runs, and codebook usage. The deviations of
panoptic quality are left out: they are printed on another scale than the scores.
"""

from collections.abc import Mapping

from uvim_fsq.config import RunConfig

SCORES: Mapping[str, Mapping[str, str]] = {
    "depth": {
        "vq": "0.468 ± 0.012",
        "fsq": "0.473 ± 0.012",
        "vq_no_split": "0.490 ± 0.0037",
    },
    "panoptic": {
        "vq": "43.4",
        "fsq": "43.2",
        "vq_no_context": "39.0",
        "fsq_no_context": "40.2",
    },
    "colorization": {"vq": "FID-5k 16.90 ± 0.056", "fsq": "FID-5k 17.55 ± 0.057"},
}
"""Depth: RMSE in metres; panoptic: PQ in points; colorization: FID-5k. By task and row."""

USAGE: Mapping[str, Mapping[str, str]] = {
    "depth": {"vq": "99 %", "fsq": "99 %", "vq_no_split": "0.78 %"},
    "panoptic": {
        "vq": "100 %",
        "fsq": "100 %",
        "vq_no_context": "99 %",
        "fsq_no_context": "99 %",
    },
    "colorization": {"vq": "100 %", "fsq": "100 %"},
}
"""Codebook usage by task and row."""

_DATA = {
    "depth": "nyu_depth_v2",
    "panoptic": "coco/2017_panoptic",
    "colorization": "imagenet2012",
}


def is_papers_setting(config: RunConfig) -> bool:
    """Whether a run's data, size and batches are the paper's, so that numbers may be compared."""
    return (
        getattr(config.data, "name", None) == _DATA[config.task.kind]
        and config.task.image_size == (512, 512)
        and config.stage1.model.code_length == 256
        and (config.stage1.batch_size, config.stage2.batch_size) == (1024, 512)
        and (config.stage2.model.width, config.stage2.model.encoder_depth) == (1024, 24)
    )

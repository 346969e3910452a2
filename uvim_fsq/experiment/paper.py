"""The numbers of the FSQ paper's table 2 (arXiv 2309.15505), to stand beside ours.

Means and standard deviations over three stage-II runs, and codebook usage. The deviations of
panoptic quality are left out: they are printed on another scale than the scores.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from uvim_fsq.configs.variants import VARIANTS
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig

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

_FREE = (
    *("output", "loader_threads", "seed", "data.data_dir", "task.categories"),
    *("evaluation.batch_size", "evaluation.samples", "evaluation.seed"),
    *("evaluation.inception", "evaluation.reference_folder"),
    *(f"evaluation.{name}" for name in ("temperature", "top_k", "top_p")),
)
"""What the paper does not say: of greedy predictions and FID, it changes nothing that was published."""
_FREE_OF_STAGES = (
    *("micro_batches", "model.dtype", "model.attention", "model.rematerialize"),
    "model.head_memory_mb",
)
"""How a device does the same training. Of stage II the ViT that it starts from is known by its file's name."""


def is_papers_setting(config: RunConfig) -> bool:
    """Whether a run is the paper's in all that it fixes, so that its numbers may be compared.

    It is what the preset `paper` of the task has in one of the variants: data and splits, crops,
    models, quantizer, batches, steps, learning rates, and all that is scored.
    """
    if config.task.kind not in SCORES:
        return False
    module = import_module(f"uvim_fsq.configs.{config.task.kind}")
    published = (module.get_config(variant, "paper") for variant in VARIANTS)
    return _fixed(config) in map(_fixed, published)


def is_papers_evaluation(record: Mapping[str, Any]) -> bool:
    """Whether the scores of a record are of the whole of the run's own test data, where they say."""
    data = record.get("data") or {}
    return record.get("part") in (None, "test") and data.get("own", True)


def _fixed(config: RunConfig) -> dict[str, Any]:
    """The settings without what is free."""
    tree = as_json.to_dict(config)
    stages = [f"{s}.{name}" for s in ("stage1", "stage2") for name in _FREE_OF_STAGES]
    for name in (*_FREE, *stages):
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            place = place[folder]
        place.pop(last, None)
    start = tree["stage2"]["pretrained_encoder"]
    tree["stage2"]["pretrained_encoder"] = start.rpartition("/")[2]
    if config.task.kind == "colorization":  # FID-5k is of listed pictures.
        for name in ("list", "reference_list"):
            tree["evaluation"].pop(name)
    return tree

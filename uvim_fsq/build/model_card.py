"""The model card of a bundle: its README.md, as the Hugging Face Hub shows it."""

from collections.abc import Mapping
from typing import Any

from uvim_fsq.config import RunConfig

_PIPELINE = {
    "depth": "depth-estimation",
    "panoptic": "image-segmentation",
    "colorization": "image-to-image",
}


def model_card(
    config: RunConfig, details: Mapping[str, Any], counts: Mapping[str, int], name: str
) -> str:
    """Markdown with YAML front matter.

    Args:
      config: settings without places of a machine.
      details: see `uvim_fsq.build.bundles.write_model`.
      counts: parameters by stage.
      name: of the bundle.
    """
    lines = [
        "---",
        "library_name: uvim-fsq",
        f"pipeline_tag: {_PIPELINE[config.task.kind]}",
        "---",
        "",
        f"# {name}",
        "",
        *(f"{stage}: {count:,} parameters" for stage, count in counts.items()),
    ]
    return "\n".join(lines) + "\n"

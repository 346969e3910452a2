"""Bundles on the Hugging Face Hub, where the library `huggingface_hub` is installed."""

import re
from pathlib import Path

from uvim_fsq.weights.errors import WeightsError

_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_FILES = ["config.json", "model.safetensors", "README.md"]


def is_name(text: str) -> bool:
    """Whether a text may be OWNER/NAME or OWNER/NAME@REVISION."""
    return bool(_NAME.fullmatch(text)) and not text.startswith(".")


def snapshot(name: str) -> Path:
    """The folder, in the library's cache, with a bundle's files; fetched if they are not there.

    Raises:
      WeightsError: if the library is missing, or the files cannot be fetched.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise WeightsError(
            f"{name} is no path here; to look for it on the Hugging Face Hub, install "
            "huggingface_hub (pip install huggingface_hub)"
        ) from None
    repository, _, revision = name.partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=_FILES
        )
    except Exception as error:  # The library's errors and its HTTP client's are many.
        raise WeightsError(
            f"{name} is no path here, and could not be fetched from the Hugging Face Hub "
            f"({type(error).__name__}: {str(error).splitlines()[0]}): check the name and the "
            "network"
        ) from error
    return Path(folder)

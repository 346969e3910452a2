"""Bundles on the Hugging Face Hub, where the library `huggingface_hub` is installed."""

import re
from pathlib import Path

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights.bundle import CARD, SETTINGS, WEIGHTS

_PART = r"\w[\w.-]*"
_NAME = re.compile(
    rf"(?P<scheme>hf:/{{1,2}})?(?P<name>{_PART}/{_PART})(@(?P<revision>\w[\w./-]*))?"
)
_HINTS = {
    "RepositoryNotFoundError": "there is no such repository, or it is private: check the name, or "
    "log in (hf auth login)",
    "RevisionNotFoundError": "the repository has no such revision: check what follows the @",
    "GatedRepoError": "its owner asks for consent: give it on the repository's page, and log in "
    "(hf auth login)",
    "LocalEntryNotFoundError": "the Hub was not reached, and no copy is in this machine's cache: "
    "check the network, and that HF_HUB_OFFLINE is not set",
}
"""What to do about the library's errors, by name of their class."""


def is_name(text: str) -> bool:
    """Whether a text may name a repository: OWNER/NAME, with @REVISION after it or hf:// before."""
    return _NAME.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether a text names a repository and cannot be meant as a path here: hf://OWNER/NAME."""
    match = _NAME.fullmatch(text)
    return match is not None and match["scheme"] is not None


def snapshot(name: str) -> Path:
    """The folder, in the library's cache, with a bundle's files; fetched if they are not there.

    Nothing else of the repository is fetched. A copy in the cache is used where the Hub cannot be
    reached.

    Raises:
      WeightsError: if the library is missing, the files cannot be fetched, or they are no bundle.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise WeightsError(
            f"{name} is no name on the Hugging Face Hub: expected OWNER/NAME or OWNER/NAME@REVISION"
        )
    where = "" if match["scheme"] else "is no folder here, and "
    try:
        import huggingface_hub
    except ImportError:
        raise WeightsError(
            f"{name} {where}cannot be fetched from the Hugging Face Hub without the library "
            "huggingface_hub: check the path, or install it (pip install huggingface_hub)"
        ) from None
    try:
        folder = huggingface_hub.snapshot_download(
            match["name"],
            revision=match["revision"],
            allow_patterns=[SETTINGS, WEIGHTS, CARD],
        )
    except Exception as error:  # The library's errors and its HTTP client's are many.
        reason = _reason(error)
        raise WeightsError(
            f"{name} {where}could not be fetched from the Hugging Face Hub: {reason}"
        ) from error
    path = Path(folder)
    for file in (WEIGHTS, SETTINGS):
        if not (path / file).is_file():
            raise WeightsError(
                f"{name} on the Hugging Face Hub is no bundle of uvim-fsq: it has no {file}"
            )
    return path


def cached_name(folder: Path) -> str | None:
    """NAME of the repository whose snapshot in the library's cache this is; None for others."""
    # The library's layout: models--OWNER--NAME/snapshots/COMMIT.
    kind, _, name = folder.parent.parent.name.partition("--")
    if (kind, folder.parent.name) != ("models", "snapshots"):
        return None
    return name.partition("--")[2] or None


def _reason(error: Exception) -> str:
    """The hint for an error, by its class or the nearest above; else its first line."""
    for kind in type(error).__mro__:
        if kind.__name__ in _HINTS:
            return _HINTS[kind.__name__]
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}; check the name and the network"

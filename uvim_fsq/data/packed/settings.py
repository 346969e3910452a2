"""Settings of packed folders."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.data.settings import FolderSettings


@dataclass(frozen=True)
class RecordsConfig(FolderSettings):
    """A folder packed into ArrayRecord by `scripts/prepare_data.py pack`."""

    kind: ClassVar[str] = "records"
    labels: ClassVar[frozenset[str]] = frozenset({"depth", "panoptic", "segments"})
    contents: ClassVar[str] = "packed examples"
    layout: ClassVar[str] = (
        " in ArrayRecord, as `python scripts/prepare_data.py pack` writes it"
    )

    def read(self, path, split):
        """Examples as they were packed."""
        from uvim_fsq.data.packed.source import Records

        return Records(path, split)

"""Whether scores that stand side by side are of the same pictures and settings."""

from collections.abc import Mapping, Sequence
from typing import Any


def mixed_notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on what the scores of records do not have in common; none if they are alike."""
    notes = []
    scored = {(record.get("pictures"), record.get("part")) for record in records}
    digests = {(record.get("data") or {}).get("scored") for record in records}
    known = sorted(digest for digest in digests if digest)
    listed = [f"{count} of {part}" for count, part in sorted(scored, key=str)]
    if len(scored) == 1 < len(known):
        listed = [f"{listed[0]}, fingerprints {' and '.join(known)}"]
    if len(scored) > 1 or len(known) > 1:
        listing = ", ".join(listed)
        notes.append(f"scored on different pictures ({listing}): compare with care")
    elif known and None in digests:
        notes.append("some scores do not say which pictures they are of")
    if differing := _differing([r["settings"] for r in records if r.get("settings")]):
        notes.append(f"scored with different settings ({differing})")
    return notes


def _differing(settings: Sequence[Mapping[str, Any]]) -> str:
    """The settings that have several values, with these."""
    names = dict.fromkeys(name for each in settings for name in each)
    values = {
        name: sorted({str(each.get(name)) for each in settings}) for name in names
    }
    return "; ".join(
        f"{name} {' and '.join(found)}"
        for name, found in values.items()
        if len(found) > 1
    )

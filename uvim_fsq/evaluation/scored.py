"""What scores are of, and where they are kept by that."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.data.fingerprint import Fingerprint, fingerprint
from uvim_fsq.data.settings import DataConfig
from uvim_fsq.evaluation.scores import read_scores
from uvim_fsq.runs.data import read_noted
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.held import HeldModel
from uvim_fsq.runs.model import Trained
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import EvaluationConfig

_CHANGE_NO_SCORE = ("batch_size", "inception", "reference_folder", "reference_list")
"""Settings of an evaluation: those of FID add scores, and change no other."""


@dataclass(frozen=True)
class Scored:
    """What scores are of.

    Attributes:
      part: of the data.
      data: all examples of the part.
      pictures: those of them that are scored.
      seeds: of the stages; None for a stage that is not scored, or not known.
      label: what people call the data.
      settings: of the evaluation, without what changes no score and where the list lies.
      apart: why these are not the scores that a model is known by, one word or two each.
    """

    part: str
    data: Fingerprint
    pictures: Fingerprint
    label: Mapping[str, str]
    seeds: Mapping[str, int | None]
    settings: Mapping[str, Any]
    apart: Sequence[str]

    def record(self) -> dict[str, Any]:
        """For `scores.json`; `data.scored` is the digest of what was scored."""
        return {
            "part": self.part,
            "pictures": self.pictures.count,
            "data": {
                **self.label,
                "count": self.data.count,
                "digest": self.data.digest,
                "scored": self.pictures.digest,
                "own": "data" not in self.apart,
            },
            "seeds": dict(self.seeds),
            "settings": dict(self.settings),
        }

    def _settings_digest(self) -> str:
        """Of the list of pictures it is its content that counts."""
        return as_json.fingerprint(dict(self.settings), self.pictures.digest)[:8]

    def folder(self, first: Path, *, stage1_only: bool) -> Path:
        """Where these scores go if nobody says: `first`, or beside it what is kept apart."""
        end = "" if self.part == "test" else f"_{self.part}"
        end += "_stage1" if stage1_only else ""
        ends = {
            "seed": f"_seed_{self.seeds['stage2']}",
            "data": f"_data_{self.data.digest[:8]}",
            "settings": f"_settings_{self._settings_digest()}",
        }
        end += "".join(ends[reason] for reason in self.apart)
        return first.with_name(first.name + end)


def what_is_scored(
    trained: Trained,
    held: HeldModel,
    data: DataConfig,
    evaluation: EvaluationConfig,
    source: Source,
    chosen: Sequence[int],
    part: str,
) -> Scored:
    """What the scores of a model are of, with these settings and pictures of a source."""
    whole = fingerprint(source)
    pictures = whole
    if list(chosen) != list(range(whole.count)):
        pictures = Fingerprint([whole.lines[index] for index in chosen])
    settings, own = (
        {k: v for k, v in dataclasses.asdict(each).items() if k not in _CHANGE_NO_SCORE}
        for each in (evaluation, trained.config.evaluation)
    )
    differ = settings != own
    settings["list"] = Path(settings["list"]).name
    stage2 = held.held.get("stage2")
    seed = None if stage2 is None else stage2.record.get("seed")
    seeds = RunDirectory(trained.path).stage2_seeds()
    reasons = {
        "seed": seed is not None and seeds[:1] not in ([], [seed]),
        "data": not _are_own(trained, part, whole, same=data == trained.config.data),
        "settings": differ,
    }
    return Scored(
        part,
        whole,
        pictures,
        _label(data, part),
        {"stage1": trained.config.seed, "stage2": seed},
        settings,
        [reason for reason, holds in reasons.items() if holds],
    )


def _are_own(trained: Trained, part: str, found: Fingerprint, *, same: bool) -> bool:
    """Whether the data are the model's own, as far as its run tells, wherever they lie.

    With the same settings (`same`) they are, unless the run has noted others: files come and go.
    """
    noted = read_noted(RunDirectory(trained.path)) or {"parts": {}}
    own = trained.config.data
    trained_on = part
    if part == "test" and not getattr(own, "evaluation_path", ""):
        trained_on = part if part in own.distinct_parts() else "validation"
    known = [noted["parts"].get(trained_on, {}).get("digest")]
    if same and known == [None]:
        return True
    end = "" if part == "test" else f"_{part}"
    for scores in (
        read_scores(trained.path / f"evaluation{end}"),
        trained.details().get("scores"),
    ):
        if scores and scores.get("part") == part:
            known.append(scores.get("data", {}).get("digest"))
    return found.digest in known


def _label(data: DataConfig, part: str) -> dict[str, str]:
    """What people call the data: their kind and the last part of their path."""
    return {"kind": data.kind, "name": data.name_of(part)}

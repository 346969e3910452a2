"""Writes bundles: self-contained models that are kept and shared.

What a bundle says of the machine it was written on is its versions of this package and of JAX.
Its settings are those of training, but for what is a place there: of folders and files of data and
of weights the last part of the path is kept, which tells a person what it was and lets nobody find
it; the folder of the run, the files that FID needs and the number of threads are left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

import uvim_fsq
from uvim_fsq.fields import replace
from uvim_fsq.runs.from_bundle import expected_variables
from uvim_fsq.runs.held import HeldModel, hold
from uvim_fsq.runs.open import Trained, open_trained
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.share.card import model_card
from uvim_fsq.types import Tree
from uvim_fsq.weights import bundle

_NAMED = ("path", "evaluation_path", "data_dir", "categories", "list")
_EMPTIED = ("inception", "reference_folder", "reference_list")
_ADDRESS = re.compile(r"(gs|hf)://.*")
_PATH = re.compile(r"(?<![\w/:.])(~|\.{0,2})/\S*/")
_VERSIONS = ("uvim_fsq", "jax")


def write_model(
    folder: Path,
    config: RunConfig,
    stages: Mapping[str, Tree],
    details: Mapping[str, Any],
) -> None:
    """Writes a model as a new bundle, whole or not at all.

    Settings and details lose what belongs to the machine (see the module), so that a run's can be
    given as they are.

    Args:
      folder: the bundle; must not be there.
      config: the settings of the run.
      stages: variables by stage, `{"stage1": {"params": ..., "codebook": ...}, "stage2": ...}`;
        stage II may be absent, and so may the codebook of FSQ.
      details: plain values, each optional: `steps` by stage; `scores`, the content of the
        `scores.json` of an evaluation; `codebook_usage`, a dict of `usage`, `indices`, `perplexity`;
        `source`, a sentence on where the weights come from; `versions` of what trained them.

    Raises:
      WeightsError: if the folder is there, or the variables do not fit the settings.
    """
    for name, variables in stages.items():
        bundle.fitted(folder, name, variables, expected_variables(config, name))
    config, details = shareable(config), _shareable_details(details)
    counts = {name: parameter_count(stage) for name, stage in stages.items()}
    bundle.write(
        folder,
        bundle.Bundle(stages, details),
        as_json.dumps(config),
        model_card(config, details, counts, folder.name),
    )


def save_bundle(
    model: str | Path | Trained, folder: str | Path, seed: int | None = None
) -> HeldModel:
    """Writes a trained model as a new bundle, with stage I alone if there is no stage II.

    Of a run the bundle takes the checkpoints that its settings choose, and the scores of its last
    evaluation if they are of these; of a bundle all that is known of it.

    Args:
      model: a run directory, a bundle, OWNER/NAME on the Hugging Face Hub, or such a model opened.
      folder: the bundle; must not be there.
      seed: of stage II, if the run has several; the first by default.

    Returns:
      What was written, in memory.

    Raises:
      ConfigError: if the model is not trained.
      WeightsError: if the folder is there, or the model is a bundle that cannot be read.
    """
    folder = Path(folder)
    bundle.check_free(folder)  # Before much is read.
    trained = open_trained(model) if isinstance(model, str | Path) else model
    held = trained if isinstance(trained, HeldModel) else hold(trained, seed)
    stages = {name: stage.variables for name, stage in held.held.items()}
    write_model(folder, held.config, stages, _details(held))
    return held


def _details(held: HeldModel) -> dict[str, Any]:
    records = {name: stage.record for name, stage in held.held.items()}
    details = dict(held.details())
    details["steps"] = {name: record["step"] for name, record in records.items()}
    if "seed" in records.get("stage2", {}):
        details["stage2_seed"] = records["stage2"]["seed"]
    details.setdefault("source", "Trained with uvim-fsq.")
    scores = details.get("scores") or {}
    if not _scores_are_of(scores, records):
        details.pop("scores", None)
    usage = {
        name.removeprefix("codebook_training/"): value
        for name, value in details.get("scores", {}).get("scores", {}).items()
        if name.startswith("codebook_training/")
    }
    if usage:
        details.setdefault("codebook_usage", usage)
    return details


def _scores_are_of(
    scores: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether scores are of these stages, by their hashes; scores that do not say are believed."""
    found = scores.get("model", {})
    return all(
        record["hash"] == records.get(name, {}).get("hash")
        for name, record in found.items()
    )


def shareable(config: RunConfig) -> RunConfig:
    """The settings without places on this machine, see the module."""
    data = {
        f"data__{name}": _name(getattr(config.data, name))
        for name in _NAMED
        if hasattr(config.data, name)
    }
    return replace(
        config,
        **data,
        **{f"evaluation__{name}": "" for name in _EMPTIED},
        evaluation__list=_name(config.evaluation.list),
        stage2__pretrained_encoder=_name(config.stage2.pretrained_encoder),
        init_from=_name(config.init_from),
        output__directory="",
        loader_threads=0,
    )


def _name(path: str) -> str:
    """The last part of a path; addresses that are the same for everybody stay."""
    if _ADDRESS.fullmatch(path):
        return path
    name = re.split(r"[\\/]", path.split("?")[0].rstrip("\\/"))[-1]
    return "" if name in (".", "..", "~") else name


def _shareable_details(details: Mapping[str, Any]) -> dict[str, Any]:
    result = _without_places(dict(details))
    result["versions"] = _versions(
        details.get("versions", {"uvim_fsq": uvim_fsq.__version__})
    )
    if "source" in result:
        result["source"] = re.sub(_PATH, "", result["source"])
    scores = result.get("scores") or {}
    scores.pop("codebook_histogram", None)  # As long as the codebook is large.
    if "environment" in scores:
        scores["environment"] = _versions(scores["environment"])
    return result


def _without_places(value: Any) -> Any:
    """Plain values as `shareable` leaves settings, wherever among them settings are."""
    if isinstance(value, Mapping):
        return {name: _without_place(name, each) for name, each in value.items()}
    return value


def _without_place(name: str, value: Any) -> Any:
    if isinstance(value, str) and name in _NAMED:
        return _name(value)
    return "" if name in _EMPTIED else _without_places(value)


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: environment[name] for name in _VERSIONS if name in environment}


def summary(held: HeldModel) -> str:
    """One line on the stages of a model: their parameters, steps and seed."""
    titles = {"stage1": "stage I", "stage2": "stage II"}
    parts = []
    for name, stage in held.held.items():
        text = f"{titles[name]}, {parameter_count(stage.variables):,} parameters"
        if stage.record["step"] is not None:
            text += f", step {stage.record['step']}"
        if "seed" in stage.record:
            text += f", seed {stage.record['seed']}"
        parts.append(text)
    return "; ".join(parts)


def parameter_count(variables: Tree) -> int:
    """Of a stage; a codebook that is kept by running averages is none."""
    return sum(array.size for array in jax.tree.leaves(variables["params"]))

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
from uvim_fsq import config_json
from uvim_fsq.build.model_card import model_card
from uvim_fsq.build.trained import expected_variables
from uvim_fsq.config import RunConfig, replace
from uvim_fsq.types import Tree
from uvim_fsq.weights import bundle

_EMPTIED = ("inception", "reference_folder", "reference_list")
_ADDRESS = re.compile(r"(gs|hf)://.*")
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
    counts = {
        name: sum(x.size for x in jax.tree.leaves(variables["params"]))
        for name, variables in stages.items()
    }
    bundle.write(
        folder,
        bundle.Bundle(stages, details),
        config_json.dumps(config),
        model_card(config, details, counts, folder.name),
    )


def shareable(config: RunConfig) -> RunConfig:
    """The settings without places on this machine, see the module."""
    data = {
        f"data__{name}": _name(getattr(config.data, name))
        for name in ("path", "evaluation_path", "data_dir", "categories")
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
    result = dict(details)
    result.setdefault("versions", {"uvim_fsq": uvim_fsq.__version__})
    result["versions"] = _versions(result["versions"])
    if "source" in result:
        result["source"] = re.sub(r"(?<![\w/:])[~/]\S*/", "", result["source"])
    if result.get("scores"):
        scores = dict(result["scores"])
        evaluation = dict(scores.get("evaluation", {}))
        for name in (*_EMPTIED, "list"):
            if name in evaluation:
                evaluation[name] = _name(evaluation[name])
        scores |= {"evaluation": evaluation}
        if "environment" in scores:
            scores["environment"] = _versions(scores["environment"])
        result["scores"] = scores
    return result


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: environment[name] for name in _VERSIONS if name in environment}

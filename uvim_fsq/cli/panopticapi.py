"""COCO's own program for panoptic quality, panopticapi, installed or from a checkout of its code."""

import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError

GROUPS = {"": "All", "_things": "Things", "_stuff": "Stuff"}
"""Our ending of a score's name, and their title of the group."""

KINDS = ("pq", "sq", "rq")
_ADDRESS = "https://github.com/cocodataset/panopticapi"


class CrossCheckError(RuntimeError):
    """Another program computes other scores, or none."""

    exit_code = 1


def find_pq_compute(checkout: str = "") -> Callable[..., Mapping[str, Any]]:
    """The program's function, of a checkout or, without one, of the installed package.

    Raises `ConfigError` where it is not, or cannot be imported.
    """
    if checkout:
        place = _checkout(Path(checkout).expanduser())
        for name in ("panopticapi.evaluation", "panopticapi.utils", "panopticapi"):
            sys.modules.pop(name, None)  # of another place
        # Stays there: the program starts processes, which import it again.
        sys.path.insert(0, str(place))
    try:
        return importlib.import_module("panopticapi.evaluation").pq_compute
    except ImportError as error:
        if checkout or (error.name or "panopticapi").partition(".")[0] != "panopticapi":
            raise ConfigError(f"panopticapi cannot be imported: {error}") from error
        raise ConfigError(
            "--cross-check needs COCO's own program, which is not installed here: name a folder "
            f"with its code, as in --cross-check panopticapi after git clone {_ADDRESS}, or "
            f"pip install git+{_ADDRESS}.git"
        ) from error
    except (AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"panopticapi is not the program that is known here: {error}"
        ) from error


def their_scores(
    pq_compute: Callable[..., Mapping[str, Any]],
    files: tuple[str | None, ...],
    categories: Any,
) -> dict[str, float]:
    """The other program's result, 0 to 1, under our names and in percent.

    What it prints is not shown. Raises `CrossCheckError` where it fails.
    """
    try:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            found = pq_compute(*files)
    except ZeroDivisionError as error:
        raise CrossCheckError(
            "panopticapi cannot score a set in which no things, or no stuff, occur"
        ) from error
    except Exception as error:  # Whatever it stumbles over: it checks little itself.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CrossCheckError(
            f"panopticapi cannot score these files ({reason}): it needs plain RGB PNGs, whole "
            "numbers, and `area` and `iscrowd` of every segment of the ground truth"
        ) from error
    scores = {}
    for group, title in GROUPS.items():
        scores |= {f"{kind}{group}": 100 * found[title][kind] for kind in KINDS}
        scores[f"classes{group}"] = found[title]["n"]
    for category in categories:
        for kind in KINDS:
            value = found["per_class"][category.id][kind]
            scores[f"{kind}_class/{category.name}"] = 100 * value
    return scores


def _checkout(folder: Path) -> Path:
    """The folder that the package is in: the one given, or what it is in if that is the package."""
    for place in (folder, folder.absolute().parent):
        package = place / "panopticapi"
        inside = place == folder or folder.name == "panopticapi"
        if inside and (package / "evaluation.py").is_file():
            return place.absolute()
    raise ConfigError(
        f"{folder} is no checkout of panopticapi: expected panopticapi/evaluation.py in it, as after "
        f"git clone {_ADDRESS}"
    )

"""Which image and which depth map belong together, by their names.

A depth map is what lies in a folder or has a name with the word `depth`, or is a file of NumPy's, PFM or
EXR; every other image is one. The two belong together whose paths are the same once the folder that
says which of both it is (`rgb/`, `images/`, `depth/`, ...) and the ending are taken away. Where that
leaves files alone, words for image and depth are taken out of their names too (`rgb_00000` and
`sync_depth_00000`, `a_rgb` and `a_depth`), in whatever case.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from uvim_fsq.data.depth_files import DEPTH_SUFFIXES, ONLY_DEPTH_SUFFIXES
from uvim_fsq.data.images import PICTURE_SUFFIXES
from uvim_fsq.data.listing import Listing, first_names, list_files

_IMAGE_WORDS = frozenset(
    "rgb rgbs color colors colour colours image images img imgs photo photos picture pictures".split()
)
_DEPTH_WORDS = frozenset("depth depths depthmap depthmaps".split())
_FILLERS = frozenset(
    "sync map maps raw gt groundtruth ground truth frame frames".split()
)
_SAID = _IMAGE_WORDS | _DEPTH_WORDS | _FILLERS
_OTHER_WORDS = frozenset(
    "mask masks vis viz visualization colored coloured colormap preview confidence conf "
    "uncertainty normal normals intrinsics".split()
)
"""Of files that have to do with depth and are none; so is `depth` with a word for images."""

_WORD = re.compile(r"[^\W\d_]+|\d+")

Files = dict[PurePosixPath, Path]
"""Files by their path below the dataset's folder."""


@dataclass
class Pairs:
    """Images with their depth maps, by id, and what is wrong.

    Attributes:
      files: image and depth map by id: the path without the folder that says which it is.
      problems: sentences on what has no partner, or several.
      found: how many images and depth maps there are, and the first of them; empty for none at all.
    """

    files: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    found: str = ""


def words(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, in lower case.

    >>> words("Sync_depth-00012")
    ('sync', 'depth', '00012')
    """
    return tuple(_WORD.findall(name.lower()))


def find_pairs(part: Path) -> Pairs:
    """The images and depth maps below a folder; `rgb/` and `depth/` in it are all, if there are both."""
    listing = _list(part)
    images, depths = _by_role(listing)
    listing.say()
    pairs = Pairs(problems=listing.problems)
    if images or depths:
        pairs.found = f"{_named(images, 'image')} and {_named(depths, 'depth map')}"
    for name_of in (_without_folder, _without_words):
        images, depths = _match(images, depths, name_of, pairs)
    pairs.problems += [f"{f}: no depth map has its name" for f in images.values()]
    pairs.problems += [f"{f}: no image has its name" for f in depths.values()]
    pairs.files = {name: pairs.files[name] for name in sorted(pairs.files)}
    return pairs


def role_folders(folder: Path) -> tuple[Path, Path] | None:
    """`rgb/` and `depth/` in a folder, in whatever case; None unless there are both."""
    found = {e.name.lower(): e for e in sorted(folder.iterdir()) if e.is_dir()}
    rgb, depth = found.get("rgb"), found.get("depth")
    return (rgb, depth) if rgb and depth else None


def _list(part: Path) -> Listing:
    both = role_folders(part)
    if both is None:
        return list_files(part, {*PICTURE_SUFFIXES, *DEPTH_SUFFIXES})
    whole = Listing(part, {})
    for folder, kinds in zip(both, (PICTURE_SUFFIXES, DEPTH_SUFFIXES), strict=True):
        listing = list_files(folder, kinds)
        name = folder.name.lower()
        whole.files.update({name / below: f for below, f in listing.files.items()})
        whole.passed.update({f"{k} in {name}/": n for k, n in listing.passed.items()})
        whole.problems.extend(listing.problems)
    return whole


def _by_role(listing: Listing) -> tuple[Files, Files]:
    """The images and the depth maps; what is neither is counted as passed by."""
    images: Files = {}
    depths: Files = {}
    named: Files = {}
    for below, file in listing.files.items():
        role = _role(below)
        if role == "depth":
            depths[below] = file
        elif role == "image":
            images[below] = file
            if _IMAGE_WORDS.intersection(_words_of_path(below)):
                named[below] = file
        else:
            listing.passed[f"named with {role}"] += 1
    if named and len(named) < len(images):
        others = len(images) - len(named)
        listing.passed["images without rgb, color or image in their path"] += others
        images = named
    return images, depths


def _role(below: PurePosixPath) -> str:
    """ "image" or "depth", or the word that says that a file is neither."""
    suffix = below.suffix.lower()
    first = below.parts[0].lower()
    if len(below.parts) > 1 and first in ("rgb", "depth"):
        return "image" if first == "rgb" else "depth"  # whatever lies in there
    in_path = _words_of_path(below)
    if not (_DEPTH_WORDS & set(in_path) or suffix in ONLY_DEPTH_SUFFIXES):
        return "image" if suffix in PICTURE_SUFFIXES else suffix
    in_name = words(below.stem)
    odd = [word for word in in_path if word in _OTHER_WORDS]
    if _DEPTH_WORDS & set(in_name):
        odd += [word for word in in_name if word in ("color", "colour")]
    if odd or suffix not in DEPTH_SUFFIXES:
        return odd[0] if odd else f"depth and the ending {suffix}"
    return "depth"


def _words_of_path(below: PurePosixPath) -> list[str]:
    return [word for part in below.with_suffix("").parts for word in words(part)]


def _match(
    images: Files, depths: Files, name_of: Callable[..., str], pairs: Pairs
) -> tuple[Files, Files]:
    """Add the pairs of one name to `pairs`; return what is left of both."""
    named: list[dict[str, PurePosixPath]] = []
    left: list[Files] = []
    for files, own in ((images, _IMAGE_WORDS), (depths, _DEPTH_WORDS)):
        chosen: dict[str, PurePosixPath] = {}
        alone = dict(files)
        for below in files:
            name = name_of(below, own)
            if name in chosen or name in pairs.files:
                other = files[chosen[name]].name if name in chosen else "taken already"
                pairs.problems.append(
                    f"{files[below]}: another file, {other}, has its name; keep one"
                )
                del alone[below]
            else:
                chosen[name] = below
        named.append(chosen)
        left.append(alone)
    for name in named[0].keys() & named[1].keys():
        image, depth = named[0][name], named[1][name]
        pairs.files[name] = (left[0].pop(image), left[1].pop(depth))
    return left[0], left[1]


def _without_folder(below: PurePosixPath, own: frozenset[str]) -> str:
    """The path without its ending and the folder that is named for what lies in it."""
    folders, stem = below.parts[:-1], os.path.splitext(below.name)[0]
    roles = [
        number
        for number, folder in enumerate(folders)
        if own & set(words(folder)) and set(words(folder)) <= own | _FILLERS
    ]
    if roles:
        drop = 0 if roles[0] == 0 else roles[-1]
        folders = folders[:drop] + folders[drop + 1 :]
    return "/".join((*folders, stem))


def _without_words(below: PurePosixPath, own: frozenset[str]) -> str:
    """The path without its ending and without words for what it is, anywhere in it."""
    del own
    parts = [
        "_".join(word for word in words(part) if word not in _SAID)
        for part in (*below.parts[:-1], os.path.splitext(below.name)[0])
    ]
    return "/".join(filter(None, parts)) or "frame"


def _named(files: Files, what: str) -> str:
    shown = f" ({first_names(files, 3)})" if files else ""
    return f"{len(files)} {what}{'' if len(files) == 1 else 's'}{shown}"

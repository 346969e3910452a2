"""Stage II's image encoder from a published ViT."""

from pathlib import Path

import flax.traverse_util
import jax.numpy as jnp

from uvim_fsq.errors import WeightsError
from uvim_fsq.fields import Size
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.settings import UvimSettings
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.types import Tree
from uvim_fsq.weights import vit
from uvim_fsq.weights.fetch import local_file

_SIZES = ("patch_size", "width", "encoder_depth", "mlp_width", "num_heads")


def check_pretrained(config: UvimSettings) -> None:
    """Finds out whether stage II can start from the ViT that the settings name, if they name one.

    Fetches the file, if it is not here yet, and reads the headers of its arrays.

    Raises:
      WeightsError: if it cannot.
    """
    if source := config.stage2.pretrained_encoder:
        _fitting(local_file(source), build.build_stage2(config))


def with_pretrained_encoder(
    params: Tree, model: Stage2Model, source: str
) -> tuple[Tree, list[str]]:
    """Stage II's parameters with the image encoder of a ViT, and in words what that was.

    The patch embedding, the layers and the last norm are the ViT's; so are the position
    embeddings, resampled to the model's grid, if the model's are learned. All else stays. Not to be
    called while JAX traces: the arrays would become constants of the program.

    Args:
      params: from `init_stage2(...)["params"]`.
      model: the model they belong to.
      source: path or address of the ViT's `.npz` file.

    Raises:
      WeightsError: if the file cannot be had or read, or is of other sizes than the model.
    """
    path = local_file(source)
    layout = _fitting(path, model)
    arrays = vit.read(path, layout)
    left_out, positions = list(layout.left_out), ""
    if layout.grid is not None and model.positions == "learned":
        grid = grid_size(model.image_size, model.patch_size)
        arrays[vit.POSITIONS] = vit.resample(arrays[vit.POSITIONS], layout.grid, grid)
        positions = " and positions"
        if grid != layout.grid:
            positions += f" (resampled {_by(layout.grid)} -> {_by(grid)})"
    elif arrays.pop(vit.POSITIONS, None) is not None:
        left_out.append("positions (the model's are sines and cosines)")
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    flat |= {name: jnp.asarray(array) for name, array in arrays.items()}
    layers = (
        "1 layer" if layout.encoder_depth == 1 else f"{layout.encoder_depth} layers"
    )
    line = f"image encoder: {layers}, patches{positions} from {source}"
    if left_out:
        line += f"; left out: {', '.join(left_out)}"
    return flax.traverse_util.unflatten_dict(flat, sep="/"), [line]


def _fitting(path: Path, model: Stage2Model) -> vit.VitLayout:
    """The layout of a ViT that has the model's sizes."""
    layout = vit.layout(path)
    faults, settings = [], []
    for name in _SIZES:
        expected, found = getattr(model, name), getattr(layout, name)
        if tuple(expected) != found if name == "patch_size" else expected != found:
            faults.append(f"{name} {_value(expected)}, found {_value(found)}")
            value = _value(found).replace(" x ", " ")
            settings.append(f"--stage2.model.{name.replace('_', '-')} {value}")
    if faults:
        raise WeightsError(
            f"{path} is a ViT of other sizes than stage II's image encoder: expected "
            f"{'; '.join(faults)}: choose another ViT, or set {' '.join(settings)}"
        )
    if layout.grid is None and model.positions == "learned":
        raise WeightsError(
            f"{path} holds no position embeddings, as stage II's image encoder expects them: "
            "choose another ViT, or set --stage2.model.positions sincos2d if its positions are "
            "sines and cosines"
        )
    return layout


def _value(value: int | Size) -> str:
    return str(value) if isinstance(value, int) else _by(value)


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"

"""What joins the stages' losses to the models: the codebook's update, the frozen encoder."""

from collections.abc import Callable
from typing import Any

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import split_planes
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.training.step import UpdateCollections


def codebook_update(model: Stage1Model) -> UpdateCollections:
    """Moves the codebook by a step's statistics; nothing for a bottleneck without one."""

    def update_collections(collections, statistics, key):
        if not collections:
            return collections
        codebook = model.quantizer.update(
            collections["codebook"]["quantizer"], statistics, key
        )
        return {"codebook": {"quantizer": codebook}}

    return update_collections


def target_encoder(model: Stage1Model) -> Callable[..., Any]:
    """`(variables, batch) -> indices` (b n): the guiding codes of a batch's targets."""

    def encode_target(variables, batch):
        planes = split_planes(batch["planes"], model.channels)
        image = scale_image(batch["image"])
        return model.apply(variables, planes, image, method="encode")

    return encode_target

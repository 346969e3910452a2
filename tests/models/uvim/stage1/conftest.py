"""The published stage-I variants of the reference arrays, as models of this package."""

import json

import jax
import jax.numpy as jnp
import pytest

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.quantizers import VQ
from uvim_fsq.weights.big_vision.names import STAGE1_NAMES, read_npz, translate


def build_model(config: dict, **changes) -> Stage1Model:
    width = config["width"]
    settings = dict(
        channels={
            name: classes for name, (classes, _) in sorted(config["outputs"].items())
        },
        quantizer=VQ(config["dict_size"], config["codeword_dim"] or width),
        image_size=tuple(config["input_size"]),
        patch_size=tuple(config["patch_size"]),
        width=width,
        encoder_depth=config["enc_depth"],
        decoder_depth=config["dec_depth"],
        mlp_width=config["mlp_dim"] or 4 * width,
        num_heads=config["num_heads"],
        code_length=config["code_len"],
        encoder_context=config["with_encoder_ctx"],
        decoder_context=config["with_decoder_ctx"],
        resize="linear" if config["bottleneck_resize"] else "learned",
        positions=config.get("posemb", "learned"),
    )
    return Stage1Model(**(settings | changes))


def label_planes(task: str, labels, minimum=0.001, maximum=10.0, bins=10):
    """The channels of a case's labels."""
    if task == "panoptic":
        return {"instances": labels[..., 1], "semantics": labels[..., 0]}
    if task == "colorization":
        return {"color": labels}
    factor = jnp.float32(1 / (maximum - minimum))
    scaled = (labels[..., 0] - jnp.float32(minimum)) * factor
    return {"depth": jnp.clip(jnp.floor(scaled * bins), 0, bins - 1).astype(jnp.int32)}


@pytest.fixture(scope="session")
def published(golden, golden_path):
    """`published("panoptic") -> (model, variables, arrays, planes)`."""

    def load(name: str, **changes):
        config = json.loads(golden_path("stage1/configs.json").read_text())[name]
        model = build_model(config["model"], **changes)
        arrays = {k: jnp.asarray(v) for k, v in golden(f"stage1/{name}.npz").items()}
        planes = label_planes(config["task"], arrays["in/labels"])
        expected = jax.eval_shape(
            lambda: model.init(
                jax.random.key(0), planes, arrays["in/image"], method="reconstruct"
            )
        )
        file = read_npz(golden_path(f"stage1/{name}_ckpt.npz"))
        variables = jax.tree.map(jnp.asarray, translate(file, STAGE1_NAMES, expected))
        return model, variables, arrays, planes

    return load

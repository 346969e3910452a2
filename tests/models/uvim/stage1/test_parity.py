"""Stage I against the public code: codes, logits, losses, gradients, code dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.models.uvim.stage1.code_dropout import code_dropout_mask
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.quantizers.vq import standardize

# The public code's own eager and jitted logits differ by up to 1.5e-5.
TOLERANCE = 5e-5
VARIANTS = ["panoptic", "depth_noctx", "color", "panoptic_noresize"]


@pytest.fixture(scope="module", params=VARIANTS)
def case(request, published):
    return published(request.param)


def outputs_close(outputs, arrays, prefix):
    names = [name for name in arrays if name.startswith(prefix)]
    assert len(names) == len(outputs)
    for name in names:
        np.testing.assert_allclose(
            outputs[name.removeprefix(prefix)], arrays[name], atol=TOLERANCE
        )


def test_encoding(case):
    model, variables, arrays, planes = case
    z = model.apply(variables, planes, arrays["in/image"], method="latent")
    np.testing.assert_allclose(standardize(z), arrays["out/bottleneck"], atol=TOLERANCE)
    indices = model.apply(variables, planes, arrays["in/image"], method="encode")
    assert arrays["out/code_margin"].min() > 1e-3
    np.testing.assert_array_equal(indices, arrays["out/code"])


def test_reconstruction(case):
    model, variables, arrays, planes = case
    outputs = model.apply(variables, planes, arrays["in/image"], method="reconstruct")
    outputs_close(outputs, arrays, "out/logits/")


@pytest.mark.parametrize(
    "given, prefix",
    [
        ("out/code", "out/decode_logits/"),
        ("in/random_code", "out/random_code_logits/"),
    ],
)
def test_decoding(case, given, prefix):
    model, variables, arrays, _ = case
    outputs = model.apply(variables, arrays[given], arrays["in/image"], method="decode")
    outputs_close(outputs, arrays, prefix)


def panoptic_loss(outputs, planes):
    return {
        name: softmax_cross_entropy(outputs[name], planes[name]) for name in outputs
    }


def batch_of(arrays, planes):
    stacked = jnp.stack([planes["instances"], planes["semantics"]], axis=-1)
    return {"image": arrays["in/image"], "planes": stacked}


@pytest.mark.parametrize("chunk_bytes", [10**9, 3 * 16 * 12 * 4 * 20])
@pytest.mark.parametrize("commitment", [0.0, 0.25])
def test_loss_and_gradients(published, golden, scan_lengths, chunk_bytes, commitment):
    """In one piece and in chunks of 16 pixels; gradients of every parameter."""
    model, variables, arrays, planes = published("panoptic", code_dropout="none")
    model = model.clone(quantizer=model.quantizer.clone(commitment_weight=commitment))
    expected = {
        name.removeprefix(f"full_commit{commitment}/"): array
        for name, array in golden("stage1/gradient.npz").items()
        if name.startswith(f"full_commit{commitment}/")
    }
    loss_function = stage1_loss(
        model, panoptic_loss, chunk_bytes=chunk_bytes, train=False
    )
    params, collections = variables["params"], {"codebook": variables["codebook"]}

    def loss(params):
        return loss_function(params, collections, {}, batch_of(arrays, planes), None)

    gradient_function = jax.value_and_grad(loss, has_aux=True)
    chunks = np.prod(model.patch_size) // 16
    in_chunks = chunks in scan_lengths(gradient_function, params)
    assert in_chunks == (chunk_bytes < 10**9)
    (value, (_, metrics)), gradient = jax.jit(gradient_function)(params)
    np.testing.assert_allclose(value, expected["loss"], rtol=1e-5)
    for name in ("loss_instances", "loss_semantics"):
        np.testing.assert_allclose(metrics[name], expected[f"logs/{name}"], rtol=1e-5)
    norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(norm, expected["grad_global_norm"], rtol=1e-5)
    grads = {
        k.removeprefix("grad/"): v for k, v in expected.items() if k.startswith("grad/")
    }
    ours = flat_published_names(gradient)
    assert set(grads) <= set(ours)
    for name, reference in grads.items():
        np.testing.assert_allclose(
            ours[name], reference, atol=3e-6, rtol=2e-4, err_msg=name
        )


def flat_published_names(tree) -> dict[str, np.ndarray]:
    """A few renamings suffice to name this package's gradients as the reference does."""
    names = {
        "encoder_image": "ctx_enc_embedding",
        "decoder_image": "ctx_dec_embedding",
        "to_code": "encoder_head",
        "from_code": "decoder_stem",
        "attention_norm": "LayerNorm_0",
        "mlp_norm": "LayerNorm_1",
        "attention": "MultiHeadDotProductAttention_0",
        "mlp": "MlpBlock_0",
        "expand": "Dense_0",
        "contract": "Dense_1",
    }
    flat = {}
    for path, array in jax.tree_util.tree_leaves_with_path(tree):
        keys = [entry.key for entry in path]
        if keys[0].endswith("_positions"):
            flat["pos_embedding_" + keys[0].split("_")[0]] = array[None]
        elif keys[1] == "layers":
            for i, layer in enumerate(array):
                rest = [names.get(key, key) for key in keys[2:]]
                flat["/".join([keys[0], f"encoderblock_{i}", *rest])] = layer
        elif keys[1] == "norm":
            flat["/".join([keys[0], "encoder_norm", keys[2]])] = array
        else:
            flat["/".join(names.get(key, key) for key in keys)] = array
    return flat


@pytest.mark.parametrize("kind", ["random", "ordered"])
def test_code_dropout(published, golden, kind):
    arrays = {
        name.removeprefix(f"{kind}/"): array
        for name, array in golden("stage1/code_dropout.npz").items()
        if name.startswith((f"{kind}/", "in/"))
    }
    mask = code_dropout_mask(
        kind,
        *arrays["mask"].shape,
        jnp.asarray(arrays["key_threshold"]),
        jnp.asarray(arrays["key_permutation"]),
    )
    np.testing.assert_array_equal(mask, arrays["mask"])
    model, variables, case, _ = published("panoptic")

    def decode(model):
        codes = model.quantizer.indices_to_codes(jnp.asarray(arrays["in/code"]))
        codes = jnp.where(mask[..., None], codes, 0.0)
        return model.outputs(model.decode_tokens(codes, case["in/image"]))

    outputs = model.apply(variables, method=decode)
    outputs_close(outputs, arrays, "logits/")


def test_code_dropout_keeps_a_uniform_number_of_positions():
    key = jax.random.split(jax.random.key(1), 2)
    kept = code_dropout_mask("random", 20_000, 3, key[0], key[1])
    share = np.bincount(np.asarray(kept.sum(-1)), minlength=4) / 20_000
    np.testing.assert_allclose(share, 0.25, atol=0.02)
    np.testing.assert_allclose(kept.mean(0), 0.5, atol=0.02)

"""Whether cuDNN's attention can be used, said before anything is built."""

import jax
import jax.numpy as jnp
import pytest

from uvim_fsq.nn.attention import cudnn_refusal


@pytest.mark.parametrize(
    "head_size, dtype, message",
    [
        (64, jnp.float32, "it works in bfloat16 or float16, found float32"),
        (12, jnp.bfloat16, "its heads must have a multiple of 8 channels, found 12"),
    ],
)
def test_what_no_machine_can_do(head_size, dtype, message):
    assert cudnn_refusal(head_size, dtype) == message


def test_a_gpu_is_needed():
    if jax.default_backend() == "gpu":
        pytest.skip("there is one")
    message = cudnn_refusal(64, jnp.bfloat16)
    assert message == f"it needs an NVIDIA GPU, found {jax.devices()[0].device_kind}"


def test_what_the_library_says_is_passed_on_in_one_line(monkeypatch):
    """Only the name of the backend is changed: the library is asked, and is not there."""
    if jax.default_backend() == "gpu":
        assert cudnn_refusal(64, jnp.bfloat16) is None
        return
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    message = cudnn_refusal(64, jnp.float16)
    assert message is not None and message.startswith("it does not run here: ")
    assert len(message) > 25 and "\n" not in message

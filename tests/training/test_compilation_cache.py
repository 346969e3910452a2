import jax
import jax.numpy as jnp
import pytest

from uvim_fsq.training.compilation_cache import enable_compilation_cache


@pytest.fixture
def settings():
    """Puts JAX's cache back where the other tests have it."""
    directory = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", directory)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()


def test_even_small_programs_are_kept(tmp_path, monkeypatch, settings):
    from jax.experimental.compilation_cache import compilation_cache

    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path))
    compilation_cache.reset_cache()
    assert enable_compilation_cache() == tmp_path / "jax"
    assert not list((tmp_path / "jax").iterdir())
    jax.jit(lambda x: x * 3 + 1)(jnp.ones(7))
    assert list((tmp_path / "jax").iterdir())


def test_the_default_lies_in_the_home_directory(tmp_path, monkeypatch, settings):
    monkeypatch.delenv("UVIM_FSQ_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert enable_compilation_cache() == tmp_path / ".cache" / "uvim_fsq" / "jax"


def test_a_place_that_cannot_be_written_is_refused(tmp_path, settings):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/jax cannot be used: Not a directory"):
        enable_compilation_cache(tmp_path / "file" / "jax")

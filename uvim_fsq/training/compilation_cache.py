"""JAX's persistent compilation cache, so that a run started again compiles nothing."""

import os
from pathlib import Path

import jax


class CacheError(ValueError):
    """The folder of compiled programs cannot be used."""


def enable_compilation_cache(path: str | Path | None = None) -> Path:
    """Keeps compiled programs, however small, in `path`, and returns it.

    The default is `$UVIM_FSQ_CACHE/jax`, or `~/.cache/uvim_fsq/jax` without that
    variable. Raises ValueError if the directory cannot be made or written.
    """
    if path is None:
        root = os.environ.get("UVIM_FSQ_CACHE")
        path = (Path(root) if root else Path.home() / ".cache" / "uvim_fsq") / "jax"
    path = Path(path).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK | os.X_OK)
        reason = "it is not writable"
    except OSError as error:
        writable, reason = False, str(error.strerror)
    if not writable:
        raise CacheError(
            f"the cache directory {path} cannot be used: {reason}. Set UVIM_FSQ_CACHE "
            "to a directory that can be written."
        )
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return path

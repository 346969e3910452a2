"""UViM dense prediction with FSQ and VQ bottlenecks, in JAX."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvim_fsq.predictor import load

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # Late, because JAX takes seconds to import and not everything needs it.
    if name == "load":
        from uvim_fsq.predictor import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

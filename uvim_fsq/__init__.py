"""UViM dense prediction with FSQ and VQ bottlenecks, in JAX."""

__version__ = "0.1.0"

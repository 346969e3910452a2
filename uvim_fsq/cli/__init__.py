"""The command `uvim-fsq`."""

from uvim_fsq.cli.main import main

__all__ = ["main"]

"""`uvim_fsq.settings` under the name that it had in version 0.1, for configuration files of then."""

from uvim_fsq.settings import *  # noqa: F403

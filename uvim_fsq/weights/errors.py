"""What goes wrong with weights files."""


class WeightsError(ValueError):
    """A weights file that cannot be read or does not fit the model."""

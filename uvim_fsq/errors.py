"""The error of settings and options, apart from the settings themselves, which take time to import."""


class ConfigError(ValueError):
    """Settings that cannot be used: says what was expected, what was found and what to do."""

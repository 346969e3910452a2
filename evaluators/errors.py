"""What goes wrong with scoring, as an exception whose message is one sentence for the user."""


class ScoreError(ValueError):
    """References that nothing can be scored on: says what was expected, what was found, what to do."""

import io

import pytest

from uvim_fsq.training.progress import Progress, duration


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


def _show(file, times, steps, **more):
    clock = iter(times)
    with Progress(
        "stage", 100, file=file, clock=lambda: float(next(clock)), **more
    ) as line:
        for step in steps:
            line.scalars(
                step, {"train/loss": 1 / step, "train/images_per_second": 123.4}
            )
        line.scalars(steps[-1], {"validation/rmse": 0.25})
    return file.getvalue()


def test_plain_lines_every_so_often_and_at_the_end():
    times, steps = (0, 10, 31, 50, 60), (10, 20, 30, 40, 100)
    text = _show(io.StringIO(), times, steps, seconds=30)
    assert text.splitlines() == [
        "stage 10/100: loss 0.1, 123 images/s",
        "stage 30/100: loss 0.03333, 123 images/s, 1 min 48 s left",
        "stage 100/100: loss 0.01, 123 images/s, 0 s left",
        "stage 100: validation/rmse 0.25",
    ]


def test_a_terminal_gets_one_line_that_renews_itself(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    text = _show(Terminal(), (0, 10), (10, 20), first_step=5)
    assert "loss 0.05, 123 images/s, 1 min 20 s left" in text and "20/100" in text
    assert "validation/rmse 0.25" in text and "\x1b[" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7620, "2 h 07 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text

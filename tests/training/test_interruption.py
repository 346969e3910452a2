"""Real processes, really killed."""

import json
import signal


def _steps(process, count):
    """Reads the lines of `count` steps."""
    return [json.loads(process.stdout.readline())["step"] for _ in range(count)]


def test_killed_and_terminated_runs_end_with_the_bits_of_an_undisturbed_one(
    toy, start_toy, tmp_path
):
    average = ("--average", 0.5)
    process = start_toy(tmp_path / "run", "--pause", 0.2, *average)
    assert _steps(process, 3) == [1, 2, 3]
    process.send_signal(signal.SIGKILL)
    process.communicate()

    process = start_toy(tmp_path / "run", "--pause", 0.2, *average)
    first, second = _steps(process, 2)
    # The line comes before the checkpoint of its step.
    assert first in (2, 3, 4) and second == first + 1
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM: finishing this step and saving" in errors
    last = json.loads(output.splitlines()[-1])["step"] if output else second
    assert f"stopped by SIGTERM after step {last}" in errors

    process = start_toy(tmp_path / "run", *average)
    output, errors = process.communicate(timeout=600)
    lines = [json.loads(line) for line in output.splitlines()]
    assert process.returncode == 0, errors
    assert [line["step"] for line in lines[:-1]] == list(range(last + 1, 9))
    undisturbed = toy.train(tmp_path / "undisturbed", 8, average_decay=0.5)
    assert lines[-1]["digest"] == toy.digest(undisturbed)


def test_a_second_ctrl_c_leaves_at_once(start_toy, tmp_path):
    # Longer than the test waits: had it to end the step, it would not end in time.
    process = start_toy(tmp_path, "--pause", 3600)
    assert _steps(process, 1) == [1]
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    assert "once more leaves at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGINT

"""Kills a run and an experiment at random moments, starts them again, and compares the ends.

    python tests/soak/soak.py FOLDER --moments 50 --output docs/results/soak.json

The commands are those of a user, at the tiny size. Undisturbed ones are made first. Then folders are
made in which every start is ended by SIGKILL, SIGTERM or Ctrl-C at a moment drawn by `--seed` from
one of the phases below; the last start of a folder is left alone and has to end well. Checkpoints,
logs, scores and records must be those of the undisturbed folder, to the bit; no step may be logged
twice. It takes an hour of one core, and is not part of the tests.
"""

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZE = (
    *("--preset", "tiny", "--stage1.steps", "6", "--stage2.steps", "6"),
    *("--output.evaluate-every", "2", "--output.checkpoint-every", "3"),
    *("--output.log-every", "1", "--output.pictures", "1"),
    *("--evaluation.samples", "1", "--evaluation.batch-size", "2"),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDS = {0, *(128 + number for number in SIGNALS), *(-number for number in SIGNALS)}
"""Exit codes of a start that was ended: nothing but these may come. Before the program is read, and
after it has ended, Python itself is killed by the signal."""
STARTS = 60
"""More starts than any folder may need."""


def command(kind: str, folder: Path) -> list[str]:
    """What a user types."""
    program = [sys.executable, "-m", "uvim_fsq"]
    if kind == "run":
        words = ["train", "depth", "--variant", "vq", "--output.directory", str(folder)]
        return [*program, *words, *SIZE]
    words = ["experiment", "depth", "--only", "fsq", "--seeds", "1"]
    return [*program, *words, "--output", str(folder), *SIZE]


def stages(folder: Path) -> list[Path]:
    """The folders of all trainings below a run or an experiment."""
    found = [
        stage
        for run in (folder, *folder.glob("runs/*/*"))
        for stage in (run / "stage1", *run.glob("stage2/*"))
    ]
    return sorted(stage for stage in found if (stage / "checkpoints").is_dir())


def lines(stage: Path) -> list[dict[str, Any]]:
    """The log as far as it is written."""
    try:
        text = (stage / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return []
    whole = [line for line in text.split("\n")[:-1] if line]
    return [json.loads(line) for line in whole]


def _steps(folder: Path) -> int:
    return sum("train/loss" in line for s in stages(folder) for line in lines(s))


def _about_to_evaluate(folder: Path) -> int:
    """Counts logged steps at which an evaluation follows."""
    return sum(
        "train/loss" in line and line["step"] % 2 == 0
        for stage in stages(folder)
        for line in lines(stage)
    )


def _about_to_save(folder: Path) -> int:
    """Counts logged evaluations, after each of which the state is saved."""
    return sum("validation/loss" in line for s in stages(folder) for line in lines(s))


def _last_saved(folder: Path) -> int:
    return sum((stage / "checkpoints" / "6").exists() for stage in stages(folder))


def _trained(folder: Path) -> int:
    return sum((stage / "done.json").exists() for stage in stages(folder))


# What is counted; as soon as it is more than when the process began, the moment is near.
PHASES: dict[str, Callable[[Path], int] | None] = {
    "starting": None,
    "stepping": _steps,
    "evaluating": _about_to_evaluate,
    "saving": _about_to_save,
    "finishing": _last_saved,
    "scoring": _trained,
}
LATER = {"starting": 6.0, "scoring": 8.0, "saving": 0.2}
"""Seconds after that, at most; half a second in the other phases."""


@dataclass
class Tally:
    """What was done: ended starts by phase and signal, and all starts."""

    ended: Counter = field(default_factory=Counter)
    starts: int = 0
    most: int = 0


def start(kind: str, folder: Path, output: Path) -> subprocess.Popen:
    """One more time the same command."""
    with output.open("a") as file:
        return subprocess.Popen(command(kind, folder), stdout=file, stderr=file)


def ended(
    kind: str, folder: Path, phase: str, number: signal.Signals, chance: random.Random
) -> bool:
    """Starts, and sends the signal at the moment; False if the process was faster."""
    output = folder.with_suffix(".txt")
    count = PHASES[phase]
    before = count(folder) if count else 0
    process = start(kind, folder, output)
    later = chance.uniform(0, LATER.get(phase, 0.5))
    while count is not None and process.poll() is None and count(folder) <= before:
        before = min(before, count(folder))
        time.sleep(0.01)
    try:
        process.wait(later)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    code = process.wait(600)
    if code not in ENDS:
        raise SystemExit(f"{phase}, {number.name}: exit code {code}; see {output}")
    return code != 0


def disturb(
    kind: str,
    folder: Path,
    moments: Iterator[tuple[str, signal.Signals]],
    count: int,
    chance: random.Random,
    tally: Tally,
) -> None:
    """Ends so many starts in a folder, or until all is done; the last start is left alone."""
    starts = 0
    for phase, number in itertools.islice(moments, count):
        starts += 1
        if not ended(kind, folder, phase, number, chance):
            break
        tally.ended[phase, number.name] += 1
        print(f"{folder.name}: {phase}, {number.name}", flush=True)
    output = folder.with_suffix(".txt")
    for _ in range(2):  # Once to the end, once with nothing left to do.
        starts += 1
        code = start(kind, folder, output).wait(1200)
        if code:
            raise SystemExit(f"left alone it ends with {code}; see {output}")
    if starts > STARTS:
        raise SystemExit(f"{folder}: {starts} starts")
    tally.starts += starts
    tally.most = max(tally.most, starts)


def result(folder: Path) -> dict[str, Any]:
    """What must be the same: nothing of it depends on time."""
    from uvim_fsq.training.checkpoint import Checkpoints

    found: dict[str, Any] = {}
    for stage in stages(folder):
        name = str(stage.relative_to(folder))
        log = [
            {k: v for k, v in x.items() if "second" not in k and k != "time"}
            for x in lines(stage)
        ]
        steps = [x["step"] for x in log if "train/loss" in x]
        evaluated = [x["step"] for x in log if "validation/loss" in x]
        assert steps == [1, 2, 3, 4, 5, 6] and evaluated == [2, 4, 6], (name, log)
        done = json.loads((stage / "done.json").read_text())
        done.pop("seconds")
        with Checkpoints(stage / "checkpoints", read_only=True) as checkpoints:
            for step in {checkpoints.latest_step(), checkpoints.best_step()}:
                assert step is not None
                metadata = checkpoints.metadata(step)
                found[f"{name}/{step}"] = metadata, _hash(stage, step)
        found[name] = log, done
    for path in [*folder.rglob("scores.json"), *folder.glob("records/**/*.json")]:
        data = json.loads(path.read_text())
        found[str(path.relative_to(folder))] = data["scores"]
    assert not list(folder.rglob("failures/*")), "a job failed"
    return found


def _hash(stage: Path, step: int) -> str:
    import orbax.checkpoint as ocp

    from uvim_fsq.runs.directory import tree_hash

    place = (stage / "checkpoints" / str(step) / "state").absolute()
    return tree_hash(ocp.StandardCheckpointer().restore(place))


def main() -> None:
    """Runs the soak, and writes down how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--each", type=int, default=9, help="moments of a folder")
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="no more folders then"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    # A shell may have this program ignore Ctrl-C, and what it starts would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options.folder.mkdir(parents=True)
    chance, tally, began = random.Random(options.seed), Tally(), time.monotonic()
    expected, compared = {}, 0
    for number, kind in enumerate(itertools.cycle(("run", "experiment"))):
        done = sum(tally.ended.values())
        if done >= options.moments or time.monotonic() - began > options.seconds:
            break
        if kind not in expected:
            whole = options.folder / f"{kind}-undisturbed"
            if code := start(kind, whole, whole.with_suffix(".txt")).wait(1200):
                raise SystemExit(f"undisturbed it ends with {code}")
            expected[kind] = result(whole)
        phases = [name for name in PHASES if name != "scoring" or kind == "experiment"]
        moments = (
            (chance.choice(phases), chance.choice(SIGNALS)) for _ in iter(int, 1)
        )
        folder = options.folder / f"{kind}-{number}"
        count = min(options.each, options.moments - done)
        disturb(kind, folder, moments, count, chance, tally)
        found = result(folder)
        assert found.keys() == expected[kind].keys(), (folder, set(found))
        for name, value in expected[kind].items():
            assert found[name] == value, (folder, name, found[name], value)
        compared += 1
        print(f"{folder.name}: as undisturbed ({len(found)} results)", flush=True)
    record = _record(options, tally, compared, {k: len(v) for k, v in expected.items()})
    print(json.dumps(record, indent=1))
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")


def _record(options, tally: Tally, compared: int, results: dict) -> dict[str, Any]:
    from uvim_fsq.runs.directory import environment

    def by(place: int) -> dict[str, int]:
        counts: Counter = Counter()
        for key, count in tally.ended.items():
            counts[key[place]] += count
        return dict(sorted(counts.items()))

    return {
        "command": f"python tests/soak/soak.py FOLDER --moments {options.moments} "
        f"--seed {options.seed}",
        "date": time.strftime("%Y-%m-%d"),
        "environment": environment(),
        "moments": sum(tally.ended.values()),
        "by_phase": by(0),
        "by_signal": by(1),
        "folders": compared,
        "starts": tally.starts,
        "most_starts_of_a_folder": tally.most,
        "results_compared_in_a_folder": results,
        "differences": 0,
    }


if __name__ == "__main__":
    main()

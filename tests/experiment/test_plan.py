"""Plans: which jobs there are, and that a plan is continued only by itself."""

import json
import math

import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.experiment.plan import Job, Plan, load_plan
from uvim_fsq.experiment.results import write_results
from uvim_fsq.settings import ConfigError, IdentityConfig, replace

ROWS = {name: get_config(name, "tiny") for name in ("vq", "fsq")}


def test_stage1_once_and_stage2_by_seed(tmp_path):
    plan = Plan(tmp_path, "title", ROWS, stage2_seeds=2)
    assert [job.name for job in plan.jobs()] == [
        "vq-stage1_0",
        "fsq-stage1_0",
        "vq-stage1_0-stage2_0",
        "vq-stage1_0-stage2_1",
        "fsq-stage1_0-stage2_0",
        "fsq-stage1_0-stage2_1",
    ]
    assert plan.jobs(["fsq"])[1].needs == Job("fsq", 0)
    assert len(Plan(tmp_path, "", ROWS, 2, 3).jobs()) == 2 * (2 + 2 * 3)
    assert plan.config(Job("vq", 5, 1)).seed == 5


def test_seeds_count_from_the_settings(tmp_path):
    rows = {"fsq": replace(ROWS["fsq"], seed=10)}
    names = [job.name for job in Plan(tmp_path, "", rows, stage2_seeds=2).jobs()]
    assert names[1:] == ["fsq-stage1_10-stage2_10", "fsq-stage1_10-stage2_11"]


def test_seeds_end_where_settings_end(tmp_path):
    rows = {"fsq": replace(ROWS["fsq"], seed=2**32 - 2)}
    Plan(tmp_path / "two", "", rows, stage2_seeds=2).check()
    message = "row fsq: the last of its seeds must be .* found 4294967296"
    with pytest.raises(ConfigError, match=message):
        Plan(tmp_path / "three", "", rows, stage1_seeds=3, stage2_seeds=1).check()


def test_an_unknown_row_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no row 'fqs': did you mean fsq"):
        Plan(tmp_path, "", ROWS).jobs(["fqs"])


def test_it_is_continued_with_the_same_settings_and_may_grow(tmp_path):
    Plan(tmp_path, "title", {"vq": ROWS["vq"]}, stage2_seeds=1).open()
    Plan(tmp_path, "title", ROWS, stage2_seeds=3, command="uvim-fsq x").open()
    plan = load_plan(tmp_path)
    assert plan == Plan(tmp_path, "title", ROWS, 1, 3, "uvim-fsq x")
    assert list(plan.rows) == ["vq", "fsq"]
    # Fewer now: nothing of it is forgotten.
    Plan(tmp_path, "title", {"fsq": ROWS["fsq"]}, stage2_seeds=1).open()
    assert set(load_plan(tmp_path).rows) == {"vq", "fsq"}
    assert load_plan(tmp_path).stage2_seeds == 3
    other = {"vq": replace(ROWS["vq"], stage1__steps=5)}
    with pytest.raises(ConfigError, match="row vq: stage1.steps is 4 there and 5 here"):
        Plan(tmp_path, "title", other).open()
    logged = {"vq": replace(ROWS["vq"], output__log_every=7, loader_threads=3)}
    Plan(tmp_path, "title", logged).open()


def test_rows_that_cannot_be_trained_are_refused(tmp_path):
    identity = replace(ROWS["fsq"], quantizer=IdentityConfig())
    with pytest.raises(ConfigError, match="the row none has no codebook"):
        Plan(tmp_path / "a", "", {"none": identity}).open()
    broken = replace(ROWS["fsq"], stage2__batch_size=0)
    with pytest.raises(ConfigError, match="row bad: stage2.batch_size"):
        Plan(tmp_path / "a", "", {"bad": broken}).open()
    assert not (tmp_path / "a").exists()


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no experiment"):
        load_plan(tmp_path)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "table.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no experiment: name a new folder"):
        Plan(tmp_path, "", ROWS).open()
    with pytest.raises(ConfigError, match="holds no experiment"):
        Plan(tmp_path / "table.txt", "", ROWS).open()
    assert [path.name for path in tmp_path.iterdir()] == ["table.txt"]


def test_records_of_an_older_version_may_hold_numbers_that_json_lacks(tmp_path):
    """They ended the table in a traceback."""
    plan = Plan(tmp_path, "t", {"fsq": get_config("fsq", "tiny")}, stage2_seeds=1)
    plan.open()
    (job,) = (job for job in plan.jobs() if job.stage2_seed is not None)
    scores = {"greedy/rmse": 1.0, "greedy/psnr": math.inf, "sample/rmse": math.nan}
    record = {
        **{"row": "fsq", "stage1_seed": 0, "stage2_seed": 0, "task": "depth"},
        **{"quantizer": "fsq", "codebook_size": 25, "config": "0", "part": "test"},
        **{"environment": {}, "pictures": 8, "histogram": [2, 1], "stages": {}},
        "scores": scores,
    }
    plan.record_file(job).parent.mkdir(parents=True)
    plan.record_file(job).write_text(json.dumps(record))
    write_results(plan)
    (line,) = (tmp_path / "records.jsonl").read_text().splitlines()
    assert json.loads(line)["scores"] == {"greedy/rmse": 1.0}

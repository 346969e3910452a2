import json
import os

import numpy as np
import pytest

from uvim_fsq.training.writers import (
    JsonLines,
    LogError,
    TensorBoard,
    read_json_lines,
)


def test_json_lines_are_on_disk_at_once(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    with JsonLines(path) as log:
        log.scalars(1, {"loss": 0.5, "norm": np.float32(2)})
        log.scalars(2, {"loss": float("nan")})
        first, second = read_json_lines(path)
    assert (first["step"], first["loss"], first["norm"]) == (1, 0.5, 2.0)
    assert second["loss"] is None and second["time"] >= first["time"] > 1e9


def test_a_resume_drops_later_lines_and_a_torn_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with JsonLines(path) as log:
        for step in (1, 2, 2, 3, 4):
            log.scalars(step, {"loss": step})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 2, 3, 4]
    before = path.read_text().splitlines()
    with JsonLines(path, resume_step=2) as log:
        assert path.read_text().splitlines() == before[:3]
        log.scalars(3, {"loss": 7})
    assert [line["step"] for line in read_json_lines(path)] == [1, 2, 2, 3]
    inode = os.stat(path).st_ino
    JsonLines(path, resume_step=3).close()  # nothing to drop: the file stays
    assert os.stat(path).st_ino == inode and os.listdir(tmp_path) == [path.name]
    JsonLines(path).close()  # a fresh start
    assert path.read_text() == ""


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="file/metrics.jsonl cannot be written"):
        JsonLines(tmp_path / "file" / "metrics.jsonl")
    with pytest.raises(LogError, match="TensorBoard's directory .*file/events cannot"):
        TensorBoard(tmp_path / "file" / "events")


_EVENTS = """
import json, sys
sys.path.insert(0, sys.argv[2])
import uvim_fsq.training.hooks, uvim_fsq.training.loop
import uvim_fsq.training.progress, uvim_fsq.training.writers as writers
slow = ("tensorboard", "orbax", "cv2", "tensorflow")
imported = [name for name in slow if name in sys.modules]
import numpy as np

picture = np.zeros((4, 6, 3), np.uint8)
picture[:, :2, 0] = 200
with writers.TensorBoard(sys.argv[1]) as log:
    log.scalars(1, {"loss": 0.5})
    log.scalars(4, {"loss": 0.25})
    log.image(4, "sample", picture)
with writers.TensorBoard(sys.argv[1], resume_step=2) as log:
    log.scalars(3, {"loss": 0.125, "norm": 2.0})

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
loss = [(e.step, e.value) for e in events.Scalars("loss")]
import cv2
images = [
    cv2.imdecode(np.frombuffer(e.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    for e in events.Images("sample")
]
print(json.dumps({
    "imported": imported,
    "loss": loss,
    "norm": [e.value for e in events.Scalars("norm")],
    "images": len(images),
}))
with writers.TensorBoard(sys.argv[3]) as log:
    log.image(4, "sample", picture)
(image,) = EventAccumulator(sys.argv[3]).Reload().Images("sample")
data = np.frombuffer(image.encoded_image_string, np.uint8)
assert (cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] == picture).all()
assert (image.height, image.width) == (4, 6)
"""


def test_tensorboard_reads_scalars_and_pictures_without_tensorflow(
    tmp_path, start_program
):
    """A `tensorflow` that must not be imported stands in for an installed one."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow imported')")
    process = start_program("-c", _EVENTS, tmp_path / "a", tmp_path, tmp_path / "b")
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert json.loads(output) == {
        "imported": [],
        "loss": [[1, 0.5], [3, 0.125]],  # step 4 was before the resume at 2
        "norm": [2.0],
        "images": 0,
    }

"""A process that renders shards of scenes: `python -m uvim_fsq.data.scenes.worker`.

Reads a JSON line for each shard from standard input (`cache_dir`, `seed`, `split`, `size`,
`first`, `stop`) and answers with lines on standard output: `{"rendered": n}` as it goes, then
`{"done": true}`, or `{"error": "..."}`. It ends when its input does, also if its parent is killed.
"""

import json
import signal
import sys
import time
from pathlib import Path

from uvim_fsq.data.scenes.cache import Shard, Stream
from uvim_fsq.errors import DataError

_SECONDS_BETWEEN_LINES = 0.2


def _say(**message) -> None:
    print(json.dumps(message, allow_nan=False), flush=True)


class _Counter:
    """Counts rendered scenes and says so a few times a second."""

    def __init__(self):
        self.count, self.last = 0, time.monotonic()

    def __call__(self, number: int) -> None:
        self.count += number
        if time.monotonic() - self.last > _SECONDS_BETWEEN_LINES:
            self.flush()

    def flush(self) -> None:
        _say(rendered=self.count)
        self.count, self.last = 0, time.monotonic()


def main() -> None:
    """Renders the shards that standard input asks for."""
    # Ctrl-C reaches the whole group of processes; the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Leaving by an exception removes what is half written.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    for line in sys.stdin:
        job = json.loads(line)
        stream = Stream(
            Path(job["cache_dir"]), job["seed"], job["split"], tuple(job["size"])
        )
        counter = _Counter()
        try:
            Shard(stream, job["first"], job["stop"]).write(counter)
        except DataError as error:
            _say(error=str(error))
            return
        counter.flush()
        _say(done=True)


if __name__ == "__main__":
    main()

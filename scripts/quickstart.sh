#!/usr/bin/env bash
# Sets up .venv, then trains both stages for depth on the built-in scenes, scores them and writes a
# page of pictures: ten minutes on two cores. Options go to scripts/quickstart.py.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec .venv/bin/python scripts/quickstart.py "$@"

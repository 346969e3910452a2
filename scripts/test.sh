#!/usr/bin/env bash
# Sets up .venv and runs the tests; options go to pytest.
#
#   bash scripts/test.sh                     everything but slow tests, in a few minutes
#   bash scripts/test.sh --run-slow          slow ones too
#   bash scripts/test.sh tests/quantizers -k fsq
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
# Tests compile hundreds of small programs, and run each a few times: they are done sooner if they are
# compiled with less care. CI compiles them as users' programs are.
export JAX_DISABLE_MOST_OPTIMIZATIONS="${JAX_DISABLE_MOST_OPTIMIZATIONS:-1}"
# A file's tests share trained models: they go to one worker.
exec .venv/bin/python -m pytest -n "${UVIM_FSQ_TEST_WORKERS:-2}" --dist loadfile "$@"

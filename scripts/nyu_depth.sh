#!/usr/bin/env bash
# Depth on the labelled frames of NYU Depth v2: FSQ, VQ and VQ without splitting, three seeds each, at
# 256 px with base models from scratch. Arithmetic of 0.19 EFLOP: for one large GPU.
#
#   bash scripts/nyu_depth.sh DATA [OPTION ...]
#
# DATA holds train/ (of which a tenth is held out) and test/, as docs/data.md describes folders. Options
# are those of `uvim-fsq experiment`, and win over the settings here. Environment:
#
#   PYTHON=python3   an environment that is there already, instead of .venv
#   SECONDS_MAX=540  stop in time, and continue with the same command
#   TINY=1           the same rows with a model of no use, to see on a CPU that all is in place
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -eq 0 ] || [ ! -d "$1/train" ] || [ ! -d "$1/test" ]; then
  echo "expected a folder with train/ and test/: bash scripts/nyu_depth.sh DATA [OPTION ...]" >&2
  exit 2
fi
data=$1
shift

if [ -z "${PYTHON:-}" ]; then
  bash scripts/setup.sh
  PYTHON=.venv/bin/python
fi

if [ "${TINY:-0}" = 1 ]; then
  size=(--preset tiny --output experiments/nyu-depth-tiny)
else
  size=(--preset small --output experiments/nyu-depth
    --stage1.batch-size 64 --stage1.micro-batches 1 --stage1.steps 1500 --stage1.warmup-steps 150
    --stage2.batch-size 64 --stage2.micro-batches 1 --stage2.steps 800 --stage2.warmup-steps 80
    --stage2.pretrained-encoder none --output.evaluate-every 100 --output.checkpoint-every 200)
fi
limit=()
if [ -n "${SECONDS_MAX:-}" ]; then
  # SIGTERM is answered with a checkpoint; a minute later nothing is waited for.
  limit=(timeout --signal=TERM --kill-after=60 "$SECONDS_MAX")
fi

exec ${limit[@]+"${limit[@]}"} "$PYTHON" -m uvim_fsq experiment depth --only fsq vq vq_no_split --seeds 3 \
  --source folder --data.path "$data/train" --data.evaluation-path "$data/test" --task.crop uvim \
  "${size[@]}" "$@"

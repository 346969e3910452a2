#!/usr/bin/env bash
# Makes .venv with what the project needs, or leaves it alone if it is up to date.
#
#   bash scripts/setup.sh          to train, evaluate and predict
#   bash scripts/setup.sh dev      and to test
#
# UVIM_FSQ_FULL=1 adds TensorFlow, for preparing TFDS data and for FID; where nvidia-smi sees a GPU, JAX gets
# its CUDA build. Requirements are installed again when their file changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3 python; do
    if "$name" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  say "Python 3.11 or newer, with venv, is needed and was not found: install it and try again."
  return 1
}

# A .venv counts if its Python runs and is new enough, and if its scripts start that Python: they
# name it by its full path, so a .venv that was moved or copied is of no use.
usable() {
  .venv/bin/python - 2>/dev/null <<'END'
import os, sys
with open(".venv/bin/pip") as file:
    python = file.readline()[2:].strip()
here = True
if os.path.basename(python).startswith("python"):
    folder = os.path.dirname(python)
    here = os.path.exists(python) and os.path.samefile(folder, ".venv/bin")
sys.exit(not here or sys.version_info < (3, 11))
END
}

make_venv() {
  local python
  python=$(find_python)
  if [ -e .venv ]; then
    say "set-up: .venv does not work here; it is kept as .venv.old."
    rm -rf .venv.old
    mv .venv .venv.old
  fi
  say "set-up: making .venv with $("$python" --version); this takes a minute or two, once."
  "$python" -m venv .venv
}

requirement_files() {
  if [ "${UVIM_FSQ_FULL:-0}" = 1 ]; then echo requirements.txt; else echo requirements-core.txt; fi
  if nvidia-smi -L 2>/dev/null | grep -q GPU; then echo requirements-cuda.txt; fi
  if [ "${1:-}" = dev ]; then echo requirements-dev.txt; fi
}

# `stamps check FILE...` prints the files that changed since `stamps write FILE...`.
stamps() {
  .venv/bin/python - "$@" <<'END'
import hashlib, sys
from pathlib import Path
# Requirement files take in one another.
core = b"".join(path.read_bytes() for path in sorted(Path().glob("requirements*.txt")))
folder = Path(".venv/installed")
for name in sys.argv[2:]:
    now = hashlib.sha256(core + Path(name).read_bytes()).hexdigest()
    stamp = folder / name
    if sys.argv[1] == "write":
        folder.mkdir(exist_ok=True)
        stamp.write_text(now)
    elif not stamp.exists() or stamp.read_text() != now:
        print(name)
END
}

install() {
  # uv is several times faster; pip is what is always there.
  export UV_PYTHON_DOWNLOADS=never
  if [ -x .venv/bin/uv ] || .venv/bin/python -m pip install -qq uv; then
    if .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"; then return; fi
    say "set-up: uv could not install; trying pip."
  fi
  .venv/bin/python -m pip install --quiet "$@"
}

set_up() {
  usable || make_venv
  local file files=() arguments=()
  while read -r file; do
    files+=("$file")
    arguments+=(-r "$file")
  done < <(requirement_files "${1:-}")
  if [ -n "$(stamps check "${files[@]}")" ]; then
    say "set-up: installing ${files[*]}."
    install "${arguments[@]}"
    stamps write "${files[@]}"
  fi
  if [ -n "$(stamps check pyproject.toml)" ]; then
    install --no-deps --editable .
    stamps write pyproject.toml
  fi
}

# One set-up at a time, where the system can lock.
if command -v flock >/dev/null; then
  mkdir -p .cache
  exec 9> .cache/setup.lock
  flock -n 9 || { say "set-up: waiting for another one."; flock 9; }
fi
# Ctrl-C ends the set-up, not only the step that it is at; the next one goes on from there.
trap 'say "set-up: stopped."; exit 130' INT
trap 'say "set-up: stopped."; exit 143' TERM
set_up "$@"

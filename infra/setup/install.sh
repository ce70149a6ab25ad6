#!/usr/bin/env bash
# Make the virtual environment: packages from requirements.txt, torch beside them. usage: install.sh VENV
set -euo pipefail
VENV=${1:?folder of the virtual environment}
PYTHON=${PYTHON:-python3}
TORCH=${TORCH:-auto}
TORCH_VERSION=$(sed -n 's/^torch==//p' infra/setup/constraints.txt)
began=$SECONDS
QUIET=-q
[ -t 2 ] && QUIET= # in a terminal, uv shows what it downloads

say() { echo "saeflow setup: $*"; }
fail() { say "$*" >&2; exit 1; }

case "$PWD" in *%*) fail "MLflow cannot run from a folder with % in its path; move the project: $PWD" ;; esac
command -v "$PYTHON" >/dev/null || fail "python3 is missing; type: sudo apt-get install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$PYTHON" --version) is too old; saeflow needs Python 3.11 or newer: make PYTHON=python3.12 …"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "python3-venv is missing; type: sudo apt-get install python3-venv"

[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check uv

# Without a GPU the CPU build will do: 0.2 GB instead of 5.6 GB. A wheel on disk (pip's own find-links) comes first.
install_cpu_torch() {
  "$VENV/bin/python" -m pip install -q --no-index --no-deps "torch==$TORCH_VERSION" 2>/dev/null ||
    "$VENV/bin/uv" pip install -q --python "$VENV/bin/python" --torch-backend cpu "torch==$TORCH_VERSION" 2>/dev/null
}
install_any_torch() { "$VENV/bin/python" -m pip install -q "torch==$TORCH_VERSION"; }
if ! "$VENV/bin/python" -c "import importlib.metadata as m; assert m.version('torch').startswith('$TORCH_VERSION')" 2>/dev/null; then
  say "downloading torch, the largest package …"
  case "$TORCH" in
    cuda) install_any_torch ;;
    cpu) install_cpu_torch || fail "no CPU build of torch $TORCH_VERSION can be reached; try: make TORCH=cuda setup" ;;
    auto) if command -v nvidia-smi >/dev/null; then install_any_torch; else install_cpu_torch || install_any_torch; fi ;;
    *) fail "TORCH=$TORCH is unknown; choose auto, cpu or cuda" ;;
  esac
fi
say "downloading and installing the other packages …"
# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile all it imports: compiled now.
"$VENV/bin/uv" pip install $QUIET ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} --python "$VENV/bin/python" -r requirements.txt
"$VENV/bin/uv" pip install -q --python "$VENV/bin/python" --no-deps --no-build-isolation -e . 2>/dev/null ||
  "$VENV/bin/uv" pip install -q --python "$VENV/bin/python" --no-deps -e .
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || "$VENV/bin/python" -m compileall -q core tasks flows cli explorer saeflow
touch "$VENV/.installed"
say "done in $((SECONDS - began)) s (downloads included)"

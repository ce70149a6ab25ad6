#!/bin/sh
# What core imports and a bare GPU node lacks, and what the peer in benchmarks/gpu_sae.py imports, as wheels (41 MB).
#     sh benchmarks/gpu_wheels.sh DIR [PYTHON_VERSION]
# polars is held at 1.30: from 1.31 on its wheels grow to 54 MB, and the whole must stay below 60.
set -eu
[ $# -ge 1 ] || { sed -n '2,3s/^# *//p' "$0"; exit 2; }
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "${2:-3.12}" --dest "$1" \
  --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform any \
  polars==1.30.0 pydantic==2.14.4 pydantic-core==2.50.5 annotated-types typing-inspection typing-extensions \
  jaxtyping==0.3.11 wadler-lindig einops emoji psutil \
  eai-sparsify==1.3.3 simple-parsing natsort docstring-parser accelerate
du -sh "$1"

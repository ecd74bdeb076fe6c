#!/bin/sh
# Bring requirements.lock in step with pyproject.toml: every version with its hashes, for all supported Pythons, naming
# no index. Versions that still fit are kept, unless newer ones are asked for.
#   lock.sh VENV [--upgrade]
set -eu
venv=$1
shift
"$venv/bin/python" -m pip install --quiet uv
"$venv/bin/uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet "$@" \
    --output-file requirements.lock

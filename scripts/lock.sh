#!/bin/sh
# Renew requirements.lock: every version with its hashes, for all supported Pythons, naming no index.
#   lock.sh VENV
set -eu
venv=$1
"$venv/bin/python" -m pip install --quiet uv
"$venv/bin/uv" pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade --quiet \
    --output-file requirements.lock

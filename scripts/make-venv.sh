#!/bin/sh
# Make VENV with the locked versions and Paddock itself in it, or say what the system lacks.
#   make-venv.sh PYTHON VENV
set -eu
python=$1 venv=$2

fail() {
    printf 'paddock: %s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "There is no $python." "Install Python 3.11 or newer (Debian: apt install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "$("$python" --version) is too old; Paddock needs Python 3.11 or newer." "Name a newer one: make PYTHON=python3.12 ..."
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$python has no venv module." "Install it (Debian and Ubuntu: apt install python$version-venv)."
fi
[ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"
# PYTHONDONTWRITEBYTECODE would leave the byte code out and double the start.
unset PYTHONDONTWRITEBYTECODE
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
"$venv/bin/python" -m compileall -q tui screens backend data

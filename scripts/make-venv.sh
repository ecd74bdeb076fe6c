#!/bin/sh
# Make VENV with the locked versions and Paddock itself in it, or say what the system lacks and how to get it.
#   make-venv.sh PYTHON VENV        PYTHON may be empty: then the newest of 3.11 and later is taken
set -eu
python=$1 venv=$2

fail() {
    printf 'paddock: %s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "No Python 3.11 or newer was found." \
        "Debian 12 and later, Ubuntu 24.04 and later: apt install python3 python3-venv" \
        "Elsewhere: name one with make PYTHON=/path/to/python3.12"
fi
command -v "$python" >/dev/null 2>&1 || fail "There is no $python." "Name another one: make PYTHON=python3.12"
is_new_enough "$python" || fail "$("$python" --version 2>&1) is too old; Paddock needs Python 3.11 or newer." \
    "Name a newer one: make PYTHON=python3.12"
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$python has no venv module." "Debian and Ubuntu: apt install python$version-venv"
fi

# A virtual environment of another Python, or one whose Python is gone, is made anew.
"$venv/bin/python" -c '' 2>/dev/null || "$python" -m venv --clear "$venv"

# With it the byte code would be left out, and every start take twice as long.
unset PYTHONDONTWRITEBYTECODE

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}
printf 'paddock: installing the locked packages into %s\n' "$venv" >&2
pip install --require-hashes --no-deps -r requirements.lock || fail "The packages could not be installed." \
    "pip says why above. A mirror is named with PIP_INDEX_URL, a proxy with https_proxy; free space is needed: 600 MB."
pip install --no-deps --no-build-isolation --editable . || fail "Paddock itself could not be installed." \
    "pip says why above."
"$venv/bin/python" -m compileall -q tui screens backend data

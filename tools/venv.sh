#!/bin/sh
# Make .venv with Python 3.11, or say in plain words what is missing. Usage: tools/venv.sh [python]
set -eu
python=${1:-python3.11}

fail() {
    printf 'Cannot make .venv: %s\n' "$1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    fail "expected Python 3.11 as '$python', found none. Install it, or name it: make lab PYTHON=/path/to/python3.11"
got=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "'$python' does not start. Name another: make lab PYTHON=/path/to/python3.11"
[ "$got" = 3.11 ] ||
    fail "expected Python 3.11, '$python' is $got. Name another: make lab PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "this Python has no venv module. On Debian and Ubuntu: apt-get install python3.11-venv"

echo "== making .venv with $("$python" --version) (seconds)"
"$python" -m venv .venv

#!/bin/sh
# Write constraints.txt: the versions that a fresh environment with every extra gets today.
# Usage: tools/pin.sh [python]; run on Linux, afterwards bring environment.yml into line (a test compares them).
set -eu
python=${1:-python3.11}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "== pinning in a fresh environment: about 4 minutes, 730 MB"
"$python" -m venv "$scratch/venv"
# soupsieve above 2 wants Python 3.11.5, and Debian 12 has 3.11.2.
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev,gpu]' 'soupsieve<3'
{
    echo "# Every version that the course is tested with, on Linux with Python 3.11. Made by \`make constraints\`: a fresh"
    echo "# environment with all extras, frozen, without the +cpu that some builds of torch add to their version."
    echo "# The CUDA libraries of torch's GPU build are not listed: torch itself asks for one version of each."
    "$scratch/venv/bin/python" -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$//'
} >"$scratch/constraints.txt"
if grep ' @ ' "$scratch/constraints.txt"; then
    echo "Cannot pin: the packages above came from a file, not from an index. Take them out of pip's settings." >&2
    exit 1
fi
cp "$scratch/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) versions"

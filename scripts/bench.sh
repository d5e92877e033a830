#!/bin/bash
# Tenon beside other engines on torchvision's networks. usage: bench.sh PREFIX [ARGUMENT...], see benchmarks/networks.py
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
shift
python=$root/.venv-bench/bin/python
[ -x "$python" ] || python3 -m venv "$root/.venv-bench"
stamp=$root/.venv-bench/requirements.stamp
if ! cmp -s "$root/benchmarks/requirements.txt" "$stamp"; then
    echo "bench: installing the other engines and PyTorch into .venv-bench"
    "$python" -m pip install -q --disable-pip-version-check -r "$root/benchmarks/requirements.txt"
    # It names one exact PyTorch, which is there; its optional parts are not needed.
    "$python" -m pip install -q --disable-pip-version-check --no-deps torchvision==0.28.0
    cp "$root/benchmarks/requirements.txt" "$stamp"
fi
PYTHONPATH="$root/python" TENON_LIBRARY="$prefix/lib/libtenon.so" \
    exec "$python" -W ignore "$root/benchmarks/networks.py" --folder "$root/build/bench" "$@"

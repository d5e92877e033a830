#!/bin/bash
# Builds the wheel, installs it in a fresh virtual environment and runs it there without this checkout; then the package
# without the library, which finds the installed one. usage: test-wheel.sh PREFIX
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset TENON_LIBRARY PYTHONPATH LD_LIBRARY_PATH

"$root/scripts/wheel.sh" "$prefix" "$root/build/dist"
check() { # check ENVIRONMENT EXPECTED-PLACE
    (cd / && "$work/$1/bin/python" "$root/Tests/Python/installed/digits.py" "$root/Tests/Fixtures/digits" "$2")
}

python3 -m venv "$work/wheel"
"$work/wheel/bin/pip" install -q --disable-pip-version-check "$root"/build/dist/tenon-*.whl
check wheel "$work/wheel"
# Every bundled library has its licence beside it.
for library in "$work"/wheel/lib/python*/site-packages/tenon.libs/*; do
    name=$(basename "$library" | sed -e 's/-[0-9a-f]*\.so.*//' -e 's/\.so.*//' -e 's/^libdnnl$/oneDNN/')
    ls "$work"/wheel/lib/python*/site-packages/tenon-*.dist-info/licenses/licenses/"$name" >/dev/null
done

cp -r "$root/python" "$work/source"
python3 -m venv "$work/plain"
"$work/plain/bin/pip" install -q --disable-pip-version-check "$work/source"
TENON_LIBRARY=$prefix/lib/libtenon.so check plain "$prefix"
PKG_CONFIG_PATH=$prefix/lib/pkgconfig check plain "$prefix"
LD_LIBRARY_PATH=$prefix/lib check plain "$prefix"
echo "wheel: works with NumPy alone"

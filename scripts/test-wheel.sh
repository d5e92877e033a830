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

# glibc 2.34 is enough for our own library; what is bundled may ask for more where the wheel is built.
if objdump -T "$prefix/lib/libtenon.so" | grep -E 'GLIBC_2\.(3[5-9]|[4-9][0-9])'; then
    echo "wheel: the library needs a newer glibc than 2.34" >&2
    exit 1
fi

python3 -m venv "$work/wheel"
"$work/wheel/bin/pip" install -q --disable-pip-version-check "$root"/build/dist/tenon-*.whl
check wheel "$work/wheel"
# Every bundled library has its licence beside it.
for library in "$work"/wheel/lib/python*/site-packages/tenon.libs/*; do
    name=$(basename "$library" | sed -e 's/-[0-9a-f]*\.so.*//' -e 's/\.so.*//' -e 's/^libdnnl$/oneDNN/')
    ls "$work"/wheel/lib/python*/site-packages/tenon-*.dist-info/licenses/licenses/"$name" >/dev/null
done

# On each other Python that is here, as far back as the package says it goes; from the wheel alone, without oneDNN's package.
shopt -s nullglob
tried=" $("$work/wheel/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') "
for python in /usr/bin/python3.[0-9]* /usr/local/bin/python3.[0-9]* "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [[ $tried != *" $version "* ]] && [ "${version#3.}" -ge 9 ] || continue
    "$python" -m venv "$work/$version" 2>/dev/null || continue
    tried+="$version "
    # NumPy may have no wheel for a very new one.
    "$work/$version/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$root"/build/dist/tenon-*.whl || continue
    check "$version" "$work/$version"
    echo "wheel: works on Python $version"
done

cp -r "$root/python" "$work/source"
python3 -m venv "$work/plain"
"$work/plain/bin/pip" install -q --disable-pip-version-check "$work/source"
TENON_LIBRARY=$prefix/lib/libtenon.so check plain "$prefix"
PKG_CONFIG_PATH=$prefix/lib/pkgconfig check plain "$prefix"
LD_LIBRARY_PATH=$prefix/lib check plain "$prefix"
echo "wheel: works with NumPy alone"

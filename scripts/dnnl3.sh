#!/bin/bash
# Fetches oneDNN 3.2 from PyPI and unpacks it. usage: dnnl3.sh FOLDER. Prints the prefix to give as TENON_DNNL_ROOT.
set -euo pipefail

folder=$1
if [ ! -f "$folder/include/dnnl.h" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download -q --no-deps --disable-pip-version-check -d "$work" \
        onednn-devel-cpu-gomp==2023.2.0 onednn-cpu-gomp==2023.2.0 >&2
    for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/tree"; done
    mkdir -p "$folder"
    cp -r "$work"/tree/*.data/data/. "$folder/"
fi
# Wheels hold no symbolic links; the linker wants the plain name, the loader the one with the version.
cd "$folder/lib"
ln -sf libdnnl.so.3.2 libdnnl.so.3
ln -sf libdnnl.so.3 libdnnl.so
cd ..
pwd

#!/bin/sh
# Writes what follows from include/tenon.h: the export list of the library, abi/tenon.symbols and abi/layout.txt.
# A difference that git then shows is a change of the ABI.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/scripts/declared-functions.sh" > "$root/abi/tenon.symbols"
{
    echo "/* Written by scripts/abi.sh: what the library exports, and nothing else. */"
    echo "{"
    echo "    global:"
    sed 's/.*/        &;/' "$root/abi/tenon.symbols"
    echo "    local: *;"
    echo "};"
} > "$root/Sources/TenonC/tenon.map"
cc -std=c99 -I"$root/include" "$root/Tests/C/layout.c" -o "$work/layout"
"$work/layout" > "$root/abi/layout.txt"

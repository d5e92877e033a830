#!/bin/bash
# Builds the examples against an installed copy, by pkg-config alone. usage: examples.sh PREFIX OUTPUT-FOLDER
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
output=$2
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -ra flags <<< "$(pkg-config --cflags --libs tenon)"
mkdir -p "$output"
for source in "$root"/examples-c/*.c; do
    name=$(basename "$source" .c)
    "${CC:-cc}" -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -pedantic -Werror "$source" -o "$output/$name" \
        "${flags[@]}" -Wl,-rpath,"$prefix/lib" -lm
done
for source in "$root"/examples-c/*.cpp; do
    name=$(basename "$source" .cpp)-cpp
    "${CXX:-c++}" -std=c++17 -O2 -Wall -Wextra -pedantic -Werror "$source" -o "$output/$name" \
        "${flags[@]}" -Wl,-rpath,"$prefix/lib"
done

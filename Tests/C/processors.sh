#!/bin/bash
# Runs C tests on lesser processors than this one, as qemu-user acts them out. usage: processors.sh PREFIX
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$1
if ! command -v qemu-x86_64 > /dev/null; then
    echo "processors: qemu-x86_64 is not installed"
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
read -ra package <<< "$(pkg-config --cflags --libs tenon)"
status=0

build() { cc -std=c99 -D_POSIX_C_SOURCE=200809L -g "$1" -o "$work/$2" "${package[@]}" -lcmocka -lpthread -ldl -lm; }
try() { # try CPU NAME WHAT COMMAND...
    local cpu=$1 name=$2
    shift 2
    if timeout 240 qemu-x86_64 -cpu "$cpu" "$work/$name" "$@" > "$work/log" 2>&1; then
        echo "$name on $cpu: passed"
    else
        echo "$name on $cpu: FAILED ($?)"
        tail -30 "$work/log"
        status=1
    fi
}

# Without x86-64-v2 calls fail with a status.
build "$root/Tests/C/processor_too_old.c" processor_too_old || exit 1
try core2duo processor_too_old

# With SSE 4.2 alone, and with AVX2 but not AVX-512. Not what counts the system's memory, stacks or processes, of which qemu has its own.
for source in "$root"/Tests/C/test_*.c; do
    name=$(basename "$source" .c)
    case $name in test_allocations | test_fork | test_out_of_memory | test_stack) continue ;; esac
    build "$source" "$name" || exit 1
    for cpu in Nehalem Haswell; do try "$cpu" "$name" "$root/Tests/Fixtures"; done
done
exit "$status"

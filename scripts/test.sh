#!/bin/bash
# Every test, one part after another, and a summary. usage: test.sh PREFIX [PART...]
# Parts: cdnnl kernels integers c processors examples python wheel valgrind swift lint.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
shift
parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(cdnnl kernels integers c processors examples python wheel valgrind swift lint)
cd "$root"
summary=()
status=0

# Tests that fork run by themselves: threads of other suites may hold locks of the Swift runtime, which a child never gets.
run_swift() {
    "${SWIFT:-swift}" test --skip ExecutableProcessTests && "${SWIFT:-swift}" test --skip-build --filter ExecutableProcessTests
}
# The face of oneDNN alone, against naive loops.
run_cdnnl() {
    local dnnl=${TENON_DNNL_ROOT:-/usr}
    local flags=(-O2 -Wall -Wextra -Werror -ISources/CDNNL/include -ISources/CDNNL -I"$dnnl/include")
    mkdir -p build
    c++ -std=c++17 "${flags[@]}" -c Sources/CDNNL/guard.cpp -o build/cdnnl-guard.o &&
        cc -std=gnu11 "${flags[@]}" Tests/CDNNL/*.c Sources/CDNNL/*.c build/cdnnl-guard.o -o build/test-cdnnl -L"$dnnl/lib" \
            -Wl,-rpath,"$dnnl/lib" -ldnnl -lgomp -lcmocka -lstdc++ -lm -ldl -lpthread &&
        build/test-cdnnl
}
# Kernels for small integers; where the machine has no instructions for bytes, with functions that do the same.
run_integers() {
    local wide=()
    grep -qw avx512_vnni /proc/cpuinfo || wide=('-DTKERNEL_NARROW_HEADER="narrow512.h"' -ITests/CIntegers)
    mkdir -p build
    "${CLANG:-clang}" -std=gnu11 -O2 -Wall -Wextra -Werror "${wide[@]}" -ISources/CKernels -ISources/CKernels/include \
        Tests/CIntegers/main.c Sources/CKernels/integer*.c -o build/test-integers -lm && build/test-integers
}

# The kernels alone, against naive loops; those for wide vectors run on narrow ones where the machine has no others.
run_kernels() {
    local wide=()
    grep -qw avx512bw /proc/cpuinfo || wide=('-DTKERNEL_WIDE_TARGET="avx2,fma"' -Wno-psabi)
    mkdir -p build
    "${CLANG:-clang}" -std=gnu11 -O2 -Wall -Wextra -Werror "${wide[@]}" -ISources/CKernels/include Tests/CKernels/*.c \
        Sources/CKernels/kernels_*.c Sources/CKernels/dispatch.c -o build/test-kernels -lm && build/test-kernels
}
run_c() { Tests/C/run.sh "$prefix"; }
run_processors() { Tests/C/processors.sh "$prefix"; }
run_valgrind() { Tests/C/run.sh "$prefix" valgrind; }
run_examples() { scripts/examples.sh "$prefix" build/examples && scripts/demo.sh "$prefix" build/examples; }
run_python() {
    local log=build/test-python.log result=0
    mkdir -p build
    PYTHONPATH="$root/python" TENON_LIBRARY="$prefix/lib/libtenon.so" .venv/bin/python -m pytest -q -rs --durations=20 Tests/Python |
        tee "$log" || result=1
    # How many were skipped belongs in the summary.
    note=$(tail -n 1 "$log" | sed 's/ in .*//')
    return "$result"
}
run_wheel() { scripts/test-wheel.sh "$prefix"; }
run_lint() { make --no-print-directory lint; }

for part in "${parts[@]}"; do
    echo
    echo "== $part"
    start=$(date +%s)
    note=
    if "run_$part"; then result=passed; else result=FAILED status=1; fi
    summary+=("$(printf '%-10s %-7s %4d s  %s' "$part" "$result" $(($(date +%s) - start)) "$note")")
done
echo
echo "== Summary"
printf '%s\n' "${summary[@]}"
if [ "$status" = 0 ]; then echo "test: everything passed"; else echo "test: something failed" >&2; fi
exit "$status"

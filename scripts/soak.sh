#!/bin/bash
# The long forms of tests that the gate runs short. usage: soak.sh PREFIX [PART...]
# Parts: forks memory models programs graphs valid tvm fuzz.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
shift
parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(forks memory models programs graphs valid tvm fuzz)
cd "$root"
work=build/soak
mkdir -p "$work"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
status=0

program() {
    # shellcheck disable=SC2046
    cc -std=c99 -D_POSIX_C_SOURCE=200809L -O1 -g -ITests/C "Tests/C/$1.c" -o "$work/$1" $(pkg-config --cflags --libs tenon) \
        -lcmocka -lpthread -ldl -lm
}
run_forks() { program test_fork && "$work/test_fork" Tests/Fixtures 10000; }
run_memory() { program test_out_of_memory && "$work/test_out_of_memory" Tests/Fixtures 1; }
run_models() {
    TENON_LIBRARY="$prefix/lib/libtenon.so" .venv/bin/python Tests/Fuzz/mutate.py "${SOAK_SECONDS:-7200}" --keep "$work" \
        --seed "$(date +%s)"
}
run_programs() {
    TENON_LIBRARY="$prefix/lib/libtenon.so" PYTHONPATH=python .venv/bin/python Tests/Python/extreme_programs.py \
        "${SOAK_PROGRAMS:-1000000}"
}
# Graphs with sizes, control flow and stages that depend on data.
run_graphs() {
    TENON_LIBRARY="$prefix/lib/libtenon.so" PYTHONPATH=python TENON_RANDOM_PROGRAMS="${SOAK_GRAPHS:-20000}" \
        .venv/bin/python -m pytest -q Tests/Python/test_random_programs.py
}
# Modules of every operator of the schema, in children that may die of one. The gate has the first ones.
run_valid() {
    TENON_LIBRARY="$prefix/lib/libtenon.so" PYTHONPATH=python .venv/bin/python -W ignore Tests/Python/valid_programs.py \
        "${SOAK_VALID:-20000}" 1000
}
# Random graphs that the gate does not see: its own are the first thousand.
run_tvm() {
    TENON_TVM_GRAPHS="${SOAK_TVM_GRAPHS:-5000}" TENON_TVM_SEED=1000 TENON_LIBRARY="$prefix/lib/libtenon.so" PYTHONPATH=python \
        .venv/bin/python -m pytest -q -s -W ignore Tests/Python/test_against_tvm.py > "$work/tvm.log" 2>&1
    local result=$?
    grep -v 'Warning: There are dead codes' "$work/tvm.log" | tail -n 40
    # Without TVM nothing was compared.
    grep -q '1 passed' "$work/tvm.log" || result=1
    return "$result"
}
run_fuzz() { scripts/fuzz.sh "${SOAK_SECONDS:-7200}"; }

for part in "${parts[@]}"; do
    echo "== $part"
    "run_$part" || { status=1; echo "soak: $part FAILED" >&2; }
done
exit "$status"

#!/bin/bash
# Builds the library with the address sanitizer and runs the Python tests on it, so that every call goes through ctypes.
# usage: test-asan.sh BUILD-FOLDER [PYTEST ARGUMENTS...]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
cd "$root"

toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")")
runtime=$(find "$toolchain/lib/clang" -name 'libclang_rt.asan-x86_64.so' 2>/dev/null | head -1)
[ -n "$runtime" ] || {
    echo "asan: the toolchain has no shared runtime of the address sanitizer" >&2
    exit 1
}
# The runtime is linked by name, because the compiler only gives it to programs.
"${SWIFT:-swift}" build -c release --product tenon --sanitize=address --scratch-path "$build" --disable-local-rpath \
    -Xlinker "$runtime"

# Leaks are for valgrind: the interpreter keeps much for the process. The allocation counter of the C tests is not here.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1
export LD_PRELOAD=$runtime TENON_LIBRARY=$build/release/libtenon.so PYTHONPATH=$root/python
PYTHON=${PYTHON:-.venv/bin/python}
[ $# -gt 0 ] || set -- -q Tests/Python --ignore Tests/Python/test_against_tvm.py
"$PYTHON" -m pytest "$@"

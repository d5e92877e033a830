#!/bin/bash
# Builds and runs the C tests against an installed library. usage: run.sh PREFIX [valgrind]
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
prefix=$1
mode=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -ra package <<< "$(pkg-config --cflags --libs tenon)"
export LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
strict=(-Wall -Wextra -pedantic -Werror -g)
failed=()
passed=0

check() { # check NAME COMMAND...: runs the command and shows its output if it fails
    local name=$1
    shift
    if "$@" > "$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed+=("$name")
        echo "FAILED: $name"
        tail -40 "$work/log"
    fi
}

tests=()
for source in "$root"/Tests/C/test_*.c; do
    name=$(basename "$source" .c)
    check "$name compiles as C99" \
        cc -std=c99 -D_POSIX_C_SOURCE=200809L "${strict[@]}" "$source" -o "$work/$name" "${package[@]}" -lcmocka -lpthread -ldl -lm
    case $mode$name in
        # It counts allocations by a malloc of its own, which valgrind replaces.
        valgrindtest_allocations) ;;
        # Children with teams of threads, which valgrind runs one at a time: each waits for its turn until its alarm rings.
        valgrindtest_fork) ;;
        *) tests+=("$name") ;;
    esac
done
for source in "$root"/Tests/C/test_*.cpp; do
    name=$(basename "$source" .cpp)
    check "$name compiles as C++17" c++ -std=c++17 "${strict[@]}" "$source" -o "$work/$name" "${package[@]}"
    tests+=("$name")
done

if [ "$mode" = valgrind ]; then
    # Memory that Swift's runtime keeps for the process counts as possibly lost; lost for good is an error.
    for name in "${tests[@]}"; do
        leaks=full
        # Its executables stay in a cache of the library, held by pointers with tags of an enum, which valgrind cannot follow.
        [ "$name" != test_fused ] || leaks=no
        check "$name under valgrind" valgrind -q --leak-check=$leaks --show-leak-kinds=definite,indirect \
            --errors-for-leak-kinds=definite,indirect --error-exitcode=99 "$work/$name" "$root/Tests/Fixtures"
    done
else
    header() { echo '#include <tenon.h>' | cc "$@" "${strict[@]}" -fsyntax-only "${package[0]}" -; }
    check "header alone as C99" header -x c -std=c99
    check "header alone as C11" header -x c -std=c11
    check "header alone as C++11" header -x c++ -std=c++11
    check "header alone as C++17" header -x c++ -std=c++17

    library=$prefix/lib/libtenon.so
    nm -D --defined-only "$library" | awk '$2 ~ /^[A-Z]$/ {print $3}' | LC_ALL=C sort > "$work/exported"
    "$root/scripts/declared-functions.sh" > "$work/declared"
    check "exports are the declared functions" diff "$work/declared" "$work/exported"
    check "abi/tenon.symbols is up to date" diff "$root/abi/tenon.symbols" "$work/declared"
    cc -std=c99 "$root/Tests/C/layout.c" -o "$work/layout" "${package[@]}"
    "$work/layout" > "$work/layout.txt"
    check "abi/layout.txt is up to date" diff "$root/abi/layout.txt" "$work/layout.txt"
    check "soname is libtenon.so.0" sh -c "readelf -d '$library' | grep -q 'SONAME.*\[libtenon.so.0\]'"
    check "no Swift runtime needed" sh -c "! readelf -d '$library' | grep -E 'NEEDED.*(swift|Foundation|dispatch)'"
    check "no search path of the build machine" sh -c "! readelf -d '$library' | grep -E 'R(UN)?PATH' | grep -v ORIGIN"

    cmake_package() {
        cmake -S "$root/Tests/C/cmake" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$work/cmake" &&
            "$work/cmake/version"
    }
    if command -v cmake > /dev/null; then check "find_package(tenon)" cmake_package; fi

    for name in "${tests[@]}"; do
        check "$name" "$work/$name" "$root/Tests/Fixtures"
    done
fi

echo "C tests${mode:+ ($mode)}: $passed passed, ${#failed[@]} failed"
[ "${#failed[@]}" = 0 ]

#!/bin/bash
# The C and C++ suites under sanitizers, the library and its C++ shim built with them too.
# usage: sanitize.sh BUILD-FOLDER [address|undefined|thread...]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
kinds=("$@")
[ "${#kinds[@]}" -gt 0 ] || kinds=(address undefined thread)
cd "$root"
toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")")
status=0

# What replaces malloc itself, measures the stack, or counts on a fork amid threads, which the runtimes do not promise.
left_out=" test_allocations test_out_of_memory test_stack test_fork "

run_kind() {
    local kind=$1 name runtime work=$build/$1 passed=0
    local -A runtimes=([address]=asan [undefined]=ubsan_standalone [thread]=tsan)
    runtime=$(find "$toolchain/lib/clang" -name "libclang_rt.${runtimes[$kind]}-x86_64.so" 2>/dev/null | head -1)
    [ -n "$runtime" ] || {
        echo "sanitize: the toolchain has no shared runtime for '$kind'" >&2
        return 1
    }
    mkdir -p "$work"
    # The runtime is linked by name, because the compiler only gives it to programs. The undefined sanitizer is for C and C++: Swift
    # checks what it looks for by itself.
    local flags=(--sanitize="$kind")
    if [ "$kind" = undefined ]; then
        flags=()
        for option in -fsanitize=undefined -fno-sanitize=vptr,function -fno-sanitize-recover=undefined; do
            flags+=(-Xcc "$option" -Xcxx "$option")
        done
    fi
    "${SWIFT:-swift}" build -c debug --product tenon "${flags[@]}" --scratch-path "$work/swift" --disable-local-rpath \
        -Xlinker "$runtime" > "$work/build.log" 2>&1 || {
        tail -30 "$work/build.log" >&2
        return 1
    }
    mkdir -p "$work/lib"
    cp "$work/swift/debug/libtenon.so" "$work/lib/"
    ln -sf libtenon.so "$work/lib/libtenon.so.0"
    local common=(-g -O1 -fsanitize="$kind" -shared-libsan -Iinclude -ITests/C)
    local link=(-L"$work/lib" -ltenon -Wl,-rpath,"$work/lib" -Wl,-rpath,"$(dirname "$runtime")" -lpthread -ldl -lm)
    # The runtime of the thread sanitizer watches over libdispatch and asks for its symbols.
    local dispatch=$toolchain/lib/swift/linux
    [ "$kind" != thread ] || link+=(-Wl,--no-as-needed -L"$dispatch" -ldispatch -lBlocksRuntime -Wl,-rpath,"$dispatch")
    # Leaks are for valgrind: the runtime of Swift keeps much for the process.
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1
    export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS="suppressions=$root/Tests/tsan.supp halt_on_error=1"
    for source in Tests/C/test_*.c Tests/C/test_*.cpp; do
        name=$(basename "${source%.*}")
        [[ $left_out != *" $name "* ]] || continue
        if [[ $source == *.cpp ]]; then
            "$toolchain/bin/clang++" -std=c++17 "${common[@]}" "$source" -o "$work/$name" "${link[@]}"
        else
            "$toolchain/bin/clang" -std=c99 -D_POSIX_C_SOURCE=200809L "${common[@]}" "$source" -o "$work/$name" "${link[@]}" -lcmocka
        fi
        if timeout 900 "$work/$name" Tests/Fixtures > "$work/$name.log" 2>&1; then
            passed=$((passed + 1))
        else
            status=1
            echo "FAILED: $name under $kind"
            grep -E -A12 'ERROR:|WARNING:|runtime error' "$work/$name.log" | head -40 || tail -20 "$work/$name.log"
        fi
    done
    echo "$kind: $passed suites passed"
}

for kind in "${kinds[@]}"; do run_kind "$kind" || status=1; done
exit "$status"

#!/bin/bash
# Fuzzes importer, text form, runs and valid modules with libFuzzer and the address sanitizer.
# usage: fuzz.sh SECONDS [importer|text|run|valid...]
# Inputs that fail are left in build/fuzz; the corpus in the tree is only read.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=$1
shift
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(importer text run valid)
cd "$root"
work=build/fuzz
mkdir -p "$work"
export TENON_FUZZ=1
# oneDNN makes code at run time and libgomp keeps its threads: neither is a leak of ours.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1

# SwiftPM gives every program a main function of its own, so that the part of libFuzzer without one is linked.
toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")")
runtime=$(find "$toolchain/lib/clang" -name 'libclang_rt.fuzzer_no_main-x86_64.a' 2>/dev/null | head -1)
[ -n "$runtime" ] || {
    echo "fuzz.sh: the toolchain has no libFuzzer" >&2
    exit 1
}
flags=(
    -Xswiftc -O -Xswiftc -sanitize=address -Xcc -fsanitize=address
    -Xswiftc -sanitize-coverage=edge,indirect-calls,trace-cmp,inline-8bit-counters,pc-table
    -Xlinker "$runtime" -Xlinker -lstdc++ -Xswiftc -use-ld=lld
)
for target in "${targets[@]}"; do
    # Choices need no dictionary and no seeds.
    corpus=() words=
    case $target in
        valid) product=FuzzValid ;;
        importer) product=FuzzImporter words=onnx corpus=(Tests/Fuzz/corpus/onnx) ;;
        text) product=FuzzText words=text corpus=(Tests/Fuzz/corpus/text) ;;
        run) product=FuzzRun words=text corpus=(Tests/Fuzz/corpus/onnx Tests/Fuzz/corpus/text) ;;
        *) echo "fuzz.sh: unknown target $target" >&2; exit 2 ;;
    esac
    mkdir -p "$work/$target"
    # A linker that names every symbol it does not export would hide what matters.
    "${SWIFT:-swift}" build -c debug --product "$product" --scratch-path "$work/swift" \
        "${flags[@]}" >"$work/build.log" 2>&1 || {
        grep -v 'Cannot export local symbol' "$work/build.log" | tail -40 >&2
        exit 1
    }
    start=$(date +%s)
    "$work/swift/debug/$product" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=4096 \
        ${words:+-dict="Tests/Fuzz/$words.dict"} -artifact_prefix="$work/$target-" -print_final_stats=1 \
        "$work/$target" "${corpus[@]}" 2>"$work/$target.log" || {
        tail -60 "$work/$target.log" >&2
        echo "fuzz.sh: $target found something; the input is in $work" >&2
        exit 1
    }
    awk -v target="$target" -v seconds=$(($(date +%s) - start)) '/cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END { printf "%-9s %d inputs in %d s, %d edges, no finding\n", target, runs, seconds, edges }' "$work/$target.log"
done

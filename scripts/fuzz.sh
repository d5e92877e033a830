#!/bin/bash
# Fuzzes importer, text form and runs with libFuzzer and the address sanitizer. usage: fuzz.sh SECONDS [importer|text|run...]
# Inputs that fail are left in build/fuzz; the corpus in the tree is only read.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=$1
shift
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(importer text run)
cd "$root"
work=build/fuzz
mkdir -p "$work"
export TENON_FUZZ=1
# oneDNN makes code at run time and libgomp keeps its threads: neither is a leak of ours.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
for target in "${targets[@]}"; do
    case $target in
        importer) product=FuzzImporter corpus=(Tests/Fuzz/corpus/onnx) ;;
        text) product=FuzzText corpus=(Tests/Fuzz/corpus/text) ;;
        run) product=FuzzRun corpus=(Tests/Fuzz/corpus/onnx Tests/Fuzz/corpus/text) ;;
        *) echo "fuzz.sh: unknown target $target" >&2; exit 2 ;;
    esac
    "${SWIFT:-swift}" build -c debug -j 2 --product "$product" --scratch-path "$work/swift" \
        -Xswiftc -sanitize=fuzzer,address -Xswiftc -O
    mkdir -p "$work/$target"
    "$work/swift/debug/$product" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=4096 \
        -artifact_prefix="$work/$target-" -print_final_stats=1 "$work/$target" "${corpus[@]}" 2>"$work/$target.log" || {
        tail -60 "$work/$target.log" >&2
        echo "fuzz.sh: $target found something; the input is in $work" >&2
        exit 1
    }
    grep -E 'stat::number_of_executed_units|DONE|cov:' "$work/$target.log" | tail -2
done

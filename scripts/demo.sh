#!/bin/bash
# Runs the examples and says in plain words what came out. usage: demo.sh PREFIX EXAMPLES-FOLDER
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$1
examples=$2
digits=$root/Tests/Fixtures/digits
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo
echo "== conv2d -> reshape(bias) -> add -> relu, before and after fusion"
"$examples/conv_bias_relu" | tee "$work/fusion"
echo
echo "== 360 handwritten digits that the network never saw"
"$examples/classify" "$digits/digits.onnx" "$digits/heldout-images-idx3-ubyte" "$digits/heldout-labels-idx1-ubyte" |
    tee "$work/digits"
"$examples/classify-cpp" "$digits/digits.onnx" "$digits/heldout-images-idx3-ubyte" \
    "$digits/heldout-labels-idx1-ubyte" > "$work/digits-cpp"

echo
echo "== a region on a backend written in C"
"$examples/backend"
echo
echo "== a pass, an instrument and a backend written in C++"
"$examples/hosts-cpp"
echo
echo "== text from a small decoder with a cache, as numbers"
read -ra tokens < "$root/Tests/Fixtures/decoder/tokens.txt"
prompt=("${tokens[@]:1:${tokens[0]}}")
"$examples/generate" "$root/Tests/Fixtures/decoder/decoder.onnx" "$((${#tokens[@]} - 1 - ${#prompt[@]}))" "${prompt[@]}" |
    tee "$work/tokens"
[ "$(cat "$work/tokens")" = "${tokens[*]:1}" ] || {
    echo "demo: ONNX Runtime gives other tokens: ${tokens[*]:1}" >&2
    exit 1
}

field() { awk -v key="$2" '$1 == key { print $2 }' "$work/$1"; }
accuracy=$(field digits accuracy)
echo
echo "== Summary"
echo "library      $(du -hL "$prefix/lib/libtenon.so" | cut -f1) in $prefix/lib; header, pkg-config file and CMake package beside it"
echo "digits       accuracy $accuracy in C, $(field digits-cpp accuracy) in C++"
echo "fusion       $(field fusion fused) microseconds fused, $(field fusion unfused) with one primitive per operator: $(field fusion ratio) times as fast"
awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy >= 0.97) }' || {
    echo "demo: the accuracy should be at least 0.97" >&2
    exit 1
}
echo "demo: complete"

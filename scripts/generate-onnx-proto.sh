#!/bin/sh
# Generates Sources/TenonONNX/Proto/onnx.pb.swift from onnx.proto.
#
# Needs protoc (Debian: protobuf-compiler). The Swift plug-in is built from the swift-protobuf that this
# package depends on, unless PROTOC_GEN_SWIFT names one.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
folder="$root/Sources/TenonONNX/Proto"

command -v protoc >/dev/null || {
    echo "protoc is missing: install protobuf-compiler" >&2
    exit 1
}

plugin=${PROTOC_GEN_SWIFT:-}
if [ -z "$plugin" ]; then
    swift build --package-path "$root" --product protoc-gen-swift
    plugin="$(swift build --package-path "$root" --show-bin-path)/protoc-gen-swift"
fi

protoc --plugin="protoc-gen-swift=$plugin" --proto_path="$folder" \
    --swift_opt=Visibility=Package --swift_out="$folder" onnx.proto
echo "wrote ${folder#"$root"/}/onnx.pb.swift"

#!/usr/bin/env bash
# Generates Sources/ContainerdAPI/Generated from proto/. `--check` fails if the committed files are not what comes out.
# Needs Debian's protobuf-compiler and libprotobuf-dev; builds the two plugins once, in .build-protogen.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
scratch="$root/.build-protogen"
tools="$scratch/tools"
if [ ! -x "$tools/protoc-gen-swift" ] || [ ! -x "$tools/protoc-gen-grpc-swift-2" ]; then
  mkdir -p "$scratch/package/Sources/Anchor" "$tools"
  cat >"$scratch/package/Package.swift" <<'MANIFEST'
// swift-tools-version: 6.2
import PackageDescription
let package = Package(
  name: "protogen",
  dependencies: [
    .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0", traits: []),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf", exact: "2.4.1"),
  ],
  targets: [.executableTarget(name: "Anchor", dependencies: [.product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")])])
MANIFEST
  echo 'print("anchor")' >"$scratch/package/Sources/Anchor/main.swift"
  (cd "$scratch/package" && swift build -c release --product protoc-gen-swift && swift build -c release --product protoc-gen-grpc-swift-2)
  bin=$(cd "$scratch/package" && swift build -c release --show-bin-path)
  for plugin in swift grpc-swift-2; do
    built=$(find "$bin" -maxdepth 1 -type f -name "protoc-gen-$plugin*" ! -name '*.*' | head -n 1)
    cp "$built" "$tools/protoc-gen-$plugin"
  done
fi
out="$root/Sources/ContainerdAPI/Generated"
[ "${1:-}" = "--check" ] && out=$(mktemp -d)
mkdir -p "$out"
rm -f "$out"/*.swift
cd "$root/proto"
mapfile -t all < <(find . -name '*.proto' -printf '%P\n' | LC_ALL=C sort)
mapfile -t services < <(grep -l '^service ' "${all[@]}" | grep -v '^runtime/' | grep -v '^services/ttrpc/')
PATH="$tools:$PATH" protoc -I . --swift_out="$out" --swift_opt=Visibility=Public,FileNaming=PathToUnderscores "${all[@]}"
PATH="$tools:$PATH" protoc -I . --grpc-swift-2_out="$out" \
  --grpc-swift-2_opt=Visibility=Public,Client=true,Server=true,FileNaming=PathToUnderscores "${services[@]}"
if [ "${1:-}" = "--check" ]; then
  diff -r "$out" "$root/Sources/ContainerdAPI/Generated" && echo "generated code is fresh"
  rm -rf "$out"
fi

#!/usr/bin/env bash
# Writes the references of the dialects and passes from their td files: docs/generate.sh BUILD_DIR. The mlir-tblgen is
# that of the MLIR which the build uses, or MLIR_TBLGEN.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: docs/generate.sh BUILD_DIR}
mlir=$(sed -n 's/^MLIR_DIR:[A-Z]*=\(.*\)\/lib\/cmake\/mlir$/\1/p' "$build/CMakeCache.txt")
tblgen=${MLIR_TBLGEN:-$mlir/bin/mlir-tblgen}

# By way of a file beside it, so that an error leaves the page as it was.
write() {
  "$tblgen" "${@:2}" -I . -I "$mlir/include" >"docs/reference/$1.new"
  mv "docs/reference/$1.new" "docs/reference/$1"
}
trap 'rm -f docs/reference/*.new' EXIT
write tessera.md -gen-dialect-doc -dialect=tessera dialects/Tessera/TesseraOps.td
write rt.md -gen-dialect-doc -dialect=rt dialects/Runtime/RuntimeOps.td
write passes.md -gen-pass-doc passes/Passes.td

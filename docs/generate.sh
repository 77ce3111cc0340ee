#!/usr/bin/env bash
# Writes the references of the dialects and passes from their td files: docs/generate.sh BUILD_DIR, with MLIR's
# mlir-tblgen on PATH or in MLIR_TBLGEN.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: docs/generate.sh BUILD_DIR}
tblgen=${MLIR_TBLGEN:-mlir-tblgen}
include=$(sed -n 's/^MLIR_DIR:[A-Z]*=\(.*\)\/lib\/cmake\/mlir$/\1\/include/p' "$build/CMakeCache.txt")
"$tblgen" -gen-dialect-doc -dialect=tessera -I . -I "$include" dialects/Tessera/TesseraOps.td >docs/reference/tessera.md
"$tblgen" -gen-dialect-doc -dialect=rt -I . -I "$include" dialects/Runtime/RuntimeOps.td >docs/reference/rt.md
"$tblgen" -gen-pass-doc -I . -I "$include" passes/Passes.td >docs/reference/passes.md

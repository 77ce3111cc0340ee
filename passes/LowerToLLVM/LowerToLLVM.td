// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraLowerToLLVMPass : Pass<"tessera-lower-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Lower the host program and the kernels to the llvm dialect";
  let description = [{
    Kernels become internal functions on addresses and sizes. Each entry becomes the C function that docs/abi.md
    describes, `int32_t f(void *const *buffers, const int64_t *symbols, void *workspace)`, around the host program. Calls
    of the runtime go through the table at `tsr_runtime`, a zero pointer that the loader fills, so that the object has
    no undefined symbol; functions carry "no-builtins", so that LLVM makes none.

    Before:
    ```mlir
    func.func @f(%x: !rt.buffer, %out: !rt.buffer, %w: !rt.buffer, %n: index) attributes {tessera.entry} {
      rt.launch @k(%x, %out) sizes(%n)
    ```
    After:
    ```mlir
    llvm.func internal @f.host(%x: !llvm.ptr, %out: !llvm.ptr, %w: !llvm.ptr, %n: i64) -> i32 {
      llvm.call @k(%x, %out, %n)
    llvm.func @f(%buffers: !llvm.ptr, %symbols: !llvm.ptr, %workspace: !llvm.ptr) -> i32
    ```

    Pre-condition: control flow in cf, vectors in llvm, memory planned. Post-condition: only the llvm dialect.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

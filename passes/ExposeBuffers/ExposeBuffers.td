// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraExposeBuffersPass : Pass<"tessera-expose-buffers", "::mlir::func::FuncOp"> {
  let summary = "Let a kernel take buffers in place of tensors";
  let description = [{
    The tensor arguments of a kernel become `!rt.buffer`, seen as arrays by `rt.bind` with the sizes bound to them; its
    results are written to its destinations. Upstream's bufferization of function boundaries would pass descriptors
    where the caller has only addresses. A result that is made of pieces has a destination for each of them, a slice of
    the buffer, so that what is computed for one need not be kept while another is written.

    Before:
    ```mlir
    func.func private @k(%x: tensor<?xf32>, %out: tensor<?xf32>, %n: index) -> tensor<?xf32>
    ```
    After:
    ```mlir
    func.func private @k(%x: !rt.buffer, %out: !rt.buffer, %n: index) {
      %0 = rt.bind %x[%n] : memref<?xf32>
      %1 = bufferization.to_tensor %0 restrict : memref<?xf32> to tensor<?xf32>
    ```

    Pre-condition: a kernel function whose callers launch it on buffers. Post-condition: no tensor crosses its boundary.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect",
                           "::tessera::rt::RuntimeDialect"];
}

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraOutlineParallelPass : Pass<"tessera-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "Make the bodies of parallel loops functions over ranges of iterations";
  let description = [{
    Each `scf.forall` on buffers becomes `rt.parallel_for`, whose callee runs iterations [begin, end) of the flattened
    loop. Views and constants are made again inside; buffers and sizes are captured. The work that `rt.work` announced
    gives the grain: a range is worth a thread only from some tens of thousands of elements on.

    Before:
    ```mlir
    rt.work %D
    scf.forall (%i) in (%N) { ... }
    ```
    After:
    ```mlir
    rt.parallel_for @k.body count %N grain %g(%x, %D : !rt.buffer, index)
    func.func private @k.body(%begin: index, %end: index, %x: !rt.buffer, %D: index)
    ```

    Pre-condition: bufferized kernels. Post-condition: no `scf.forall` is left.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::scf::SCFDialect",
                           "::tessera::rt::RuntimeDialect"];
}

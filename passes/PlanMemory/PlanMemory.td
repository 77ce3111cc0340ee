// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraPlanMemoryPass : Pass<"tessera-plan-memory", "::mlir::ModuleOp"> {
  let summary = "Turn tensors of host functions into buffers of one workspace";
  let description = [{
    Each entry becomes a function of buffers: inputs, outputs, the workspace, then one size for each symbol in the order
    of its `tessera.symbol` operations. A second function, `<entry>.workspace`, computes from the sizes how many bytes
    the workspace needs. Kernels keep their tensors.

    * What a function returns is computed in the output's buffer; it is copied there only where that can't be: an
      argument or one of its views is returned, or one value twice.
    * A kernel changes a tensor in place (`outs` is the result of another kernel) if nothing reads that tensor later;
      otherwise it changes a copy. Arguments are never changed, but for those with `tessera.donated`: a result with
      `tessera.alias = i` is argument i, changed in place, and it is an error if that takes a copy.
    * A loop has one buffer for each tensor it carries. It takes over the buffer of the initial value if that is dead,
      and the body computes in it what it yields if the old value is dead by then; otherwise they are copied. A branch
      computes in its result's buffer.
    * Buffers whose lifetimes are disjoint share a slot of the workspace if one is at least as large as the other for
      all sizes that the symbols' bounds admit. Sizes are compared as polynomials of symbols; slots are 64-byte aligned.

    Before:
    ```mlir
    func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
      %B = tessera.symbol "B"
      tessera.bind_shape %x[%B] : tensor<?x4xf32>
      %0 = tensor.empty(%B) : tensor<?x4xf32>
      %1 = rt.dispatch @k ins(%x : tensor<?x4xf32>) outs(%0 : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
      %2 = rt.dispatch @k ins(%1 : tensor<?x4xf32>) outs(%0 : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
      return %2 : tensor<?x4xf32>
    }
    ```
    After:
    ```mlir
    func.func @f(%x: !rt.buffer, %out: !rt.buffer, %workspace: !rt.buffer, %B: index)
        attributes {tessera.buffers = 2 : i64, tessera.entry, tessera.symbols = ["B"]} {
      %c0 = arith.constant 0 : index
      %0 = rt.slice %workspace[%c0]
      rt.launch @k(%x, %0) sizes(%B)
      rt.launch @k(%0, %out) sizes(%B)
      return
    }
    func.func @f.workspace(%B: index) -> index attributes {tessera.workspace}
    ```

    With `observe`, `rt.observe` shows the runtime each result of a kernel after its launch.

    Pre-condition: host functions have one block of dispatches, views (`tessera.reshape`), index arithmetic,
    `tensor.extract` of scalars, and scf.for, scf.while and scf.if of these; calls are inlined. Sizes of memory are
    arithmetic on symbols. Outputs don't overlap inputs. Post-condition: no tensor is left outside kernels.
  }];
  let options = [
    Option<"observe", "observe", "bool", /*default=*/"false", "Show the runtime what each kernel computes">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::scf::SCFDialect",
                           "::tessera::rt::RuntimeDialect"];
}

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraOutlineBlocksPass : Pass<"tessera-outline-blocks", "::mlir::ModuleOp"> {
  let summary = "Make the bodies of parallel loops kernels of a gpu.module";
  let description = [{
    Each `scf.forall` on buffers becomes `rt.launch_blocks` of a `gpu.func`, in which a block of threads runs one
    iteration of the flattened loop; what a kernel function computes outside of such loops becomes a loop of one
    iteration first. Views and constants are made again inside; buffers and sizes are captured.

    Where the body is a row program (see tessera-emit-threads), as many threads work on a row as its length is worth, and
    a block takes several rows if these are few: `tessera.row_threads` says how many. From sm_90 on, a cluster of blocks
    shares a row that one of them could not keep: `tessera.cluster`.

    What a function allocates for one loop to leave to another is `rt.scratch`.

    Before:
    ```mlir
    scf.forall (%i) in (%N) { ... }
    ```
    After:
    ```mlir
    rt.launch_blocks @kernels::@k blocks %N(%x, %D : !rt.buffer, index)
    gpu.module @kernels [#nvvm.target<...>] {
      gpu.func @k(%x: !rt.buffer, %D: index) kernel attributes {known_block_size = ..., tessera.threads = 256 : i32}
    ```

    Pre-condition: bufferized kernels. Post-condition: functions outside of the gpu.module compute sizes and launch.
  }];
  let options = [
    Option<"chip", "chip", "std::string", /*default=*/"\"sm_80\"", "The architecture, as ptxas names it">,
    Option<"features", "features", "std::string", /*default=*/"\"+ptx80\"", "Features of LLVM's NVPTX target">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::NVVM::NVVMDialect", "::mlir::scf::SCFDialect", "::tessera::rt::RuntimeDialect"];
}

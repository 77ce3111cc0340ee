// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraEmitMatmulPass : Pass<"tessera-emit-matmul", "::mlir::func::FuncOp"> {
  let summary = "Turn matrix products on memrefs into register-blocked loops over vectors";
  let description = [{
    The loop nest is GotoBLAS's without its outer levels, which the tiling of the kernel supplies: a block of K rows and
    a panel of N columns of B is packed into a local buffer that stays in L1, in the accumulator's type and padded with
    zeros; then strips of A's rows pass over it, each holding its tile of C in vector registers for the whole block.
    A is read in place, one scalar at a time, where it is in the accumulator's type and contiguous along K; otherwise a
    block of its rows is packed as well. C is read and written once for each block of K. Every size may be dynamic:
    ragged rows run smaller tiles, ragged columns masked loads and stores.

    With `bf16-dot`, operands that are both bf16, and whose product is added up in f32, stay bf16: vdpbf16ps multiplies
    pairs of them that follow each other along K. B is packed as such pairs, interleaved from two of its rows or
    transposed as words of 32 bits, and one word of A is broadcast at a time. That instruction takes subnormal numbers
    for zero.

    An operand may be transposed, have outer (batch) dimensions, which become loops, or lack some of them. The buffers
    are allocated on the stack where the enclosing parallel loop's body begins, or at the function's entry; a
    worker needs up to 228 KiB.

    Before:
    ```mlir
    linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<?x?xbf16>, memref<?x?xbf16>) outs(%c : memref<?x?xf32>) {
    ^bb0(%x: bf16, %y: bf16, %sum: f32):
      %0 = arith.extf %x : bf16 to f32
      %1 = arith.extf %y : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %sum, %2 : f32
      linalg.yield %3 : f32
    }
    ```
    After:
    ```mlir
    %tile:16 = scf.for %k = %c0 to %kc step %c1 iter_args(%c00 = ..., ...) -> (vector<16xf32>, ...) {
      %b0 = vector.load %panel[%k, %c0] : memref<256x32xf32>, vector<16xf32>
      %a0 = memref.load %block[%i, %k] : memref<192x256xf32>
      %v0 = vector.broadcast %a0 : f32 to vector<16xf32>
      %r00 = vector.fma %v0, %b0, %c00 : vector<16xf32>
      ...
    ```

    After shows the innermost loop, for a tile of 8 by 32.

    Pre-condition: bufferized. Post-condition: no linalg.generic on memrefs is a product of two matrices accumulated in
    f32, f64, i32 or i64.
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", /*default=*/"512",
           "Width of a vector register: 512 gives tiles of 8 by 32 f32, 256 gives 6 by 16">,
    Option<"bf16Dot", "bf16-dot", "bool", /*default=*/"false",
           "The processor has vdpbf16ps: operands that are both bf16 are multiplied by pairs">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::vector::VectorDialect"];
}

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

include "mlir/Pass/PassBase.td"

def TesseraExpandFp8Pass : Pass<"tessera-expand-fp8"> {
  let summary = "Convert from and to 8-bit floats as the target can";
  let description = [{
    x86 has no instructions for f8E4M3FN and f8E5M2, and LLVM no such types. `arith.extf` from them and `arith.truncf`
    to them, of scalars and of vectors, become arithmetic on their codes, without branches:

    * widening moves the code into an f16, which holds every value of either type and which the hardware converts,
      subnormals included; an f8E4M3FN needs its exponent corrected by a multiplication by 256, which is exact
    * narrowing rounds to nearest even on the bits of the f32; where the result is subnormal, by the addition of a
      power of two whose last place is the type's smallest number. What is too large becomes infinity in f8E5M2 and NaN
      in f8E4M3FN, which has no infinity. Other types go through f32, f64 too, where it may round twice

    NVIDIA GPUs from sm_89 on convert two at a time, to f16 and from f32. Their instructions saturate, so a select gives
    what is too large, and NaN, the code that it has elsewhere.

    The results are those of ml_dtypes, NaN's codes included. Elsewhere 8-bit floats stay, as bits: loads, stores,
    constants and the bitcasts made here become i8 on the way to LLVM.

    Before:
    ```mlir
    %y = arith.extf %x : vector<16xf8E5M2> to vector<16xf32>
    ```
    After:
    ```mlir
    %code = arith.bitcast %x : vector<16xf8E5M2> to vector<16xi8>
    %number = ... // NaNs made equal
    %wide = arith.extui %number : vector<16xi8> to vector<16xi16>
    %bits = arith.shli %wide, %c8 : vector<16xi16>
    %half = arith.bitcast %bits : vector<16xi16> to vector<16xf16>
    %y = arith.extf %half : vector<16xf16> to vector<16xf32>
    ```

    Pre-condition: the target converts f16 (F16C); kernels are in a gpu.module of their target, in scalars and in vectors
    of one dimension. Post-condition: no extf or truncf with a default rounding mode has an
    operand or result of these types.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::vector::VectorDialect"];
}

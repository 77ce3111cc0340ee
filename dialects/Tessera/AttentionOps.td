// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_ATTENTION_OPS
#define TESSERA_ATTENTION_OPS

include "dialects/Tessera/TesseraBase.td"

def Tessera_FlashAttentionOp : Tessera_PureOp<"flash_attention", [AttrSizedOperandSegments]> {
  let summary = "Weigh values by the softmax of the products of queries and keys";
  let description = [{
    output[b,h,i,:] = sum_j softmax_j(scale * query[b,h,i,:] . key[b,g,j,:] + mask[b,h,i,j]) value[b,g,j,:], where head h
    reads the keys and values of head g = h / (H / Hkv); without a scale it is 1/sqrt(D). It is computed in f32 (f64 for f64) and rounded once. Position i
    of the queries stands at key position p = i + Sk - Sq: with is_causal it reads keys up to p, and with a window
    [left, right] keys from p - left to p + right, where -1 is no bound. A mask of booleans keeps the keys where it is
    true. A query without any key gives 0. lse is log(sum_j exp(...)), -inf for such a query.

    With dropout, each weight becomes 0 with that probability, and the others are divided by 1 - dropout: the weight of
    (b, h, i, j) where the upper 24 bits of the first word of Philox4x32-10 (J. Salmon et al., Parallel random numbers: as
    easy as 1, 2, 3, 2011) with counter (j, i, b H + h, 0) and the seed as key are below dropout 2^24.

    No lowering holds all products of queries and keys at once (T. Dao et al., FlashAttention, 2022).

    Constraints:
    * (C1) query, key and value have rank 4 and one element type, which is the output's
    * (C2) query [B,H,Sq,D], key [B,Hkv,Sk,D] and value [B,Hkv,Sk,Dv] agree
    * (C3) H is a multiple of Hkv
    * (C4) mask is of booleans or floats, has rank 4 or less, and each of its sizes is 1 or that of [B,H,Sq,Sk]
    * (C5) output is [B,H,Sq,Dv], and lse is [B,H,Sq] of f32 (f64 for f64)
    * (C6) the window has two bounds of -1 or more
    * (C7) dropout is at least 0 and below 1, and there with a seed

    ```mlir
    %o = tessera.flash_attention %q, %k, %v scale = 0.125 causal
        : (tensor<1x8x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x64xbf16>) -> tensor<1x8x?x64xbf16>
    ```
  }];
  let arguments = (ins Tessera_FloatTensor:$query, Tessera_FloatTensor:$key, Tessera_FloatTensor:$value,
                   Optional<Tessera_Tensor>:$mask, Optional<0DTensorOf<[I64]>>:$seed, OptionalAttr<F64Attr>:$scale,
                   UnitAttr:$is_causal, OptionalAttr<DenseI64ArrayAttr>:$window, OptionalAttr<F64Attr>:$dropout);
  let results = (outs Tessera_FloatTensor:$output, Optional<Tessera_FloatTensor>:$lse);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`mask` $mask^)? (`scale` `=` $scale^)? (`causal` $is_causal^)? (`window` `=` $window^)?
    (`dropout` `=` $dropout^)? (`seed` $seed^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif // TESSERA_ATTENTION_OPS

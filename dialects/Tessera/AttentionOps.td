// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_ATTENTION_OPS
#define TESSERA_ATTENTION_OPS

include "dialects/Tessera/TesseraBase.td"

def Tessera_FlashAttentionOp : Tessera_PureOp<"flash_attention", [AttrSizedOperandSegments]> {
  let summary = "Weigh values by the softmax of the products of queries and keys";
  let description = [{
    output[b,h,i,:] = sum_j softmax_j(scale * query[b,h,i,:] . key[b,g,j,:] + mask[b,h,i,j]) value[b,g,j,:], where head h
    reads the keys and values of head g = h / (H / Hkv); without a scale it is 1/sqrt(D). It is computed in f32 (f64 for
    f64) and rounded once. Position i of the queries stands at key position p = i + Sk - Sq: with is_causal it reads keys
    up to p, and with a window [left, right] keys from p - left to p + right, where -1 is no bound. A mask of booleans
    keeps the keys where it is true. A query without any key gives 0. lse is log(sum_j exp(...)), -inf for such a query.

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

def Tessera_FlashAttentionVarlenOp : Tessera_PureOp<"flash_attention_varlen"> {
  let summary = "Attention of sequences that lie one after the other";
  let description = [{
    Sequence n has the queries query_starts[n] to query_starts[n+1] and the keys and values key_starts[n] to
    key_starts[n+1]; within it this is `tessera.flash_attention`, whose attributes mean the same. For dropout, n takes the
    place of the batch. Starts are clipped to the tensors and to what came before them. A query outside of all sequences
    gives 0, and -inf as lse.

    Constraints:
    * (C1) query, key and value have rank 3 and one element type, which is the output's
    * (C2) query [T,H,D], key [Tk,Hkv,D] and value [Tk,Hkv,Dv] agree
    * (C3) H is a multiple of Hkv
    * (C4) the starts have rank 1 and one size
    * (C5) output is [T,H,Dv], and lse is [H,T] of f32 (f64 for f64)
    * (C6) the window has two bounds of -1 or more
    * (C7) dropout is at least 0 and below 1, and there with a seed

    ```mlir
    %o = tessera.flash_attention_varlen %q, %k, %v starts %a, %b causal
        : (tensor<?x8x64xbf16>, tensor<?x2x64xbf16>, tensor<?x2x64xbf16>, tensor<?xi32>, tensor<?xi32>)
          -> tensor<?x8x64xbf16>
    ```
  }];
  let arguments = (ins Tessera_FloatTensor:$query, Tessera_FloatTensor:$key, Tessera_FloatTensor:$value,
                   1DTensorOf<[I32, I64]>:$query_starts, 1DTensorOf<[I32, I64]>:$key_starts,
                   Optional<0DTensorOf<[I64]>>:$seed, OptionalAttr<F64Attr>:$scale, UnitAttr:$is_causal,
                   OptionalAttr<DenseI64ArrayAttr>:$window, OptionalAttr<F64Attr>:$dropout);
  let results = (outs Tessera_FloatTensor:$output, Optional<Tessera_FloatTensor>:$lse);
  let assemblyFormat = [{
    $query `,` $key `,` $value `starts` $query_starts `,` $key_starts (`scale` `=` $scale^)? (`causal` $is_causal^)?
    (`window` `=` $window^)? (`dropout` `=` $dropout^)? (`seed` $seed^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Tessera_PagedAttentionOp : Tessera_PureOp<"paged_attention"> {
  let summary = "Attention to keys and values in pages";
  let description = [{
    Key j of sequence b is row j % page of page block_tables[b, j / page], for j below seq_lens[b]: the cache of a
    language model (W. Kwon et al., PagedAttention, 2023). The last new_lens[b] of these keys are those of the first
    new_lens[b] queries, which see the keys up to their own (and, with a window, no more than that many before it).
    Any other query gives 0. Page numbers are clipped to the pages there are.

    Constraints:
    * (C1) query, key and value have rank 4 and one element type, which is the output's
    * (C2) query [B,H,S,D], key [pages,page,Hkv,D] and value [pages,page,Hkv,Dv] agree
    * (C3) H is a multiple of Hkv
    * (C4) block_tables is [B,N], seq_lens and new_lens are [B]
    * (C5) output is [B,H,S,Dv]
    * (C6) the window is 0 or more

    ```mlir
    %o = tessera.paged_attention %q, %k, %v tables %t, %n, %m scale = 0.0416
        : (tensor<?x32x1x576xbf16>, tensor<?x64x1x576xbf16>, tensor<?x64x1x512xbf16>, tensor<?x?xi32>, tensor<?xi32>,
           tensor<?xi32>) -> tensor<?x32x1x512xbf16>
    ```
  }];
  let arguments = (ins Tessera_FloatTensor:$query, Tessera_FloatTensor:$key, Tessera_FloatTensor:$value,
                   2DTensorOf<[I32]>:$block_tables, 1DTensorOf<[I32]>:$seq_lens, 1DTensorOf<[I32]>:$new_lens,
                   OptionalAttr<F64Attr>:$scale, OptionalAttr<I64Attr>:$window);
  let results = (outs Tessera_FloatTensor:$output);
  let assemblyFormat = [{
    $query `,` $key `,` $value `tables` $block_tables `,` $seq_lens `,` $new_lens (`scale` `=` $scale^)?
    (`window` `=` $window^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif // TESSERA_ATTENTION_OPS

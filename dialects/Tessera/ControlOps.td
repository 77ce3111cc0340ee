// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_CONTROL_OPS
#define TESSERA_CONTROL_OPS

include "mlir/Interfaces/ControlFlowInterfaces.td"
include "dialects/Tessera/TesseraBase.td"

def Tessera_YieldOp : Tessera_Op<"yield", [Pure, ReturnLike, Terminator,
                                           ParentOneOf<["CondOp", "WhileLoopOp", "ScanOp"]>]> {
  let summary = "End a region with its values";
  let arguments = (ins Variadic<AnyRankedTensor>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
}

def Tessera_CondOp : Tessera_Op<"cond", [RecursiveMemoryEffects]> {
  let summary = "Compute one of two regions";
  let description = [{
    The sizes are those of the results' dynamic dimensions, in order: what a region computes is not seen outside of it.

    Constraints:
    * (C1) both regions have no arguments and yield the result types
    * (C2) there is one size for each dynamic dimension of the results
  }];
  let arguments = (ins 0DTensorOf<[I1]>:$predicate, Variadic<Index>:$sizes);
  let results = (outs Variadic<Tessera_Tensor>:$results);
  let regions = (region SizedRegion<1>:$then_region, SizedRegion<1>:$else_region);
  let assemblyFormat = [{
    $predicate (`sizes` `(` $sizes^ `)`)? `then` $then_region `else` $else_region attr-dict `:`
    functional-type($predicate, $results)
  }];
  let hasVerifier = 1;
}

def Tessera_WhileLoopOp : Tessera_Op<"while_loop", [RecursiveMemoryEffects, AllTypesMatch<["inits", "results"]>]> {
  let summary = "Repeat a region while a condition holds";
  let description = [{
    Constraints:
    * (C1) both regions take the types of the initial values
    * (C2) the condition yields one tensor<i1>; the body yields the types of the initial values
  }];
  let arguments = (ins Variadic<Tessera_Tensor>:$inits);
  let results = (outs Variadic<Tessera_Tensor>:$results);
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body);
  let assemblyFormat = "$inits `while` $condition `do` $body attr-dict `:` type($results)";
  let hasVerifier = 1;
}

def Tessera_ScanOp : Tessera_Op<"scan", [AttrSizedOperandSegments, RecursiveMemoryEffects]> {
  let summary = "Repeat a region over the slices of tensors, carrying values along";
  let description = [{
    The first num_carry operands are the initial carried values; the others are sliced along dimension 0. The region
    takes the carried values and one slice of each, and yields the next carried values and a slice of each stacked
    result. The results are the last carried values and the stacked results. The sizes are those of the stacked
    results' dynamic dimensions other than the first, in order.

    Constraints:
    * (C1) the region takes one value for each operand and yields one for each result; num_carry is at most either
    * (C2) carried values keep their types
    * (C3) the other arguments and yielded values are slices of their operands and results along dimension 0
    * (C4) there is one size for each dynamic dimension of the yielded slices
  }];
  let arguments = (ins Variadic<Tessera_Tensor>:$inputs, Index:$length, Variadic<Index>:$sizes, I64Attr:$num_carry);
  let results = (outs Variadic<Tessera_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `(` $inputs `)` `length` `=` $length (`sizes` `(` $sizes^ `)`)? `carry` `=` $num_carry $body attr-dict `:`
    functional-type($inputs, $results)
  }];
  let hasVerifier = 1;
}

// Reserved: tessera.extern, a foreign kernel (PTX, cubin or a C symbol) as one operation with a signature and effects.

#endif // TESSERA_CONTROL_OPS

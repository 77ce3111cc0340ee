// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_SYMBOL_OPS
#define TESSERA_SYMBOL_OPS

include "dialects/Tessera/TesseraBase.td"
include "mlir/Interfaces/ValueBoundsOpInterface.td"

def Tessera_SymbolOp : Tessera_Op<"symbol", [Pure,
    DeclareOpInterfaceMethods<ValueBoundsOpInterface, ["populateBoundsForIndexValue"]>]> {
  let summary = "Name a size that is known when the program runs";
  let description = [{
    A symbol is a value, so that equal sizes are equal values and survive every transformation. What is known of it
    bounds it: guards of the artifact check the same facts before anything runs.

    Constraints:
    * (C1) 0 <= min <= max where both are given
    * (C2) multiple_of >= 1

    ```mlir
    %S = tessera.symbol "S" {max = 8192 : i64, multiple_of = 16 : i64}
    ```
  }];
  let arguments = (ins StrAttr:$name, OptionalAttr<I64Attr>:$min, OptionalAttr<I64Attr>:$max,
                       OptionalAttr<I64Attr>:$multiple_of);
  let results = (outs Index:$result);
  let assemblyFormat = "$name attr-dict";
  let hasVerifier = 1;
}

def Tessera_BindShapeOp : Tessera_Op<"bind_shape"> {
  let summary = "Tie the dynamic dimensions of a tensor to sizes";
  let description = [{
    One index operand for each dynamic dimension, in order. It has no result: a use of the tensor's size finds it from
    the tensor.

    Constraints:
    * (C1) as many sizes as `source` has dynamic dimensions

    ```mlir
    tessera.bind_shape %x [%B, %S] : tensor<?x?x4096xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, Variadic<Index>:$sizes);
  let assemblyFormat = "$source `[` $sizes `]` attr-dict `:` type($source)";
  let hasVerifier = 1;
}

def Tessera_FromIndexOp : Tessera_PureOp<"from_index"> {
  let summary = "Use a size as a number";
  let arguments = (ins Index:$size);
  let results = (outs 0DTensorOf<[I64]>:$result);
  let assemblyFormat = "$size attr-dict `:` type($result)";
}

#endif // TESSERA_SYMBOL_OPS

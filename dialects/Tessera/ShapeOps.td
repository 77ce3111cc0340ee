// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_SHAPE_OPS
#define TESSERA_SHAPE_OPS

include "dialects/Tessera/TesseraBase.td"

def Tessera_ConstantOp : Tessera_PureOp<"constant", [ConstantLike, AllTypesMatch<["value", "result"]>]> {
  let summary = "Hold a constant tensor";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
}

def Tessera_BroadcastToOp : Tessera_PureOp<"broadcast_to"> {
  let summary = "Repeat a tensor along new dimensions and dimensions of size 1";
  let description = [{
    Constraints:
    * (C1) one size for each dynamic dimension of the result
    * (C2) the operand's shape broadcasts to the result's
    * (C3) operand and result have one element type
  }];
  let arguments = (ins Tessera_Tensor:$operand, Variadic<Index>:$sizes);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$operand `[` $sizes `]` attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

def Tessera_IotaOp : Tessera_PureOp<"iota"> {
  let summary = "Count 0, 1, 2, ... along a dimension";
  let description = [{
    Constraints:
    * (C1) one size for each dynamic dimension of the result
    * (C2) dim is a dimension of the result
  }];
  let arguments = (ins I64Attr:$dim, Variadic<Index>:$sizes);
  let results = (outs Tessera_NumberTensor:$result);
  let assemblyFormat = "`dim` `=` $dim `[` $sizes `]` attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tessera_ReshapeOp : Tessera_PureOp<"reshape"> {
  let summary = "Give the same elements, in row-major order, another shape";
  let description = [{
    Constraints:
    * (C1) one size for each dynamic dimension of the result
    * (C2) static shapes have equally many elements
    * (C3) operand and result have one element type
  }];
  let arguments = (ins Tessera_Tensor:$operand, Variadic<Index>:$sizes);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$operand `[` $sizes `]` attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tessera_TransposeOp : Tessera_PureOp<"transpose"> {
  let summary = "Permute dimensions";
  let description = [{
    Constraints:
    * (C1) permutation is one of the operand's dimensions
    * (C2) dimension i of the result is dimension permutation[i] of the operand
  }];
  let arguments = (ins Tessera_Tensor:$operand, DenseI64ArrayAttr:$permutation);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$operand `permutation` `=` $permutation attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Tessera_SliceOp : Tessera_PureOp<"slice", [AttrSizedOperandSegments]> {
  let summary = "Take elements at regular distances";
  let description = [{
    Element i of the result is element offset + i * stride of the operand, in each dimension. The offsets and sizes are
    within bounds: the frontend proves it or makes it a guard.

    Constraints:
    * (C1) one offset and one stride for each dimension; no stride is 0
    * (C2) one size for each dynamic dimension of the result
    * (C3) operand and result have one rank and element type
  }];
  let arguments = (ins Tessera_Tensor:$operand, Variadic<Index>:$offsets, Variadic<Index>:$sizes,
                       DenseI64ArrayAttr:$strides);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = [{
    $operand `[` $offsets `]` `[` $sizes `]` `strides` `=` $strides attr-dict `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tessera_ConcatOp : Tessera_PureOp<"concat"> {
  let summary = "Join tensors along a dimension";
  let description = [{
    Constraints:
    * (C1) at least one operand; all of one rank and element type, the result's too
    * (C2) dim is a dimension of the result, whose size is the sum of the operands'
    * (C3) all other dimensions agree
  }];
  let arguments = (ins Variadic<Tessera_Tensor>:$inputs, I64Attr:$dim);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$inputs `dim` `=` $dim attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Tessera_GatherOp : Tessera_PureOp<"gather"> {
  let summary = "Take slices of a tensor at the positions that another one holds";
  let description = [{
    NumPy's take: the result has shape operand[:dim] + indices + operand[dim+1:]. An index that is not in
    [0, size of dim) is an error on the CPU.

    Constraints:
    * (C1) dim is a dimension of the operand
    * (C2) the result has the shape above and the operand's element type
  }];
  let arguments = (ins Tessera_Tensor:$operand, Tessera_IntTensor:$indices, I64Attr:$dim);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$operand `[` $indices `]` `dim` `=` $dim attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Tessera_ScatterOp : Tessera_PureOp<"scatter", [AllTypesMatch<["operand", "result"]>]> {
  let summary = "Replace slices of a tensor at the positions that another one holds";
  let description = [{
    result[indices[i], ...] is updates[i, ...]; all else is the operand's. An index that is not in
    [0, size of dimension 0) is skipped. Of updates with one index, any may be the one that stays.

    Where nothing reads the operand later, its memory becomes the result's: a cache is updated in place.

    Constraints:
    * (C1) indices have rank 1
    * (C2) updates have the operand's element type, and its shape but for dimension 0, which is that of the indices

    ```mlir
    %1 = tessera.scatter %updates into %pool[%rows] : tensor<?x576xbf16>, tensor<?xi64> into tensor<?x576xbf16>
    ```
  }];
  let arguments = (ins Tessera_Tensor:$operand, Tessera_IntTensor:$indices, Tessera_Tensor:$updates);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = [{
    $updates `into` $operand `[` $indices `]` attr-dict
    `:` type($updates) `,` type($indices) `into` type($operand)
  }];
  let hasVerifier = 1;
}

#endif // TESSERA_SHAPE_OPS

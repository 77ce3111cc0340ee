// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_REDUCTION_OPS
#define TESSERA_REDUCTION_OPS

include "dialects/Tessera/TesseraBase.td"

class Tessera_ReduceOp<string mnemonic, Type type, string what> : Tessera_PureOp<mnemonic> {
  let summary = what;
  let description = [{
    Constraints:
    * (C1) dims are sorted, distinct and dimensions of the operand
    * (C2) the result has the operand's element type
    * (C3) the result has the operand's shape without dims, or with 1 in their place if keepdims is set
  }];
  let arguments = (ins type:$operand, DenseI64ArrayAttr:$dims, UnitAttr:$keepdims);
  let results = (outs type:$result);
  let assemblyFormat = "$operand `dims` `=` $dims attr-dict `:` type($operand) `->` type($result)";
  let extraClassDeclaration = [{ ::llvm::LogicalResult verify(); }];
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::verify() {
      return verifyReduction(getOperation(), getDims(), getKeepdims(), getOperand().getType().getElementType());
    }
    ::llvm::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return reifyReduction(builder, getOperation(), getDims(), getKeepdims(), shapes);
    }
  }];
}

def Tessera_ReduceSumOp : Tessera_ReduceOp<"reduce_sum", Tessera_NumberTensor, "Add up elements; 0 for none">;
def Tessera_ReduceProdOp : Tessera_ReduceOp<"reduce_prod", Tessera_NumberTensor, "Multiply elements; 1 for none">;
def Tessera_ReduceMaxOp : Tessera_ReduceOp<"reduce_max", Tessera_NumberTensor, "Find the largest; NaN wins; the lowest value for none">;
def Tessera_ReduceMinOp : Tessera_ReduceOp<"reduce_min", Tessera_NumberTensor, "Find the smallest; NaN wins; the highest value for none">;
def Tessera_ReduceAnyOp : Tessera_ReduceOp<"reduce_any", Tessera_BoolTensor, "Find out whether any is true">;
def Tessera_ReduceAllOp : Tessera_ReduceOp<"reduce_all", Tessera_BoolTensor, "Find out whether all are true">;

class Tessera_ArgReduceOp<string mnemonic, string what> : Tessera_PureOp<mnemonic> {
  let summary = what;
  let description = [{
    The first occurrence counts; NaN counts as the extreme.

    Constraints:
    * (C1) dim is a dimension of the operand
    * (C2) the result's element type is i64
    * (C3) the result has the operand's shape without dim, or with 1 in its place if keepdims is set
  }];
  let arguments = (ins Tessera_NumberTensor:$operand, I64Attr:$dim, UnitAttr:$keepdims);
  let results = (outs Tessera_IntTensor:$result);
  let assemblyFormat = "$operand `dim` `=` $dim attr-dict `:` type($operand) `->` type($result)";
  let extraClassDeclaration = [{ ::llvm::LogicalResult verify(); }];
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::verify() {
      return verifyReduction(getOperation(), {static_cast<int64_t>(getDim())}, getKeepdims(),
                             ::mlir::IntegerType::get(getContext(), 64));
    }
    ::llvm::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return reifyReduction(builder, getOperation(), {static_cast<int64_t>(getDim())}, getKeepdims(), shapes);
    }
  }];
}

def Tessera_ArgMaxOp : Tessera_ArgReduceOp<"argmax", "Find where the largest element is">;
def Tessera_ArgMinOp : Tessera_ArgReduceOp<"argmin", "Find where the smallest element is">;

def Tessera_CumSumOp : Tessera_PureOp<"cumsum", [SameOperandsAndResultType]> {
  let summary = "Add up elements along a dimension, keeping every partial sum";
  let description = [{
    Constraints:
    * (C1) dim is a dimension of the operand
  }];
  let arguments = (ins Tessera_NumberTensor:$operand, I64Attr:$dim);
  let results = (outs Tessera_NumberTensor:$result);
  let assemblyFormat = "$operand `dim` `=` $dim attr-dict `:` type($operand)";
  let hasVerifier = 1;
}

def Tessera_SortOp : Tessera_PureOp<"sort"> {
  let summary = "Sort along a dimension, stably, and say where each element was";
  let description = [{
    NaN sorts last (first if descending).

    Constraints:
    * (C1) dim is a dimension of the operand
    * (C2) both results have the operand's shape; values has its element type
  }];
  let arguments = (ins Tessera_NumberTensor:$operand, I64Attr:$dim, UnitAttr:$descending);
  let results = (outs Tessera_NumberTensor:$values, RankedTensorOf<[I64]>:$indices);
  let assemblyFormat = "$operand `dim` `=` $dim attr-dict `:` type($operand) `->` type(results)";
  let hasVerifier = 1;
}

def Tessera_TopKOp : Tessera_PureOp<"topk"> {
  let summary = "Find the k largest along a dimension, in descending order";
  let description = [{
    Among equals, the first come first.

    Constraints:
    * (C1) dim is a dimension of the operand, and k at most its size
    * (C2) both results have the operand's shape with k at dim; values has its element type
  }];
  let arguments = (ins Tessera_NumberTensor:$operand, I64Attr:$k, I64Attr:$dim);
  let results = (outs Tessera_NumberTensor:$values, RankedTensorOf<[I64]>:$indices);
  let assemblyFormat = "$operand `k` `=` $k `dim` `=` $dim attr-dict `:` type($operand) `->` type(results)";
  let hasVerifier = 1;
}

#endif // TESSERA_REDUCTION_OPS

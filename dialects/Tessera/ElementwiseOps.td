// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_ELEMENTWISE_OPS
#define TESSERA_ELEMENTWISE_OPS

include "dialects/Tessera/TesseraBase.td"

/// Marks the operations whose result depends on one element of each operand.
def Tessera_Elementwise : NativeOpTrait<"Elementwise"> {
  let cppNamespace = "::tessera";
}

class Tessera_UnaryOp<string mnemonic, Type type, string what>
    : Tessera_PureOp<mnemonic, [Tessera_Elementwise, SameOperandsAndResultType]> {
  let summary = what;
  let arguments = (ins type:$operand);
  let results = (outs type:$result);
  let assemblyFormat = "$operand attr-dict `:` type($result)";
}

def Tessera_NegOp : Tessera_UnaryOp<"neg", Tessera_NumberTensor, "Negate">;
def Tessera_AbsOp : Tessera_UnaryOp<"abs", Tessera_NumberTensor, "Take the absolute value">;
def Tessera_SignOp : Tessera_UnaryOp<"sign", Tessera_NumberTensor, "Take the sign: -1, 0 or 1; NaN stays NaN">;
def Tessera_NotOp : Tessera_UnaryOp<"not", Tessera_BitsTensor, "Invert every bit">;
def Tessera_ExpOp : Tessera_UnaryOp<"exp", Tessera_FloatTensor, "Raise e to the operand">;
def Tessera_Exp2Op : Tessera_UnaryOp<"exp2", Tessera_FloatTensor, "Raise 2 to the operand">;
def Tessera_Expm1Op : Tessera_UnaryOp<"expm1", Tessera_FloatTensor, "Compute exp(x) - 1 without cancellation">;
def Tessera_LogOp : Tessera_UnaryOp<"log", Tessera_FloatTensor, "Take the natural logarithm">;
def Tessera_Log1pOp : Tessera_UnaryOp<"log1p", Tessera_FloatTensor, "Compute log(1 + x) without cancellation">;
def Tessera_Log2Op : Tessera_UnaryOp<"log2", Tessera_FloatTensor, "Take the logarithm to base 2">;
def Tessera_SqrtOp : Tessera_UnaryOp<"sqrt", Tessera_FloatTensor, "Take the square root, correctly rounded">;
def Tessera_RsqrtOp : Tessera_UnaryOp<"rsqrt", Tessera_FloatTensor, "Compute 1 / sqrt(x)">;
def Tessera_TanhOp : Tessera_UnaryOp<"tanh", Tessera_FloatTensor, "Take the hyperbolic tangent">;
def Tessera_ErfOp : Tessera_UnaryOp<"erf", Tessera_FloatTensor, "Take the Gauss error function">;
def Tessera_SinOp : Tessera_UnaryOp<"sin", Tessera_FloatTensor, "Take the sine">;
def Tessera_CosOp : Tessera_UnaryOp<"cos", Tessera_FloatTensor, "Take the cosine">;
def Tessera_SigmoidOp : Tessera_UnaryOp<"sigmoid", Tessera_FloatTensor, "Compute 1 / (1 + exp(-x))">;
def Tessera_FloorOp : Tessera_UnaryOp<"floor", Tessera_FloatTensor, "Round down">;
def Tessera_CeilOp : Tessera_UnaryOp<"ceil", Tessera_FloatTensor, "Round up">;
def Tessera_RoundOp : Tessera_UnaryOp<"round", Tessera_FloatTensor, "Round to nearest, ties to even">;


class Tessera_BinaryOp<string mnemonic, Type type, string what, list<Trait> traits = []>
    : Tessera_PureOp<mnemonic, !listconcat([Tessera_Elementwise], traits)> {
  let summary = what;
  let description = [{
    Constraints:
    * (C1) the operands and the result have one element type
    * (C2) the result has the broadcast shape of the operands
  }];
  let arguments = (ins type:$lhs, type:$rhs);
  let results = (outs type:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let extraClassDeclaration = [{ ::llvm::LogicalResult verify(); }];
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::verify() {
      if (failed(verifySameElements(getOperation(), {getLhs(), getRhs(), getResult()})))
        return ::mlir::failure();
      return verifyBroadcast(getOperation());
    }
    ::llvm::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return reifyBroadcast(builder, getOperation(), shapes);
    }
  }];
}

def Tessera_AddOp : Tessera_BinaryOp<"add", Tessera_NumberTensor, "Add", [Commutative]>;
def Tessera_SubOp : Tessera_BinaryOp<"sub", Tessera_NumberTensor, "Subtract">;
def Tessera_MulOp : Tessera_BinaryOp<"mul", Tessera_NumberTensor, "Multiply", [Commutative]>;
def Tessera_DivOp : Tessera_BinaryOp<"div", Tessera_FloatTensor, "Divide">;
def Tessera_FloorDivOp : Tessera_BinaryOp<"floor_div", Tessera_NumberTensor, "Divide and round down (Python's //); an integer divided by 0 is 0">;
def Tessera_RemOp : Tessera_BinaryOp<"rem", Tessera_NumberTensor, "Take the remainder with the divisor's sign (Python's %); an integer modulo 0 is 0">;
def Tessera_PowOp : Tessera_BinaryOp<"pow", Tessera_NumberTensor, "Raise to a power">;
def Tessera_MaximumOp : Tessera_BinaryOp<"maximum", Tessera_NumberTensor, "Take the larger; NaN wins", [Commutative]>;
def Tessera_MinimumOp : Tessera_BinaryOp<"minimum", Tessera_NumberTensor, "Take the smaller; NaN wins", [Commutative]>;
def Tessera_AndOp : Tessera_BinaryOp<"and", Tessera_BitsTensor, "Combine bits by and", [Commutative]>;
def Tessera_OrOp : Tessera_BinaryOp<"or", Tessera_BitsTensor, "Combine bits by or", [Commutative]>;
def Tessera_XorOp : Tessera_BinaryOp<"xor", Tessera_BitsTensor, "Combine bits by exclusive or", [Commutative]>;
def Tessera_ShiftLeftOp : Tessera_BinaryOp<"shift_left", Tessera_IntTensor, "Shift left; by the width or more gives 0">;
def Tessera_ShiftRightOp : Tessera_BinaryOp<"shift_right", Tessera_IntTensor, "Shift right, keeping the sign">;

def Tessera_CompareOp : Tessera_PureOp<"compare", [Tessera_Elementwise]> {
  let summary = "Compare element by element";
  let description = [{
    NaN compares unequal to everything, itself included.

    Constraints:
    * (C1) the operands have one element type
    * (C2) the result has the broadcast shape of the operands
    * (C3) predicate is one of eq, ne, lt, le, gt, ge

    ```mlir
    %m = tessera.compare "lt", %a, %b : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xi1>
    ```
  }];
  let arguments = (ins StrAttr:$predicate, Tessera_Tensor:$lhs, Tessera_Tensor:$rhs);
  let results = (outs Tessera_BoolTensor:$result);
  let assemblyFormat = "$predicate `,` $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Tessera_SelectOp : Tessera_PureOp<"select", [Tessera_Elementwise]> {
  let summary = "Choose between two tensors by a mask";
  let description = [{
    Constraints:
    * (C1) on_true, on_false and the result have one element type
    * (C2) the result has the broadcast shape of the operands
  }];
  let arguments = (ins Tessera_BoolTensor:$condition, Tessera_Tensor:$on_true, Tessera_Tensor:$on_false);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$condition `,` $on_true `,` $on_false attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Tessera_CastOp : Tessera_PureOp<"cast", [Tessera_Elementwise, SameOperandsAndResultShape]> {
  let summary = "Convert the element type";
  let description = [{
    Rounds to nearest, ties to even. A float becomes an integer by truncation, saturating at the integer's range, NaN
    giving 0. A cast to fp8_e4m3 saturates when `saturate` is set and gives NaN beyond the range otherwise. Anything but
    0 becomes true.

    `implicit` marks a conversion that the numeric policy put there and `tessera-widen` may take away.
  }];
  let arguments = (ins Tessera_Tensor:$operand, UnitAttr:$implicit, UnitAttr:$saturate);
  let results = (outs Tessera_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `to` type($result)";
  let hasFolder = 1;
}

#endif // TESSERA_ELEMENTWISE_OPS

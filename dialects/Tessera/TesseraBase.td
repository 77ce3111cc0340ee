// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_BASE
#define TESSERA_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tessera_Dialect : Dialect {
  let name = "tessera";
  let cppNamespace = "::tessera";
  let summary = "What a deep-learning program computes, on tensors, as its author wrote it.";
  let description = [{
    The graph level: pure operations on ranked tensors whose sizes are numbers or symbols. An operation is here because
    a user names it or because a pass must recognise it; everything else is a composition. See docs/rationale/tessera.md.

    Broadcasting follows NumPy with one restriction: shapes are aligned on the right, and a dimension broadcasts only if
    it is statically 1. A dimension of the result is static as soon as one of the aligned dimensions other than 1 is.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

def Tessera_Float : AnyTypeOf<[F64, F32, F16, BF16, F8E4M3FN, F8E5M2]>;
def Tessera_Int : AnyTypeOf<[I8, I16, I32, I64]>;
def Tessera_Bool : AnyTypeOf<[I1]>;
def Tessera_Element : AnyTypeOf<[Tessera_Float, Tessera_Int, Tessera_Bool]>;

def Tessera_Tensor : RankedTensorOf<[Tessera_Element]>;
def Tessera_FloatTensor : RankedTensorOf<[Tessera_Float]>;
def Tessera_IntTensor : RankedTensorOf<[Tessera_Int]>;
def Tessera_NumberTensor : RankedTensorOf<[Tessera_Float, Tessera_Int]>;
def Tessera_BitsTensor : RankedTensorOf<[Tessera_Int, Tessera_Bool]>;
def Tessera_BoolTensor : RankedTensorOf<[Tessera_Bool]>;

class Tessera_Op<string mnemonic, list<Trait> traits = []> : Op<Tessera_Dialect, mnemonic, traits>;

/// A pure operation that can say the sizes of its results in terms of its operands.
class Tessera_PureOp<string mnemonic, list<Trait> traits = []>
    : Tessera_Op<mnemonic, !listconcat([Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>], traits)>;

#endif // TESSERA_BASE

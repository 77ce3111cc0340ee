// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_RUNTIME_OPS
#define TESSERA_RUNTIME_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/BuiltinTypes.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Runtime_Dialect : Dialect {
  let name = "rt";
  let cppNamespace = "::tessera::rt";
  let summary = "The host program: which kernels run, on which buffers, in which order.";
  let description = [{
    The host level has two faces. On tensors, `rt.dispatch` says what a kernel computes; once memory is planned,
    `rt.launch` runs it on buffers, which are slices of one workspace or the caller's arrays. Sizes are ordinary index
    arithmetic on symbols in both. See docs/rationale/runtime.md.
  }];
  let useDefaultTypePrinterParser = 1;
}

def Runtime_Buffer : TypeDef<Runtime_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "The address of contiguous memory";
}

class Runtime_Op<string mnemonic, list<Trait> traits = []> : Op<Runtime_Dialect, mnemonic, traits>;

def Runtime_DispatchOp : Runtime_Op<"dispatch", [Pure, AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "Compute tensors by a kernel";
  let description = [{
    The kernel takes the inputs, the destinations and the sizes, and writes every element of its destinations; result i
    is what destination i holds then.

    Constraints:
    * (C1) the kernel is a function that takes the operands in this order and returns the destinations' types
    * (C2) the results have the destinations' types
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyRankedTensor>:$inputs,
                       Variadic<AnyRankedTensor>:$inits, Variadic<Index>:$sizes);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $kernel `ins` `(` ($inputs^ `:` type($inputs))? `)` `outs` `(` $inits `:` type($inits) `)`
    `sizes` `(` $sizes `)` attr-dict `->` type($results)
  }];
  let hasVerifier = 1;
}

def Runtime_SliceOp : Runtime_Op<"slice", [Pure]> {
  let summary = "Find memory within a buffer";
  let arguments = (ins Runtime_Buffer:$source, Index:$offset);
  let results = (outs Runtime_Buffer:$result);
  let assemblyFormat = "$source `[` $offset `]` attr-dict";
}

def Runtime_BindOp : Runtime_Op<"bind", [Pure]> {
  let summary = "See a buffer as an array of a shape";
  let description = [{
    Constraints:
    * (C1) one size for each dynamic dimension of the result
  }];
  let arguments = (ins Runtime_Buffer:$source, Variadic<Index>:$sizes);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$source `[` $sizes `]` attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Runtime_LaunchOp : Runtime_Op<"launch", [AttrSizedOperandSegments]> {
  let summary = "Run a kernel on buffers";
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Runtime_Buffer>:$buffers, Variadic<Index>:$sizes);
  let assemblyFormat = "$kernel `(` $buffers `)` `sizes` `(` $sizes `)` attr-dict";
}

def Runtime_CopyOp : Runtime_Op<"copy"> {
  let summary = "Copy bytes from one buffer to another";
  let arguments = (ins Runtime_Buffer:$source, Runtime_Buffer:$target, Index:$bytes);
  let assemblyFormat = "$source `to` $target `bytes` $bytes attr-dict";
}

def Runtime_LoadOp : Runtime_Op<"load"> {
  let summary = "Read the first element of a buffer on the host";
  let arguments = (ins Runtime_Buffer:$source);
  let results = (outs AnySignlessInteger:$result);
  let assemblyFormat = "$source attr-dict `:` type($result)";
}

def Runtime_FailOp : Runtime_Op<"fail"> {
  let summary = "Record an error of the running call if a condition holds";
  let description = [{
    `code` is from runtime/errors.def; %0 and %1 in the message stand for the values.
  }];
  let arguments = (ins I1:$condition, I32Attr:$code, StrAttr:$message, I64:$value0, I64:$value1);
  let assemblyFormat = "$condition `,` $code `,` $message `(` $value0 `,` $value1 `)` attr-dict";
}

def Runtime_WorkOp : Runtime_Op<"work"> {
  let summary = "Say how many elements an iteration of the next parallel loop touches";
  let arguments = (ins Index:$elements);
  let assemblyFormat = "$elements attr-dict";
}

def Runtime_ParallelForOp : Runtime_Op<"parallel_for"> {
  let summary = "Run a function over ranges of iterations, on the runtime's threads";
  let description = [{
    The callee takes a range [begin, end) and the captures. Ranges have at least `grain` iterations, and with no more
    than that in all, the caller runs them itself.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Index:$count, Index:$grain, Variadic<AnyType>:$captures);
  let assemblyFormat = [{
    $callee `count` $count `grain` $grain `(` ($captures^ `:` type($captures))? `)` attr-dict
  }];
}

def Runtime_LaunchBlocksOp : Runtime_Op<"launch_blocks"> {
  let summary = "Run a kernel of a gpu.module on the call's device";
  let description = [{
    The kernel's blocks number [0, blocks); how many threads a block has, and how much shared memory, is the kernel's
    attribute `tessera.threads` and `tessera.shared`. It runs on the call's stream, and nobody waits for it.
  }];
  let arguments = (ins SymbolRefAttr:$kernel, Index:$blocks, Variadic<AnyType>:$arguments);
  let assemblyFormat = [{
    $kernel `blocks` $blocks `(` ($arguments^ `:` type($arguments))? `)` attr-dict
  }];
}

def Runtime_ScratchOp : Runtime_Op<"scratch"> {
  let summary = "Take memory of the call's device for kernels that follow";
  let arguments = (ins Index:$bytes);
  let results = (outs Runtime_Buffer:$result);
  let assemblyFormat = "$bytes attr-dict";
}

def Runtime_ReleaseOp : Runtime_Op<"release"> {
  let summary = "Give back what rt.scratch took, once the kernels so far have run";
  let arguments = (ins Runtime_Buffer:$buffer);
  let assemblyFormat = "$buffer attr-dict";
}

def Runtime_LibmOp : Runtime_Op<"libm", [Pure, SameOperandsAndResultType]> {
  let summary = "Call a function of the runtime's mathematical library";
  let description = [{
    `function` indexes the tables of tsr_api, in the order of the tsr_math enumeration of runtime.h. Objects import
    nothing, so what has no vector form goes through a table.
  }];
  let arguments = (ins I32Attr:$function, AnyTypeOf<[F32, F64]>:$lhs, AnyTypeOf<[F32, F64]>:$rhs);
  let results = (outs AnyTypeOf<[F32, F64]>:$result);
  let assemblyFormat = "$function `(` $lhs `,` $rhs `)` attr-dict `:` type($result)";
}

#endif // TESSERA_RUNTIME_OPS

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_RUNTIME_OPS
#define TESSERA_RUNTIME_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
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
  let useDefaultAttributePrinterParser = 1;
}

def Runtime_Buffer : TypeDef<Runtime_Dialect, "Buffer"> {
  let mnemonic = "buffer";
  let summary = "The address of contiguous memory";
}

def Runtime_CollectiveKind : I32EnumAttr<"CollectiveKind", "What the ranks of a group do together", [
    I32EnumAttrCase<"all_reduce", 0>, I32EnumAttrCase<"all_gather", 1>, I32EnumAttrCase<"reduce_scatter", 2>,
    I32EnumAttrCase<"all_to_all", 3>, I32EnumAttrCase<"broadcast", 4>, I32EnumAttrCase<"shift", 5>]> {
  let cppNamespace = "::tessera::rt";
}

def Runtime_ReductionKind : I32EnumAttr<"ReductionKind", "How elements are combined", [
    I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"max", 1>, I32EnumAttrCase<"min", 2>, I32EnumAttrCase<"prod", 3>]> {
  let cppNamespace = "::tessera::rt";
}

def Runtime_Collective : AttrDef<Runtime_Dialect, "Collective"> {
  let mnemonic = "mesh";
  let summary = "One collective operation of a program, as every rank of a group carries it out";
  let description = [{
    `axes` number the mesh's axes along which ranks are a group of `ranks`, in C order of the axes as given. `root` is a
    place in the group, for a broadcast. A shift hands a tensor on from place i to place i + `offset`; unless it is
    `periodic`, places that get nothing have zeros.
  }];
  let parameters = (ins EnumParameter<Runtime_CollectiveKind>:$kind, ArrayRefParameter<"int64_t">:$axes,
                        "int64_t":$ranks, DefaultValuedParameter<"ReductionKind", "ReductionKind::sum">:$reduction,
                        DefaultValuedParameter<"int64_t", "0">:$root, DefaultValuedParameter<"int64_t", "0">:$offset,
                        DefaultValuedParameter<"bool", "false">:$periodic);
  let assemblyFormat = [{
    `<` $kind `,` `axes` `=` `[` $axes `]` `,` `ranks` `=` $ranks (`,` struct($reduction, $root, $offset, $periodic)^)? `>`
  }];
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

def Runtime_CollectiveOp : Runtime_Op<"collective", [Pure, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "Compute a tensor together with the other ranks of a group";
  let description = [{
    The source and the destination are contiguous. Where one has a piece for each rank of the group, those lie one after
    the other: in what all_gather makes, in what reduce_scatter takes, and on both sides of all_to_all.

    Constraints:
    * (C1) the result has the destination's type, and the source its element type
    * (C2) with static sizes, the destination has as many elements as the kind makes of the source's
  }];
  let arguments = (ins Runtime_Collective:$what, AnyRankedTensor:$source, AnyRankedTensor:$init);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $what `ins` `(` $source `:` type($source) `)` `outs` `(` $init `:` type($init) `)` attr-dict `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
}

def Runtime_AxisIndexOp : Runtime_Op<"axis_index", [Pure]> {
  let summary = "Find this rank's place along a mesh axis";
  let arguments = (ins I32Attr:$axis);
  let results = (outs Index:$result);
  let assemblyFormat = "$axis attr-dict";
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

def Runtime_StartCollectiveOp : Runtime_Op<"start_collective"> {
  let summary = "Begin a collective operation on buffers";
  let description = [{
    `number` tells it from the others of the program, whose manifest lists them in this order. `count` is the number of
    elements that one rank has. Until `rt.wait_collective` of the same number, nobody may touch the target or change
    the source.
  }];
  let arguments = (ins I32Attr:$number, Runtime_Collective:$what, TypeAttr:$element, Runtime_Buffer:$source,
                       Runtime_Buffer:$target, Index:$count);
  let assemblyFormat = "$number $what `of` $element $source `to` $target `count` $count attr-dict";
}

def Runtime_WaitCollectiveOp : Runtime_Op<"wait_collective"> {
  let summary = "Wait until a collective operation is done";
  let arguments = (ins I32Attr:$number, Runtime_Buffer:$source, Runtime_Buffer:$target);
  let assemblyFormat = "$number `(` $source `,` $target `)` attr-dict";
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

def Runtime_ObserveOp : Runtime_Op<"observe"> {
  let summary = "Show the runtime what a kernel has computed";
  let description = [{
    The runtime checks the value, or hands it to who watches the call; it may end the call with an error. `index` counts
    an entry's values.

    Constraints:
    * (C1) one size for each dynamic dimension of the type
  }];
  let arguments = (ins I32Attr:$index, FlatSymbolRefAttr:$kernel, Runtime_Buffer:$buffer, Variadic<Index>:$sizes,
                       TypeAttrOf<AnyRankedTensor>:$type);
  let assemblyFormat = "$index `of` $kernel `,` $buffer `[` $sizes `]` attr-dict `:` $type";
  let hasVerifier = 1;
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

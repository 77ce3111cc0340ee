// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every pass of Tessera. Each is documented in its own folder.

include "passes/ConvertNarrow/ConvertNarrow.td"
include "passes/DropChecks/DropChecks.td"
include "passes/EmitLoops/EmitLoops.td"
include "passes/EmitMatmul/EmitMatmul.td"
include "passes/EmitThreads/EmitThreads.td"
include "passes/ExpandFp8/ExpandFp8.td"
include "passes/ExpandMath/ExpandMath.td"
include "passes/ExposeBuffers/ExposeBuffers.td"
include "passes/FormKernels/FormKernels.td"
include "passes/FuseElementwise/FuseElementwise.td"
include "passes/FuseSiblings/FuseSiblings.td"
include "passes/LowerCollectives/LowerCollectives.td"
include "passes/LowerToLLVM/LowerToLLVM.td"
include "passes/LowerToLinalg/LowerToLinalg.td"
include "passes/LowerToNvvm/LowerToNvvm.td"
include "passes/OutlineBlocks/OutlineBlocks.td"
include "passes/OutlineParallel/OutlineParallel.td"
include "passes/PlaceScratch/PlaceScratch.td"
include "passes/PlanMemory/PlanMemory.td"
include "passes/RaiseAttention/RaiseAttention.td"
include "passes/ResolveSizes/ResolveSizes.td"
include "passes/Schedule/Schedule.td"
include "passes/Widen/Widen.td"

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The order of passes, written once: tessera-opt and compile() both run these pipelines by name.

#include "passes/Passes.h"

#include "mlir/Conversion/AffineToStandard/AffineToStandard.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace tessera;

namespace {
struct CpuOptions : PassPipelineOptions<CpuOptions> {
  Option<int64_t> vectorBits{*this, "vector-bits", llvm::cl::desc("Width of a vector register in bits"),
                             llvm::cl::init(512)};
  Option<bool> bf16Dot{*this, "bf16-dot", llvm::cl::desc("The processor has vdpbf16ps"), llvm::cl::init(false)};
};

struct DeviceOptions : PassPipelineOptions<DeviceOptions> {
  Option<std::string> device{*this, "device", llvm::cl::desc("What kernels are for: cpu or gpu"),
                             llvm::cl::init("cpu")};
  Option<bool> debug{*this, "debug", llvm::cl::desc("Keep checks of what tensors hold, whatever they cost"),
                     llvm::cl::init(false)};
};

struct RuntimeOptions : PassPipelineOptions<RuntimeOptions> {
  Option<bool> debug{*this, "debug", llvm::cl::desc("Show the runtime what each kernel computes"),
                     llvm::cl::init(false)};
};

struct CudaOptions : PassPipelineOptions<CudaOptions> {
  Option<std::string> chip{*this, "chip", llvm::cl::desc("The architecture, as ptxas names it"),
                           llvm::cl::init("sm_80")};
  Option<std::string> features{*this, "features", llvm::cl::desc("Features of LLVM's NVPTX target"),
                               llvm::cl::init("+ptx80")};
};
} // namespace

constexpr llvm::StringLiteral kCpu = "cpu", kGpu = "gpu";

static void simplify(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

/// What each operation decomposes into.
static void buildLinalg(OpPassManager &pm) {
  pm.addPass(createTesseraWidenPass());
  pm.addPass(createInlinerPass());
  simplify(pm);
  pm.addPass(createTesseraRaiseAttentionPass());
  pm.addPass(createTesseraPartitionPass());
  pm.addNestedPass<func::FuncOp>(createTesseraSimplifyCollectivesPass());
  pm.addPass(createTesseraLowerCollectivesPass());
  pm.addPass(createTesseraLowerToLinalgPass());
  pm.addPass(createTesseraResolveSizesPass());
  simplify(pm);
}

/// Kernels, as isolated functions on tensors, and the program that dispatches them.
static void buildKernels(OpPassManager &pm, StringRef device, bool debug = false) {
  if (device == kGpu && !debug) {
    pm.addNestedPass<func::FuncOp>(createTesseraDropChecksPass());
    pm.addNestedPass<func::FuncOp>(createTesseraSelectBranchesPass());
    simplify(pm);
  }
  if (device == kGpu)
    pm.addNestedPass<func::FuncOp>(createTesseraRelaxMathPass());
  pm.addPass(createTesseraFuseElementwisePass());
  simplify(pm);
  // What siblings alone read has one reader then, and may go into it.
  pm.addPass(createTesseraFuseSiblingsPass());
  pm.addPass(createTesseraFuseElementwisePass());
  simplify(pm);
  pm.addPass(createTesseraFormKernelsPass());
  simplify(pm);
  pm.addNestedPass<func::FuncOp>(createTesseraOverlapCollectivesPass());
}

/// The host program on buffers of one workspace.
static void buildRuntime(OpPassManager &pm, bool debug = false) {
  pm.addPass(createTesseraPlanMemoryPass(TesseraPlanMemoryPassOptions{debug}));
  simplify(pm);
}

/// Each kernel divided into tiles, on buffers.
static void buildBufferKernels(OpPassManager &pm, StringRef device) {
  TesseraSchedulePassOptions schedule;
  schedule.device = device;
  pm.addNestedPass<func::FuncOp>(createTesseraSchedulePass(schedule));
  pm.addPass(createTesseraResolveSizesPass());
  simplify(pm);
  pm.addNestedPass<func::FuncOp>(createTesseraExposeBuffersPass());
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
  pm.addPass(bufferization::createOneShotBufferizePass());
  // The second canonicalization folds the views that the first makes foldable.
  simplify(pm);
  pm.addPass(createCanonicalizerPass());
}

/// Each kernel made loops over vectors, for the runtime's threads.
static void buildCpuKernels(OpPassManager &pm, const CpuOptions &options) {
  buildBufferKernels(pm, kCpu);
  pm.addPass(createTesseraOutlineParallelPass());
  OpPassManager &function = pm.nest<func::FuncOp>();
  function.addPass(createTesseraPlaceScratchPass());
  function.addPass(createTesseraEmitMatmulPass(TesseraEmitMatmulPassOptions{options.vectorBits, options.bf16Dot}));
  function.addPass(createTesseraEmitLoopsPass(TesseraEmitLoopsPassOptions{options.vectorBits}));
  function.addPass(memref::createFoldMemRefAliasOpsPass());
  simplify(pm);
  pm.addPass(createLoopInvariantCodeMotionPass());
}

/// Each kernel divided, bufferized and made a gpu.func, whose threads work on vectors.
static void buildGpuKernels(OpPassManager &pm, const CudaOptions &options) {
  buildBufferKernels(pm, kGpu);
  TesseraOutlineBlocksPassOptions outline;
  outline.chip = options.chip;
  outline.features = options.features;
  pm.addPass(createTesseraOutlineBlocksPass(outline));
  simplify(pm);
  OpPassManager &kernel = pm.nest<gpu::GPUModuleOp>().nest<gpu::GPUFuncOp>();
  kernel.addPass(createTesseraEmitThreadsPass());
  // Views stay until their strides are expanded: upstream's folding drops the alignment of vector accesses.
  kernel.addPass(createTesseraPlaceScratchPass());
  simplify(pm);
  pm.addPass(createLoopInvariantCodeMotionPass());
}

/// Kernels as llvm and nvvm, and the host program as LLVM has it.
static void buildNvvm(OpPassManager &pm) {
  pm.addPass(math::createMathExtendToSupportedTypes());
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  kernels.addPass(createTesseraConvertNarrowPass());
  kernels.addPass(createTesseraExpandFp8Pass());
  pm.addNestedPass<func::FuncOp>(arith::createArithExpandOpsPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  simplify(pm);
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addNestedPass<gpu::GPUModuleOp>(createTesseraLowerToNvvmPass());
  pm.addNestedPass<gpu::GPUModuleOp>(createConvertNVVMToLLVMPass());
  pm.addPass(createTesseraLowerToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  simplify(pm);
}

/// Arithmetic and control flow as LLVM has them.
static void buildLLVM(OpPassManager &pm) {
  pm.addPass(math::createMathExtendToSupportedTypes());
  pm.addNestedPass<func::FuncOp>(createTesseraConvertNarrowPass());
  pm.addNestedPass<func::FuncOp>(createTesseraExpandMathPass());
  pm.addNestedPass<func::FuncOp>(createTesseraExpandFp8Pass());
  arith::ArithExpandOpsPassOptions expand;
  expand.includeBf16 = true;
  pm.addPass(arith::createArithExpandOpsPass(expand));
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  simplify(pm);
  pm.addPass(createSCFToControlFlowPass());
  ConvertVectorToLLVMPassOptions vectors;
  vectors.reassociateFPReductions = true;
  pm.addPass(createConvertVectorToLLVMPass(vectors));
  pm.addPass(createTesseraLowerToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  simplify(pm);
}

void tessera::registerPipelines() {
  PassPipelineRegistration<> linalg("tessera-stage-linalg", "Lower tessera to linalg on tensors", buildLinalg);
  PassPipelineRegistration<DeviceOptions> kernels(
      "tessera-stage-kernels", "Form kernels",
      [](OpPassManager &pm, const DeviceOptions &options) { buildKernels(pm, options.device, options.debug); });
  PassPipelineRegistration<RuntimeOptions> runtime(
      "tessera-stage-rt", "Plan the host program",
      [](OpPassManager &pm, const RuntimeOptions &options) { buildRuntime(pm, options.debug); });
  PassPipelineRegistration<CpuOptions> llvm("tessera-stage-llvm", "Lower kernels and host program for a CPU",
                                            [](OpPassManager &pm, const CpuOptions &options) {
                                              buildCpuKernels(pm, options);
                                              buildLLVM(pm);
                                            });
  PassPipelineRegistration<CudaOptions> gpu("tessera-stage-gpu", "Lower kernels to gpu.funcs", buildGpuKernels);
  PassPipelineRegistration<> nvvm("tessera-stage-nvvm", "Lower gpu.funcs to nvvm and the host program to llvm",
                                  buildNvvm);
  PassPipelineRegistration<CpuOptions> all("tessera-to-cpu", "Compile tessera for a CPU, down to the llvm dialect",
                                           [](OpPassManager &pm, const CpuOptions &options) {
                                             buildLinalg(pm);
                                             buildKernels(pm, kCpu);
                                             buildRuntime(pm);
                                             buildCpuKernels(pm, options);
                                             buildLLVM(pm);
                                           });
  PassPipelineRegistration<CudaOptions> cuda("tessera-to-cuda", "Compile tessera for a GPU, down to the nvvm dialect",
                                             [](OpPassManager &pm, const CudaOptions &options) {
                                               buildLinalg(pm);
                                               buildKernels(pm, kGpu);
                                               buildRuntime(pm);
                                               buildGpuKernels(pm, options);
                                               buildNvvm(pm);
                                             });
}

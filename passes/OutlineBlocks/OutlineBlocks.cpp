// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Runtime/RuntimeDialect.h"
#include "passes/EmitThreads/EmitThreads.h"
#include "passes/OutlineBlocks/DeviceScratch.h"
#include "passes/Passes.h"
#include "passes/Utils/Capability.h"
#include "passes/Utils/Copies.h"
#include "passes/Utils/LoopOutliner.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAOUTLINEBLOCKSPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

// Threads of a block that computes a tile, and of one that has the device to itself.
constexpr int64_t kTileThreads = 256;
constexpr int64_t kSingleThreads = 1024;
// Threads of large blocks that a multiprocessor should hold at least.
constexpr int64_t kRowThreadsAtOnce = 1024;
// Blocks of clusters, which wait for each other, that it should hold at least where their rows leave registers for it.
constexpr int64_t kClusterBlocksAtOnce = 3;

/// Whether the host decides between variants of a kernel.
static bool isVariants(Operation *op) {
  return isa<scf::IfOp>(op) && op->walk([](scf::ForallOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

/// Puts what a kernel computes outside of parallel loops into loops of one iteration.
static void encloseLooseOps(Block &block) {
  auto isHost = [](Operation *op) {
    return isMemoryEffectFree(op) || isVariants(op) || isa<scf::ForallOp, memref::AllocOp>(op);
  };
  SmallVector<SmallVector<Operation *>> runs(1);
  for (Operation &op : block.without_terminator()) {
    if (isVariants(&op))
      for (Region &region : op.getRegions())
        encloseLooseOps(region.front());
    if (!isHost(&op))
      runs.back().push_back(&op);
    else if ((isVariants(&op) || isa<scf::ForallOp>(op)) && !runs.back().empty())
      runs.emplace_back();
  }
  for (ArrayRef<Operation *> run : runs) {
    if (run.empty())
      continue;
    // Behind the last of them, where all that they use is known. What is computed from what they read goes with them.
    OpBuilder b(run.back()->getContext());
    b.setInsertionPointAfter(run.back());
    Location loc = run.front()->getLoc();
    SmallVector<OpFoldResult> zero = {b.getIndexAttr(0)}, one = {b.getIndexAttr(1)};
    auto loop = scf::ForallOp::create(b, loc, zero, one, one, ValueRange(), std::nullopt);
    DenseSet<Operation *> moved(run.begin(), run.end());
    for (Operation &op :
         llvm::make_early_inc_range(llvm::make_range(run.front()->getIterator(), loop->getIterator()))) {
      if (llvm::any_of(op.getOperands(), [&](Value operand) { return moved.contains(operand.getDefiningOp()); }))
        moved.insert(&op);
      if (moved.contains(&op))
        op.moveBefore(loop.getTerminator());
    }
  }
}

/// Whether what a kernel is given is a weight of the program's wherever it is launched, which nothing changes.
static bool isWeight(BlockArgument argument, ArrayRef<Operation *> users) {
  return !users.empty() && llvm::all_of(users, [&](Operation *user) {
    auto launch = dyn_cast<rt::LaunchOp>(user);
    if (!launch || argument.getArgNumber() >= launch.getBuffers().size())
      return false;
    auto given = dyn_cast<BlockArgument>(launch.getBuffers()[argument.getArgNumber()]);
    auto program = given ? dyn_cast<func::FuncOp>(given.getOwner()->getParentOp()) : func::FuncOp();
    return program && program.getArgAttr(given.getArgNumber(), "tessera.weight");
  });
}

/// Names are the user's, because they show in profilers, in the letters that PTX has.
static std::string nameOf(func::FuncOp kernel, size_t index) {
  std::string name = (kernel.getName() + (index ? "_" + Twine(index) : Twine())).str();
  for (char &letter : name)
    if (!llvm::isAlnum(letter))
      letter = '_';
  return name;
}

namespace {

struct OutlineBlocksPass : tessera::impl::TesseraOutlineBlocksPassBase<OutlineBlocksPass> {
  using Base::Base;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTableCollection symbols;
    SymbolUserMap users(symbols, module);
    for (func::FuncOp kernel : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (!kernel->hasAttr("tessera.kind"))
        continue;
      kernel.walk([](rt::WorkOp work) { work.erase(); });
      IRRewriter rewriter(&getContext());
      replaceCopies(rewriter, kernel);
      encloseLooseOps(kernel.getBody().front());
      placeHostScratch(kernel);
      SmallVector<scf::ForallOp> loops;
      kernel.walk<WalkOrder::PreOrder>([&](scf::ForallOp loop) {
        loops.push_back(loop);
        return WalkResult::skip();
      });
      for (auto [index, loop] : llvm::enumerate(loops)) {
        if (failed(outline(loop, kernel.getLoc(), nameOf(kernel, index), users.getUsers(kernel))))
          return signalPassFailure();
      }
    }
    for (auto table : llvm::make_early_inc_range(module.getOps<memref::GlobalOp>()))
      if (SymbolTable::symbolKnownUseEmpty(table, module))
        table.erase();
  }

  gpu::GPUModuleOp kernels() {
    ModuleOp module = getOperation();
    if (auto found = module.getOps<gpu::GPUModuleOp>(); !found.empty())
      return *found.begin();
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    auto target = NVVM::NVVMTargetAttr::get(&getContext(), /*optLevel=*/3, "nvptx64-nvidia-cuda", chip, features);
    module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), b.getUnitAttr());
    return gpu::GPUModuleOp::create(b, module.getLoc(), "kernels", ArrayRef<Attribute>{target});
  }

  LogicalResult outline(scf::ForallOp loop, Location lines, StringRef name, ArrayRef<Operation *> users) {
    Location loc = loop.getLoc();
    FailureOr<RowProgram> program = RowProgram::analyze(*loop.getBody());
    if (failed(program) && failed(moveLargeScratch(loop)))
      return failure();
    LoopOutliner outliner(loop);
    if (failed(outliner.prepare()))
      return failure();
    bool isSingle = matchPattern(outliner.count(), m_One());
    int64_t threads = isSingle ? kSingleThreads : kTileThreads;
    int64_t rowThreads = 0, cluster = 1;
    if (succeeded(program)) {
      cluster = program->chooseBlocks(maxCluster());
      rowThreads = program->chooseThreads(isSingle, cluster);
      threads = std::max<int64_t>(rowThreads, isSingle ? 32 : kRowBlockThreads);
    }
    int64_t rows = rowThreads ? threads / rowThreads : 1;

    gpu::GPUModuleOp module = kernels();
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    SmallVector<Type> types(ValueRange(outliner.captures()).getTypes());
    types.push_back(b.getIndexType());
    auto kernel = gpu::GPUFuncOp::create(b, lines, name, b.getFunctionType(types, {}));
    kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
    kernel.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
    kernel->setAttr("tessera.threads", b.getI32IntegerAttr(threads));
    Block &entry = kernel.getBody().front();
    b.setInsertionPointToStart(&entry);
    // Its blocks may come onto the device while the last ones of the kernel before still run.
    if (capabilityOf(chip) >= 90)
      kernel->setAttr("tessera.pdl", b.getUnitAttr());
    for (auto [index, capture] : llvm::enumerate(outliner.captures()))
      if (auto argument = dyn_cast<BlockArgument>(capture); argument && isWeight(argument, users))
        kernel.setArgAttr(index, "tessera.constant", b.getUnitAttr());
    outliner.enter(b, entry.getArguments().drop_back());
    if (rowThreads) {
      kernel->setAttr("tessera.row_threads", b.getI32IntegerAttr(rowThreads));
      // One block reads while another computes.
      if (int64_t blocks = kRowThreadsAtOnce / threads; blocks > 1 && threads > kTileThreads)
        kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(blocks));
    }
    if (cluster > 1) {
      kernel->setAttr("tessera.cluster", b.getI32IntegerAttr(cluster));
      if (program->isNarrow())
        kernel->setAttr("nvvm.minctasm", b.getI32IntegerAttr(kClusterBlocksAtOnce));
      kernel.setKnownClusterSizeAttr(b.getDenseI32ArrayAttr({static_cast<int32_t>(cluster), 1, 1}));
    }
    Value row = cluster > 1 ? gpu::ClusterIdOp::create(b, loc, gpu::Dimension::x).getResult()
                            : createRow(b, loc, entry.getArguments().back(), rows, rowThreads);
    outliner.cloneBody(b, row);
    gpu::ReturnOp::create(b, loc);
    takeConstants(kernel, module);

    OpBuilder host(loop);
    Value blocks = host.createOrFold<arith::CeilDivUIOp>(loc, outliner.count(),
                                                         arith::ConstantIndexOp::create(host, loc, rows).getResult());
    if (cluster > 1)
      blocks = host.createOrFold<arith::MulIOp>(loc, blocks, arith::ConstantIndexOp::create(host, loc, cluster));
    SmallVector<Value> arguments(outliner.captures());
    arguments.push_back(outliner.count());
    auto symbol = SymbolRefAttr::get(host.getContext(), module.getName(), {FlatSymbolRefAttr::get(kernel)});
    rt::LaunchBlocksOp::create(host, loc, symbol, blocks, arguments);
    loop.erase();
    return success();
  }

  /// Blocks of the largest cluster.
  int64_t maxCluster() const {
    unsigned capability = capabilityOf(chip);
    return capability < 90 ? 1 : capability < 120 ? 16 : 8;
  }

  /// Tables that the kernel reads come into its module.
  void takeConstants(gpu::GPUFuncOp kernel, gpu::GPUModuleOp module) {
    kernel.walk([&](memref::GetGlobalOp use) {
      if (module.lookupSymbol(use.getName()))
        return;
      auto table = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(getOperation(), use.getNameAttr());
      OpBuilder::atBlockBegin(module.getBody()).clone(*table);
    });
  }

  /// The row that a thread works on. Those beyond the last work on the last one, without storing what they compute.
  Value createRow(OpBuilder &b, Location loc, Value count, int64_t rows, int64_t rowThreads) {
    if (rows == 1)
      return gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
    Value row = createRowNumber(b, loc, rows, rowThreads);
    Value one = arith::ConstantIndexOp::create(b, loc, 1);
    return arith::MinUIOp::create(b, loc, row, arith::SubIOp::create(b, loc, count, one));
  }
};

} // namespace

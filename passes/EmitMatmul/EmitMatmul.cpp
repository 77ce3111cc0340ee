// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/EmitMatmul/Pairs.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERAEMITMATMULPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

/// Sizes of the blocks, in elements. A panel of B is to stay in L1 (32 KiB) and a block of A in L2.
struct Blocking {
  TileShape tile;
  int64_t depth, thinDepth, thinRows, rows;

  Blocking(Type accumulator, int64_t vectorBits, bool paired) {
    // Accumulators, a row of B and a broadcast element of A fill the 16 registers of AVX2. AVX-512 has 32, of which
    // this many already keep both FMA units busy for their latency.
    int64_t tileRows = vectorBits >= 512 ? 8 : 6;
    tile = {tileRows, 2, vectorBits / accumulator.getIntOrFloatBitWidth(), paired};
    depth = 256;
    // Where B is read in place: as many rows as there are lines of a set in the second-level cache.
    thinDepth = 16;
    thinRows = 2 * tileRows;
    // 192 KiB. A multiple of the tile's rows and of a vector's size; the schedule cuts tiles of as many rows.
    rows = 192 * 32 / accumulator.getIntOrFloatBitWidth();
  }
};

/// Stack memory of one parallel worker. Products that follow each other share it.
class Scratch {
public:
  Value get(ImplicitLocOpBuilder &b, Operation *user, StringRef purpose, ArrayRef<int64_t> shape, Type element) {
    Block *block = scope(user);
    auto type = MemRefType::get(shape, element);
    Value &buffer = buffers[{block, b.getStringAttr(purpose), type}];
    if (!buffer) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(block);
      buffer = memref::AllocaOp::create(b, type, b.getI64IntegerAttr(64));
    }
    return buffer;
  }

private:
  /// Not in a sequential loop, where the stack would grow at each iteration, and not outside a parallel one, whose
  /// workers would share the memory.
  static Block *scope(Operation *user) {
    Operation *op = user;
    while (!isa<FunctionOpInterface>(op->getParentOp()) && !op->getParentOp()->hasTrait<OpTrait::HasParallelRegion>())
      op = op->getParentOp();
    return op->getBlock();
  }

  DenseMap<std::tuple<Block *, StringAttr, Type>, Value> buffers;
};

/// How B is read. A strip or two of rows use each of its elements so seldom that packing would cost more than it saves:
/// such a product reads it where it is.
enum class Plan {
  /// Packed, for tiles of C.
  Panels,
  /// A few rows at a time, each to its end, for tiles of C.
  InPlace,
  /// By columns, which are contiguous.
  Dots
};

class MatmulEmitter {
public:
  MatmulEmitter(Contraction &contraction, int64_t vectorBits, bool paired, Scratch &scratch)
      : contraction(contraction), blocking(contraction.accumulator, vectorBits, paired), scratch(scratch),
        b(contraction.op.getLoc(), contraction.op) {
    // Pairs are multiplied as they are.
    if (paired)
      contraction.casts[0] = contraction.casts[1] = {};
  }

  void emit();

private:
  void emitOuterLoops(unsigned depth, SmallVector<Value> &indices);
  void emitProduct(ArrayRef<Value> outerIndices);
  void emitBlocks(Plan plan);
  void emitPanels(Corner x, const Window &block, Plan plan);
  void emitTiles(Corner x, const Window &block, Corner panel, Value column, Value columns, int64_t rowsAhead);

  Value clip(Value size, Value start, int64_t step);
  Value buffer(StringRef purpose, int64_t rows, int64_t columns, Type element) {
    return scratch.get(b, contraction.op, purpose, {rows, columns}, element);
  }
  Value packRows(const Window &block);
  Value packPanel(const Window &block, Value column, Value columns);

  Contraction &contraction;
  Blocking blocking;
  Scratch &scratch;
  ImplicitLocOpBuilder b;
  Matrix matrixA, matrixB, matrixC;
  Value sizeM, sizeN, sizeK, zero;
};

} // namespace

/// How much of a block of `step` lies before `size`.
Value MatmulEmitter::clip(Value size, Value start, int64_t step) {
  std::optional<int64_t> known = getConstantIntValue(size);
  if (known && *known % step == 0)
    return indexConstant(b, step);
  return b.createOrFold<arith::MinSIOp>(subIndex(b, size, start), indexConstant(b, step));
}

void MatmulEmitter::emit() {
  sizeM = contraction.size(b, contraction.m);
  sizeN = contraction.size(b, contraction.n);
  sizeK = contraction.size(b, contraction.k);
  zero = indexConstant(b, 0);
  SmallVector<Value> indices(contraction.op.getNumLoops());
  emitOuterLoops(0, indices);
}

void MatmulEmitter::emitOuterLoops(unsigned depth, SmallVector<Value> &indices) {
  if (depth == contraction.outer.size())
    return emitProduct(indices);
  unsigned dim = contraction.outer[depth];
  Value size = contraction.size(b, dim);
  if (getConstantIntValue(size) == 1) {
    indices[dim] = zero;
    return emitOuterLoops(depth + 1, indices);
  }
  emitFor(b, zero, size, 1, [&](Value iv) {
    indices[dim] = iv;
    emitOuterLoops(depth + 1, indices);
  });
}

void MatmulEmitter::emitProduct(ArrayRef<Value> outerIndices) {
  matrixA = contraction.matrix(b, contraction.a, contraction.m, contraction.k, outerIndices);
  matrixB = contraction.matrix(b, contraction.b, contraction.k, contraction.n, outerIndices);
  matrixC = contraction.matrix(b, 2, contraction.m, contraction.n, outerIndices);
  Matrix::Contiguous direction = matrixB.contiguous();
  Plan thin = direction == Matrix::Contiguous::AlongRows      ? Plan::Dots
              : direction == Matrix::Contiguous::AlongColumns ? Plan::InPlace
                                                              : Plan::Panels;
  if (thin == Plan::Panels)
    return emitBlocks(Plan::Panels);
  auto emitPlan = [&](Plan plan) -> SmallVector<Value> {
    emitBlocks(plan);
    return {};
  };
  emitIf(
      b, isAtMost(b, sizeM, indexConstant(b, blocking.thinRows)), {}, [&] { return emitPlan(thin); },
      [&] { return emitPlan(Plan::Panels); });
}

void MatmulEmitter::emitBlocks(Plan plan) {
  bool isDirect =
      matrixA.contiguous() == Matrix::Contiguous::AlongColumns && (matrixA.casts.empty() || plan == Plan::Dots);
  if (isDirect && plan == Plan::Dots)
    return emitPanels({matrixA, zero, zero}, {zero, zero, sizeM, sizeK}, plan);
  int64_t maxDepth = plan == Plan::InPlace ? blocking.thinDepth : blocking.depth;
  emitFor(b, zero, sizeK, maxDepth, [&](Value k) {
    Value depth = clip(sizeK, k, maxDepth);
    if (isDirect)
      return emitPanels({matrixA, zero, k}, {zero, k, sizeM, depth}, plan);
    emitFor(b, zero, sizeM, blocking.rows, [&](Value row) {
      Window block{row, k, clip(sizeM, row, blocking.rows), depth};
      emitPanels({bufferMatrix(b, packRows(block)), zero, zero}, block, plan);
    });
  });
}

Value MatmulEmitter::packRows(const Window &block) {
  if (!blocking.tile.paired) {
    Value packed = buffer("rows", blocking.rows, blocking.depth, contraction.accumulator);
    emitPack(b, matrixA, block, packed, block.columns, blocking.tile.vectorSize);
    return packed;
  }
  Value packed = buffer("rows", blocking.rows, blocking.depth / 2, b.getI32Type());
  Value words = b.createOrFold<arith::CeilDivUIOp>(block.columns, indexConstant(b, 2));
  emitPackPairs(b, matrixA, block, /*alongColumns=*/true, packed, words, blocking.tile.vectorSize);
  return packed;
}

/// Packs the part of B's columns from `column` on that a block of A is multiplied by.
Value MatmulEmitter::packPanel(const Window &block, Value column, Value columns) {
  int64_t width = blocking.tile.columns();
  Window window{block.column, column, block.columns, columns};
  if (!blocking.tile.paired) {
    Value panel = buffer("panel", blocking.depth, width, contraction.accumulator);
    emitPack(b, matrixB, window, panel, indexConstant(b, width), blocking.tile.vectorSize);
    return panel;
  }
  Value panel = buffer("panel", blocking.depth / 2, width, b.getI32Type());
  emitPackPairs(b, matrixB, window, /*alongColumns=*/false, panel, indexConstant(b, width), blocking.tile.vectorSize);
  return panel;
}

/// Multiplies a block of A, whose elements begin at `x`, by all columns of B.
void MatmulEmitter::emitPanels(Corner x, const Window &block, Plan plan) {
  if (plan == Plan::Dots)
    return emitDots(b, x, {matrixB, block.column, zero}, block.columns, matrixC, {block.row, zero, block.rows, sizeN},
                    blocking.tile.vectorSize, blocking.tile.paired);
  int64_t width = blocking.tile.columns();
  emitFor(b, zero, sizeN, width, [&](Value column) {
    Value columns = clip(sizeN, column, width);
    auto packed = [&]() -> SmallVector<Value> {
      emitTiles(x, block, {bufferMatrix(b, packPanel(block, column, columns)), zero, zero}, column, columns,
                /*rowsAhead=*/0);
      return {};
    };
    auto inPlace = [&]() -> SmallVector<Value> {
      emitTiles(x, block, {matrixB, block.column, column}, column, indexConstant(b, width), blocking.thinDepth);
      return {};
    };
    if (plan == Plan::InPlace)
      emitIf(b, isAtMost(b, indexConstant(b, width), columns), {}, inPlace, packed);
    else
      packed();
  });
}

/// Passes strips of A's rows over a panel: whole tiles, then the rows left by powers of two.
void MatmulEmitter::emitTiles(Corner x, const Window &block, Corner panel, Value column, Value columns,
                              int64_t rowsAhead) {
  emitStrips(b, block.rows, {blocking.tile.rows, 4, 2, 1}, [&](Value row, int64_t rows) {
    TileShape shape = blocking.tile;
    shape.rows = rows;
    shape.rowsAhead = rowsAhead;
    Value staging;
    if (matrixC.contiguous() != Matrix::Contiguous::AlongColumns)
      staging = buffer("tile", blocking.tile.rows, shape.columns(), contraction.accumulator);
    Corner strip{x.matrix, addIndex(b, x.row, row), x.column};
    Window tile{addIndex(b, block.row, row), column, indexConstant(b, rows), columns};
    emitTile(b, shape, strip, panel, block.columns, matrixC, tile, staging);
  });
}

namespace {

struct EmitMatmulPass : tessera::impl::TesseraEmitMatmulPassBase<EmitMatmulPass> {
  using TesseraEmitMatmulPassBase::TesseraEmitMatmulPassBase;

  void runOnOperation() override {
    if (vectorBits != 128 && vectorBits != 256 && vectorBits != 512) {
      getOperation().emitError() << "unsupported width of vectors: expected 128, 256 or 512, got " << vectorBits;
      return signalPassFailure();
    }
    SmallVector<Contraction> contractions;
    getOperation().walk([&](linalg::GenericOp op) {
      if (FailureOr<Contraction> contraction = Contraction::match(op); succeeded(contraction))
        contractions.push_back(*contraction);
    });
    Scratch scratch;
    for (Contraction &contraction : contractions) {
      MatmulEmitter(contraction, vectorBits, bf16Dot && contraction.multipliesBf16(), scratch).emit();
      contraction.op.erase();
    }
  }
};

} // namespace

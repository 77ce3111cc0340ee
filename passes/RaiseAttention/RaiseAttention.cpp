// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "dialects/Tessera/TesseraDialect.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tessera {
#define GEN_PASS_DEF_TESSERARAISEATTENTIONPASS
#include "passes/Passes.h.inc"
} // namespace tessera

using namespace mlir;
using namespace tessera;

namespace {

/// The operations between the two products, found from the second one upwards.
class Softmax {
public:
  /// Fails, without a trace, where the weights are anything else.
  LogicalResult match(MatmulOp last);

  MatmulOp first;
  Value mask;
  double scale = 1;

private:
  Value strip(Value value);
  template <typename OpTy> OpTy find(Value value);
  template <typename OpTy> Value reducedFrom(Value value);
  std::optional<double> constantOf(Value value);
  Value matchWeights(Value weights);
  bool comesFromProduct(Value scores);
  LogicalResult matchScores(Value scores);

  llvm::SetVector<Operation *> members;
};

} // namespace

/// The value before casts that the frontend added.
Value Softmax::strip(Value value) {
  while (auto cast = value.getDefiningOp<CastOp>()) {
    if (!cast.getImplicit())
      break;
    members.insert(cast);
    value = cast.getOperand();
  }
  return value;
}

template <typename OpTy> OpTy Softmax::find(Value value) {
  auto op = strip(value).getDefiningOp<OpTy>();
  if (op)
    members.insert(op);
  return op;
}

/// What a reduction along the last dimension, which it keeps, reduces.
template <typename OpTy> Value Softmax::reducedFrom(Value value) {
  auto reduction = find<OpTy>(value);
  if (!reduction)
    return {};
  int64_t last = reduction.getOperand().getType().getRank() - 1;
  if (!reduction.getKeepdims() || reduction.getDims() != ArrayRef<int64_t>(last))
    return {};
  return strip(reduction.getOperand());
}

/// The number that every element of a constant is.
std::optional<double> Softmax::constantOf(Value value) {
  DenseFPElementsAttr attribute;
  if (!matchPattern(strip(value), m_Constant(&attribute)) || !attribute.isSplat())
    return std::nullopt;
  bool lossy;
  APFloat number = attribute.getSplatValue<APFloat>();
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
  return number.convertToDouble();
}

/// The scores whose softmax the weights are.
Value Softmax::matchWeights(Value weights) {
  auto quotient = find<DivOp>(weights);
  if (!quotient)
    return {};
  Value numerator = strip(quotient.getLhs());
  auto power = find<ExpOp>(numerator);
  if (!power || reducedFrom<ReduceSumOp>(quotient.getRhs()) != numerator)
    return {};
  auto difference = strip(power.getOperand()).getDefiningOp<SubOp>();
  if (!difference)
    return power.getOperand();
  members.insert(difference);
  return reducedFrom<ReduceMaxOp>(difference.getRhs()) == strip(difference.getLhs()) ? difference.getLhs() : Value();
}

/// Whether scores are a product, apart from constant factors.
bool Softmax::comesFromProduct(Value scores) {
  while (Operation *op = strip(scores).getDefiningOp()) {
    if (isa<MatmulOp>(op))
      return true;
    if (!isa<MulOp, DivOp>(op))
      return false;
    scores = op->getOperand(isa<MulOp>(op) && constantOf(op->getOperand(0)) ? 1 : 0);
  }
  return false;
}

/// Takes mask and scale off the scores, down to the first product.
LogicalResult Softmax::matchScores(Value scores) {
  Operation *op = strip(scores).getDefiningOp();
  bool isScaled = false;
  while (op && !isa<MatmulOp>(op)) {
    members.insert(op);
    Value next;
    if (isa<MulOp, DivOp>(op)) {
      std::optional<double> factor = constantOf(op->getOperand(1));
      next = op->getOperand(0);
      if (!factor && isa<MulOp>(op)) {
        factor = constantOf(op->getOperand(0));
        next = op->getOperand(1);
      }
      if (!factor)
        return failure();
      scale = isa<MulOp>(op) ? scale * *factor : scale / *factor;
      isScaled = true;
    } else if (auto add = dyn_cast<AddOp>(op); add && !mask && !isScaled) {
      bool isLeft = comesFromProduct(add.getLhs());
      next = isLeft ? add.getLhs() : add.getRhs();
      mask = isLeft ? add.getRhs() : add.getLhs();
    } else if (auto select = dyn_cast<SelectOp>(op); select && !mask && !isScaled) {
      std::optional<double> other = constantOf(select.getOnFalse());
      if (!other || *other != -std::numeric_limits<double>::infinity())
        return failure();
      next = select.getOnTrue();
      mask = select.getCondition();
    } else {
      return failure();
    }
    // Broadcasting by the mask or a factor would make the scores another shape.
    if (cast<RankedTensorType>(next.getType()).getShape() !=
        cast<RankedTensorType>(op->getResult(0).getType()).getShape())
      return failure();
    op = strip(next).getDefiningOp();
  }
  first = dyn_cast_or_null<MatmulOp>(op);
  return success(first);
}

LogicalResult Softmax::match(MatmulOp last) {
  Value scores = matchWeights(last.getLhs());
  if (!scores || failed(matchScores(scores)))
    return failure();
  members.insert(first);
  // Casts of the mask may be read by others.
  for (Operation *member : members)
    for (Operation *user : member->getUsers())
      if (user != last && !members.contains(user) && !(mask && member == mask.getDefiningOp()) &&
          !matchPattern(member, m_Constant()))
        return failure();
  return success();
}

namespace {

struct RaiseAttention : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp last, PatternRewriter &rewriter) const override {
    RankedTensorType type = last.getResult().getType();
    int64_t rank = type.getRank();
    Softmax softmax;
    if (rank > 4 || failed(softmax.match(last)))
      return failure();
    Value query = softmax.first.getLhs(), transposedKey = softmax.first.getRhs(), value = last.getRhs();
    for (Value operand : {query, transposedKey, value}) {
      auto operandType = cast<RankedTensorType>(operand.getType());
      if (operandType.getRank() != rank || operandType.getElementType() != type.getElementType() ||
          operandType.getShape().drop_back(2) != type.getShape().drop_back(2))
        return failure();
    }
    ImplicitLocOpBuilder b(last.getLoc(), rewriter);
    Value mask = softmax.mask;
    if (mask && rank == 3 && cast<RankedTensorType>(mask.getType()).getRank() == 3)
      mask = addHeads(b, mask);
    auto attention = FlashAttentionOp::create(
        b, addHeads(type), Type(), addHeads(b, query), addHeads(b, transposeLast(b, transposedKey)), addHeads(b, value),
        mask, Value(), b.getF64FloatAttr(softmax.scale), UnitAttr(), DenseI64ArrayAttr(), FloatAttr());
    Value result = attention.getOutput();
    if (rank < 4) {
      SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, b.getLoc(), query);
      sizes.back() = tensor::getMixedSize(b, b.getLoc(), value, rank - 1);
      result = reshape(b, result, type, sizes);
    }
    rewriter.replaceOp(last, result);
    return success();
  }

  /// [B, S, D] is [B, 1, S, D], and [S, D] is [1, 1, S, D].
  template <typename T> static SmallVector<T> addHeads(ArrayRef<T> sizes, T one) {
    SmallVector<T> result(sizes);
    result.insert(result.end() - 2, 4 - sizes.size(), one);
    return result;
  }
  static RankedTensorType addHeads(RankedTensorType type) { return type.clone(addHeads<int64_t>(type.getShape(), 1)); }
  static Value addHeads(ImplicitLocOpBuilder &b, Value tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    if (type.getRank() == 4)
      return tensor;
    SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, b.getLoc(), tensor);
    return reshape(b, tensor, addHeads(type), addHeads<OpFoldResult>(sizes, b.getIndexAttr(1)));
  }
  static Value reshape(ImplicitLocOpBuilder &b, Value tensor, RankedTensorType type, ArrayRef<OpFoldResult> sizes) {
    SmallVector<Value> dynamic;
    for (OpFoldResult size : sizes)
      if (auto value = dyn_cast<Value>(size))
        dynamic.push_back(value);
    return ReshapeOp::create(b, type, tensor, dynamic);
  }
  static Value transposeLast(ImplicitLocOpBuilder &b, Value tensor) {
    auto type = cast<RankedTensorType>(tensor.getType());
    int64_t rank = type.getRank();
    SmallVector<int64_t> permutation = llvm::to_vector(llvm::seq<int64_t>(rank)), shape(type.getShape());
    std::swap(permutation[rank - 1], permutation[rank - 2]);
    std::swap(shape[rank - 1], shape[rank - 2]);
    if (auto transpose = tensor.getDefiningOp<TransposeOp>();
        transpose && transpose.getPermutation() == ArrayRef<int64_t>(permutation))
      return transpose.getOperand();
    return TransposeOp::create(b, type.clone(shape), tensor, permutation);
  }
};

struct RaiseAttentionPass : tessera::impl::TesseraRaiseAttentionPassBase<RaiseAttentionPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RaiseAttention>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "passes/LowerToLLVM/RuntimeToLLVM.h"

#include "dialects/Runtime/RuntimeDialect.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace tessera;

// Byte offsets into tsr_api; runtime.h asserts the same.
constexpr int32_t kParallelFor = 8, kFail = 16, kMathF32 = 24, kMathF64 = 32, kAlloc = 40, kFree = 48, kLaunch = 56,
                  kCopy = 64, kRead = 72, kDeviceAlloc = 80, kDeviceFree = 88, kCollectiveStart = 96,
                  kCollectiveWait = 104, kAxisIndex = 112, kObserve = 120, kCollectiveRun = 128;

static LLVM::LLVMPointerType pointerType(OpBuilder &b) { return LLVM::LLVMPointerType::get(b.getContext()); }

/// Reads a pointer from the runtime's table.
static Value loadFromTable(OpBuilder &b, Location loc, int32_t offset) {
  auto pointer = pointerType(b);
  Value slot = LLVM::AddressOfOp::create(b, loc, pointer, kRuntimeSlot);
  Value table = LLVM::LoadOp::create(b, loc, pointer, slot);
  Value field = LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), table, ArrayRef<LLVM::GEPArg>{offset});
  return LLVM::LoadOp::create(b, loc, pointer, field);
}

static LLVM::CallOp callPointer(OpBuilder &b, Location loc, Type result, Value function, ValueRange arguments) {
  auto type = LLVM::LLVMFunctionType::get(result, llvm::to_vector(arguments.getTypes()));
  SmallVector<Value> operands = {function};
  llvm::append_range(operands, arguments);
  return LLVM::CallOp::create(b, loc, type, operands);
}

/// Room on the stack for values, which outlives the calls that are given its address.
static Value createFrame(OpBuilder &b, Operation *op, LLVM::LLVMStructType type) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&op->getParentOfType<FunctionOpInterface>().getFunctionBody().front());
  Value one = LLVM::ConstantOp::create(b, op->getLoc(), b.getI64Type(), b.getI64IntegerAttr(1));
  return LLVM::AllocaOp::create(b, op->getLoc(), pointerType(b), type, one);
}

static Value fieldOf(OpBuilder &b, Location loc, LLVM::LLVMStructType type, Value frame, size_t index) {
  return LLVM::GEPOp::create(b, loc, pointerType(b), type, frame,
                             ArrayRef<LLVM::GEPArg>{0, static_cast<int32_t>(index)});
}

/// Whether the program runs on a device, whose memory the host reaches through the runtime only.
static bool isOnDevice(Operation *op) {
  return op->getParentOfType<ModuleOp>()->hasAttr(gpu::GPUDialect::getContainerModuleAttrName());
}

/// Ends the host program with a status, in front of `op`, if the condition holds.
static void returnIf(ConversionPatternRewriter &b, Operation *op, Value condition,
                     llvm::function_ref<Value()> createStatus) {
  Location loc = op->getLoc();
  auto function = op->getParentOfType<FunctionOpInterface>();
  Block *before = op->getBlock();
  Block *after = b.splitBlock(before, op->getIterator());
  Block *end = b.createBlock(&function.getFunctionBody(), function.getFunctionBody().end());
  LLVM::ReturnOp::create(b, loc, createStatus());
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, loc, condition, end, ValueRange(), after, ValueRange());
  b.setInsertionPoint(op);
}

/// Calls the function at an offset of the runtime's table, and ends the host program where that refuses.
static void callOrReturn(ConversionPatternRewriter &b, Operation *op, int32_t offset, ValueRange arguments) {
  Location loc = op->getLoc();
  Value status = callPointer(b, loc, b.getI32Type(), loadFromTable(b, loc, offset), arguments).getResult();
  Value ok = LLVM::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(0));
  Value failed = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, status, ok);
  returnIf(b, op, failed, [&] { return status; });
}

namespace {

struct LowerSlice : ConvertOpToLLVMPattern<rt::SliceOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::SliceOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<LLVM::GEPOp>(op, pointerType(b), b.getI8Type(), adaptor.getSource(),
                                      ArrayRef<LLVM::GEPArg>{adaptor.getOffset()});
    return success();
  }
};

struct LowerBind : ConvertOpToLLVMPattern<rt::BindOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::BindOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    auto type = cast<MemRefType>(op.getResult().getType());
    SmallVector<Value> sizes, strides;
    Value bytes;
    getMemRefDescriptorSizes(op.getLoc(), type, adaptor.getSizes(), b, sizes, strides, bytes, /*sizeInBytes=*/true);
    Value source = adaptor.getSource();
    Value view = createMemRefDescriptor(op.getLoc(), type, source, source, sizes, strides, b);
    b.replaceOp(op, view);
    return success();
  }
};

struct LowerLaunch : ConvertOpToLLVMPattern<rt::LaunchOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::LaunchOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<LLVM::CallOp>(op, TypeRange(), op.getKernel(), adaptor.getOperands());
    return success();
  }
};

/// The kernel is known by its place among those of its module. An error of a launch is recorded with the call, whose
/// later launches do nothing.
struct LowerLaunchBlocks : ConvertOpToLLVMPattern<rt::LaunchBlocksOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::LaunchBlocksOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto module = SymbolTable::lookupNearestSymbolFrom<gpu::GPUModuleOp>(op, op.getKernel().getRootReference());
    int32_t number = 0;
    Operation *kernel = nullptr;
    for (auto function : module.getOps<FunctionOpInterface>()) {
      if (function.getName() == op.getKernel().getLeafReference()) {
        kernel = function;
        break;
      }
      number += function->hasAttr(gpu::GPUDialect::getKernelFuncAttrName());
    }
    auto shared = kernel->getAttrOfType<IntegerAttr>("tessera.shared");
    auto constant = [&](Type type, int64_t value) -> Value {
      return LLVM::ConstantOp::create(b, loc, type, b.getIntegerAttr(type, value));
    };
    auto types = llvm::to_vector(adaptor.getArguments().getTypes());
    auto values = LLVM::LLVMStructType::getLiteral(getContext(), types);
    auto addresses = LLVM::LLVMStructType::getLiteral(getContext(), SmallVector<Type>(types.size(), pointerType(b)));
    Value valueFrame = createFrame(b, op, values), addressFrame = createFrame(b, op, addresses);
    for (auto [index, argument] : llvm::enumerate(adaptor.getArguments())) {
      Value field = fieldOf(b, loc, values, valueFrame, index);
      LLVM::StoreOp::create(b, loc, argument, field);
      LLVM::StoreOp::create(b, loc, field, fieldOf(b, loc, addresses, addressFrame, index));
    }
    callPointer(b, loc, b.getI32Type(), loadFromTable(b, loc, kLaunch),
                {constant(b.getI32Type(), number), adaptor.getBlocks(),
                 constant(b.getI64Type(), shared ? shared.getInt() : 0), addressFrame});
    b.eraseOp(op);
    return success();
  }
};

struct LowerCopy : ConvertOpToLLVMPattern<rt::CopyOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::CopyOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    callPointer(b, op.getLoc(), b.getI32Type(), loadFromTable(b, op.getLoc(), kCopy),
                {adaptor.getTarget(), adaptor.getSource(), adaptor.getBytes()});
    b.eraseOp(op);
    return success();
  }
};

/// The wait for a collective that nothing runs beside; null if something does.
rt::WaitCollectiveOp findNextWait(rt::StartCollectiveOp start) {
  Operation *next = start->getNextNode();
  while (next && isPure(next))
    next = next->getNextNode();
  auto wait = dyn_cast_or_null<rt::WaitCollectiveOp>(next);
  return wait && wait.getNumber() == start.getNumber() ? wait : nullptr;
}

struct LowerStartCollective : ConvertOpToLLVMPattern<rt::StartCollectiveOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::StartCollectiveOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &b) const override {
    Value number = LLVM::ConstantOp::create(b, op.getLoc(), op.getNumberAttr());
    rt::WaitCollectiveOp wait = findNextWait(op);
    callOrReturn(b, op, wait ? kCollectiveRun : kCollectiveStart,
                 {number, adaptor.getSource(), adaptor.getTarget(), adaptor.getCount()});
    if (wait)
      b.eraseOp(wait);
    b.eraseOp(op);
    return success();
  }
};

struct LowerWaitCollective : ConvertOpToLLVMPattern<rt::WaitCollectiveOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::WaitCollectiveOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    Value number = LLVM::ConstantOp::create(b, op.getLoc(), op.getNumberAttr());
    callOrReturn(b, op, kCollectiveWait, number);
    b.eraseOp(op);
    return success();
  }
};

struct LowerAxisIndex : ConvertOpToLLVMPattern<rt::AxisIndexOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::AxisIndexOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    Value axis = LLVM::ConstantOp::create(b, op.getLoc(), op.getAxisAttr());
    b.replaceOp(op, callPointer(b, op.getLoc(), b.getI64Type(), loadFromTable(b, op.getLoc(), kAxisIndex), axis));
    return success();
  }
};

struct LowerScratch : ConvertOpToLLVMPattern<rt::ScratchOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::ScratchOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Value allocate = loadFromTable(b, op.getLoc(), kDeviceAlloc);
    b.replaceOp(op, callPointer(b, op.getLoc(), pointerType(b), allocate, adaptor.getBytes()));
    return success();
  }
};

struct LowerRelease : ConvertOpToLLVMPattern<rt::ReleaseOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::ReleaseOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    callPointer(b, op.getLoc(), LLVM::LLVMVoidType::get(getContext()), loadFromTable(b, op.getLoc(), kDeviceFree),
                adaptor.getBuffer());
    b.eraseOp(op);
    return success();
  }
};

struct LowerLoad : ConvertOpToLLVMPattern<rt::LoadOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::LoadOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    Type type = getTypeConverter()->convertType(op.getResult().getType());
    Value source = adaptor.getSource();
    if (isOnDevice(op)) {
      auto frame = LLVM::LLVMStructType::getLiteral(getContext(), type);
      Value target = createFrame(b, op, frame);
      int64_t size = llvm::divideCeil(type.getIntOrFloatBitWidth(), 8);
      Value bytes = LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(size));
      callOrReturn(b, op, kRead, {target, source, bytes});
      source = target;
    }
    b.replaceOpWithNewOp<LLVM::LoadOp>(op, type, source);
    return success();
  }
};

struct LowerObserve : ConvertOpToLLVMPattern<rt::ObserveOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::ObserveOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(op.getType());
    auto shape = LLVM::LLVMStructType::getLiteral(getContext(), SmallVector<Type>(type.getRank(), b.getI64Type()));
    Value frame = createFrame(b, op, shape);
    for (auto [dim, size] : llvm::enumerate(type.getShape())) {
      Value written = type.isDynamicDim(dim)
                          ? adaptor.getSizes()[type.getDynamicDimIndex(dim)]
                          : LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(size)).getResult();
      LLVM::StoreOp::create(b, loc, written, fieldOf(b, loc, shape, frame, dim));
    }
    Value index = LLVM::ConstantOp::create(b, loc, b.getI32Type(), op.getIndexAttr());
    callOrReturn(b, op, kObserve, {index, adaptor.getBuffer(), frame});
    b.eraseOp(op);
    return success();
  }
};

struct LowerLibm : ConvertOpToLLVMPattern<rt::LibmOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::LibmOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    bool isDouble = op.getResult().getType().isF64();
    Value functions = loadFromTable(b, loc, isDouble ? kMathF64 : kMathF32);
    auto pointer = pointerType(b);
    Value slot = LLVM::GEPOp::create(b, loc, pointer, pointer, functions,
                                     ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(op.getFunction())});
    Value function = LLVM::LoadOp::create(b, loc, pointer, slot);
    b.replaceOp(op, callPointer(b, loc, op.getResult().getType(), function, {adaptor.getLhs(), adaptor.getRhs()}));
    return success();
  }
};

/// An error ends the host program at once, with the status that the runtime gave it.
struct LowerFail : ConvertOpToLLVMPattern<rt::FailOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult matchAndRewrite(rt::FailOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto module = op->getParentOfType<ModuleOp>();
    std::string text = op.getMessage().str() + '\0';
    std::string name;
    int known = 0;
    for (auto global : module.getOps<LLVM::GlobalOp>()) {
      known += global.getName().starts_with("tessera.message.");
      if (auto value = dyn_cast_or_null<StringAttr>(global.getValueOrNull()); value && value.getValue() == text)
        name = global.getName();
    }
    if (name.empty()) {
      name = "tessera.message." + std::to_string(known);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(module.getBody());
      auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
      LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Private, name, b.getStringAttr(text));
    }
    returnIf(b, op, adaptor.getCondition(), [&]() -> Value {
      Value message = LLVM::AddressOfOp::create(b, loc, pointerType(b), name);
      Value code = LLVM::ConstantOp::create(b, loc, b.getI32Type(), op.getCodeAttr());
      return callPointer(b, loc, b.getI32Type(), loadFromTable(b, loc, kFail),
                         {code, message, adaptor.getValue0(), adaptor.getValue1()})
          .getResult();
    });
    b.eraseOp(op);
    return success();
  }
};

/// Captures travel in a structure on the caller's stack, which outlives the call.
struct LowerParallelFor : ConvertOpToLLVMPattern<rt::ParallelForOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(rt::ParallelForOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    auto pointer = pointerType(b);
    auto type = LLVM::LLVMStructType::getLiteral(getContext(), llvm::to_vector(adaptor.getCaptures().getTypes()));
    std::string thunk = (op.getCallee() + ".thunk").str();
    createThunk(op, type, thunk, b);

    Value frame = createFrame(b, op, type);
    for (auto [index, capture] : llvm::enumerate(adaptor.getCaptures()))
      LLVM::StoreOp::create(b, loc, capture, fieldOf(b, loc, type, frame, index));
    Value function = LLVM::AddressOfOp::create(b, loc, pointer, thunk);
    callPointer(b, loc, LLVM::LLVMVoidType::get(getContext()), loadFromTable(b, loc, kParallelFor),
                {adaptor.getCount(), adaptor.getGrain(), function, frame});
    b.eraseOp(op);
    return success();
  }

  /// void thunk(void *captures, int64_t begin, int64_t end)
  void createThunk(rt::ParallelForOp op, LLVM::LLVMStructType type, StringRef name,
                   ConversionPatternRewriter &b) const {
    OpBuilder::InsertionGuard guard(b);
    Location loc = op.getLoc();
    auto pointer = pointerType(b);
    auto module = op->getParentOfType<ModuleOp>();
    b.setInsertionPointToEnd(module.getBody());
    auto functionType =
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(getContext()), {pointer, b.getI64Type(), b.getI64Type()});
    auto thunk = LLVM::LLVMFuncOp::create(b, loc, name, functionType, LLVM::Linkage::Internal);
    b.setInsertionPointToStart(thunk.addEntryBlock(b));
    SmallVector<Value> arguments = {thunk.getArgument(1), thunk.getArgument(2)};
    for (auto [index, field] : llvm::enumerate(type.getBody())) {
      Value address = fieldOf(b, loc, type, thunk.getArgument(0), index);
      arguments.push_back(LLVM::LoadOp::create(b, loc, field, address));
    }
    LLVM::CallOp::create(b, loc, TypeRange(), op.getCallee(), arguments);
    LLVM::ReturnOp::create(b, loc, ValueRange());
  }
};

/// Scratch memory comes from the runtime, not from malloc, which an object cannot import.
struct LowerAlloc : ConvertOpToLLVMPattern<memref::AllocOp> {
  LowerAlloc(const LLVMTypeConverter &converter) : ConvertOpToLLVMPattern(converter, /*benefit=*/10) {}
  LogicalResult matchAndRewrite(memref::AllocOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    SmallVector<Value> sizes, strides;
    Value bytes;
    getMemRefDescriptorSizes(op.getLoc(), op.getType(), adaptor.getDynamicSizes(), b, sizes, strides, bytes,
                             /*sizeInBytes=*/true);
    auto call = callPointer(b, op.getLoc(), pointerType(b), loadFromTable(b, op.getLoc(), kAlloc), bytes);
    Value memory = call.getResult();
    Value view = createMemRefDescriptor(op.getLoc(), op.getType(), memory, memory, sizes, strides, b);
    b.replaceOp(op, view);
    return success();
  }
};

struct LowerDealloc : ConvertOpToLLVMPattern<memref::DeallocOp> {
  LowerDealloc(const LLVMTypeConverter &converter) : ConvertOpToLLVMPattern(converter, /*benefit=*/10) {}
  LogicalResult matchAndRewrite(memref::DeallocOp op, OpAdaptor adaptor, ConversionPatternRewriter &b) const override {
    Value address = MemRefDescriptor(adaptor.getMemref()).allocatedPtr(b, op.getLoc());
    callPointer(b, op.getLoc(), LLVM::LLVMVoidType::get(getContext()), loadFromTable(b, op.getLoc(), kFree), address);
    b.eraseOp(op);
    return success();
  }
};

} // namespace

void tessera::populateBuffersToLLVM(LLVMTypeConverter &converter, RewritePatternSet &patterns) {
  converter.addConversion([](rt::BufferType type) { return LLVM::LLVMPointerType::get(type.getContext()); });
  patterns.add<LowerSlice, LowerBind>(converter);
}

void tessera::populateRuntimeToLLVM(LLVMTypeConverter &converter, RewritePatternSet &patterns) {
  populateBuffersToLLVM(converter, patterns);
  patterns.add<LowerLaunch, LowerLaunchBlocks, LowerCopy, LowerScratch, LowerRelease, LowerLoad, LowerObserve,
               LowerLibm, LowerFail, LowerParallelFor, LowerAlloc, LowerDealloc, LowerStartCollective,
               LowerWaitCollective, LowerAxisIndex>(converter);
}

// RUN: tessera-opt %s --tessera-stage-linalg --tessera-fuse-elementwise --canonicalize --cse --tessera-form-kernels --canonicalize --cse --split-input-file | FileCheck %s

// Softmax is one kernel, and only its result is a tensor of the host's.
// CHECK: func.func private @softmax_0
// CHECK-SAME: tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>
// CHECK-LABEL: func.func @softmax(
// CHECK-COUNT-1: tensor.empty
// CHECK-NOT: tensor.empty
// CHECK: rt.dispatch @softmax_0
// CHECK-NOT: rt.dispatch
// CHECK: return
func.func @softmax(%x: tensor<?x?xf32>) -> tensor<?x?xf32> attributes {tessera.entry} {
  %M = tessera.symbol "M"
  %N = tessera.symbol "N"
  tessera.bind_shape %x [%M, %N] : tensor<?x?xf32>
  %0 = tessera.reduce_max %x dims = [1] {keepdims} : tensor<?x?xf32> -> tensor<?x1xf32>
  %1 = tessera.sub %x, %0 : (tensor<?x?xf32>, tensor<?x1xf32>) -> tensor<?x?xf32>
  %2 = tessera.exp %1 : tensor<?x?xf32>
  %3 = tessera.reduce_sum %2 dims = [1] {keepdims} : tensor<?x?xf32> -> tensor<?x1xf32>
  %4 = tessera.div %2, %3 : (tensor<?x?xf32>, tensor<?x1xf32>) -> tensor<?x?xf32>
  return %4 : tensor<?x?xf32>
}

// -----

// Gate and up are computed beside the product of their activation; the last product needs whole rows of that.
// CHECK: func.func private @swiglu_0
// CHECK-SAME: tessera.kind = "matmul"
// CHECK: math.exp
// CHECK: func.func private @swiglu_1
// CHECK-SAME: tessera.kind = "matmul"
// CHECK-LABEL: func.func @swiglu(
// CHECK-COUNT-2: rt.dispatch
// CHECK-NOT: rt.dispatch
// CHECK: return
func.func @swiglu(%x: tensor<?x64xf32>, %g: tensor<64x128xf32>, %u: tensor<64x128xf32>, %d: tensor<128x64xf32>)
    -> tensor<?x64xf32> attributes {tessera.entry} {
  %M = tessera.symbol "M"
  tessera.bind_shape %x [%M] : tensor<?x64xf32>
  %0 = tessera.matmul %x, %g : (tensor<?x64xf32>, tensor<64x128xf32>) -> tensor<?x128xf32>
  %1 = tessera.sigmoid %0 : tensor<?x128xf32>
  %2 = tessera.mul %0, %1 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  %3 = tessera.matmul %x, %u : (tensor<?x64xf32>, tensor<64x128xf32>) -> tensor<?x128xf32>
  %4 = tessera.mul %2, %3 : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32>
  %5 = tessera.matmul %4, %d : (tensor<?x128xf32>, tensor<128x64xf32>) -> tensor<?x64xf32>
  return %5 : tensor<?x64xf32>
}

// -----

// Sums of columns would make columns the tile, so they are a kernel of their own.
// CHECK-LABEL: func.func @center(
// CHECK-COUNT-2: rt.dispatch
func.func @center(%x: tensor<64x32xf32>) -> tensor<64x32xf32> attributes {tessera.entry} {
  %0 = tessera.reduce_sum %x dims = [0] : tensor<64x32xf32> -> tensor<32xf32>
  %1 = tessera.sub %x, %0 : (tensor<64x32xf32>, tensor<32xf32>) -> tensor<64x32xf32>
  return %1 : tensor<64x32xf32>
}

// -----

// Attention is a kernel of its own.
// CHECK-LABEL: func.func private @attention_0
// CHECK-SAME:  tessera.kind = "attention"
// CHECK:         tessera.flash_attention
// CHECK-LABEL: func.func @attention
// CHECK:         rt.dispatch @attention_0
func.func @attention(%q: tensor<1x8x4x64xf32>) -> tensor<1x8x4x64xf32> attributes {tessera.entry} {
  %0 = tessera.flash_attention %q, %q, %q : (tensor<1x8x4x64xf32>, tensor<1x8x4x64xf32>, tensor<1x8x4x64xf32>) -> tensor<1x8x4x64xf32>
  return %0 : tensor<1x8x4x64xf32>
}

// -----

// A scatter changes its operand in place: its destination is no memory of its own.
// CHECK-LABEL: func.func private @scatter_0
// CHECK-SAME:  tessera.kind = "scatter"
// CHECK:         tessera.scatter
// CHECK-LABEL: func.func @scatter
// CHECK-SAME:    %[[X:.*]]: tensor<9x4xf32>
// CHECK:         rt.dispatch @scatter_0 ins({{.*}}) outs(%[[X]] : tensor<9x4xf32>)
func.func @scatter(%x: tensor<9x4xf32>, %i: tensor<2xi64>, %u: tensor<2x4xf32>) -> tensor<9x4xf32> attributes {tessera.entry} {
  %0 = tessera.scatter %u into %x[%i] : tensor<2x4xf32>, tensor<2xi64> into tensor<9x4xf32>
  return %0 : tensor<9x4xf32>
}

// -----

// Pieces of one size are one kernel, all of whose dimensions are divided.
// CHECK-LABEL: func.func private @pieces_0
// CHECK-SAME:    %[[X:.*]]: tensor<8x4xf32>, %[[OUT:.*]]: tensor<8x8xf32>
// CHECK-SAME:    tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0, 1>
// CHECK:         %[[I:.*]] = tensor.insert_slice %{{.*}} into %[[OUT]][0, 0]
// CHECK:         %[[J:.*]] = tensor.insert_slice %[[X]] into %[[I]][0, 4]
// CHECK:         return %[[J]]
// CHECK-LABEL: func.func @pieces
// CHECK-COUNT-1: rt.dispatch
// CHECK-NOT:     rt.dispatch
// CHECK:         return
func.func @pieces(%x: tensor<8x4xf32>) -> tensor<8x8xf32> attributes {tessera.entry} {
  %0 = tessera.exp %x : tensor<8x4xf32>
  %1 = tessera.concat %0, %x dim = 1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  return %1 : tensor<8x8xf32>
}

// -----

// Rows of different lengths are one kernel over the rows.
// CHECK-LABEL: func.func private @rows_0
// CHECK-SAME:    tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0>
// CHECK-LABEL: func.func @rows
// CHECK-COUNT-1: rt.dispatch
// CHECK-NOT:     rt.dispatch
// CHECK:         return
func.func @rows(%x: tensor<?x?xf32>, %y: tensor<?x?xf32>) -> tensor<?x?xf32> attributes {tessera.entry} {
  %M = tessera.symbol "M"
  %N = tessera.symbol "N"
  %K = tessera.symbol "K"
  tessera.bind_shape %x[%M, %N] : tensor<?x?xf32>
  tessera.bind_shape %y[%M, %K] : tensor<?x?xf32>
  %0 = tessera.exp %x : tensor<?x?xf32>
  %1 = tessera.concat %0, %y dim = 1 : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  return %1 : tensor<?x?xf32>
}

// -----

// Blocks of rows have no tile in common.
// CHECK-LABEL: func.func @blocks
// CHECK-COUNT-2: rt.dispatch
func.func @blocks(%x: tensor<8x4xf32>, %y: tensor<6x4xf32>) -> tensor<14x4xf32> attributes {tessera.entry} {
  %0 = tessera.exp %x : tensor<8x4xf32>
  %1 = tessera.concat %0, %y dim = 0 : (tensor<8x4xf32>, tensor<6x4xf32>) -> tensor<14x4xf32>
  return %1 : tensor<14x4xf32>
}

// -----

// A reduction along the rows of a piece is computed beside it.
// CHECK-LABEL: func.func private @rowwise_0
// CHECK-SAME:    tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>
// CHECK-LABEL: func.func @rowwise
// CHECK-COUNT-1: rt.dispatch
// CHECK-NOT:     rt.dispatch
// CHECK:         return
func.func @rowwise(%x: tensor<8x4xf32>) -> tensor<8x8xf32> attributes {tessera.entry} {
  %0 = tessera.reduce_sum %x dims = [1] {keepdims} : tensor<8x4xf32> -> tensor<8x1xf32>
  %1 = tessera.div %x, %0 : (tensor<8x4xf32>, tensor<8x1xf32>) -> tensor<8x4xf32>
  %2 = tessera.concat %1, %x dim = 1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  return %2 : tensor<8x8xf32>
}

// -----

// A piece with another reader is computed first.
// CHECK-LABEL: func.func @other_reader
// CHECK:         %[[P:.*]] = rt.dispatch @other_reader_0
// CHECK:         %[[Q:.*]] = rt.dispatch @other_reader_1 ins(%{{.*}}, %[[P]] :
// CHECK:         return %[[Q]], %[[P]]
func.func @other_reader(%x: tensor<8x4xf32>) -> (tensor<8x8xf32>, tensor<8x4xf32>) attributes {tessera.entry} {
  %0 = tessera.sqrt %x : tensor<8x4xf32>
  %1 = tessera.exp %x : tensor<8x4xf32>
  %2 = tessera.concat %1, %0 dim = 1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  return %2, %0 : tensor<8x8xf32>, tensor<8x4xf32>
}

// -----

// Sizes are not negative, so that no piece is where another is, whatever the sizes are.
// CHECK-LABEL: func.func @symbolic_pieces
// CHECK-COUNT-1: rt.dispatch
// CHECK-NOT:     rt.dispatch
// CHECK:         return
func.func @symbolic_pieces(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> attributes {tessera.entry} {
  %M = tessera.symbol "M"
  tessera.bind_shape %x[%M] : tensor<?xf32>
  tessera.bind_shape %y[%M] : tensor<?xf32>
  %0 = tessera.exp %x : tensor<?xf32>
  %1 = tessera.concat %0, %y, %x dim = 0 : (tensor<?xf32>, tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %1 : tensor<?xf32>
}

// RUN: tessera-opt %s --split-input-file --verify-diagnostics --tessera-lower-collectives | FileCheck %s

// CHECK-NOT: shard.grid
shard.grid @mesh(shape = 2x4x1)

// What goes along the first dimension is in pieces already: a view is enough. Elsewhere elements are moved.
// CHECK-LABEL: func.func @all_gather
// CHECK-SAME:    %[[X:.*]]: tensor<3x5xf32>
func.func @all_gather(%x: tensor<3x5xf32>) -> (tensor<12x5xf32>, tensor<3x20xf32>) {
  // CHECK: %[[G:.*]] = rt.collective <all_gather, axes = [1], ranks = 4> ins(%[[X]] : tensor<3x5xf32>) outs(%{{.*}}) -> tensor<4x3x5xf32>
  // CHECK: tessera.reshape %[[G]][] : tensor<4x3x5xf32> -> tensor<12x5xf32>
  %0 = shard.all_gather %x on @mesh grid_axes = [1] gather_axis = 0 : tensor<3x5xf32> -> tensor<12x5xf32>
  // CHECK: %[[G:.*]] = rt.collective <all_gather, axes = [1], ranks = 4> ins(%[[X]] : tensor<3x5xf32>) outs(%{{.*}}) -> tensor<4x3x5xf32>
  // CHECK: %[[T:.*]] = tessera.transpose %[[G]] permutation = [1, 0, 2] : tensor<4x3x5xf32> -> tensor<3x4x5xf32>
  // CHECK: tessera.reshape %[[T]][] : tensor<3x4x5xf32> -> tensor<3x20xf32>
  %1 = shard.all_gather %x on @mesh grid_axes = [1] gather_axis = 1 : tensor<3x5xf32> -> tensor<3x20xf32>
  return %0, %1 : tensor<12x5xf32>, tensor<3x20xf32>
}

// Dimensions of size 1 outside don't keep a piece apart, and sizes stay arithmetic on those of the operand.
// CHECK-LABEL: func.func @reduce_scatter
// CHECK-SAME:    %[[X:.*]]: tensor<1x?x6xbf16>
func.func @reduce_scatter(%x: tensor<1x?x6xbf16>) -> (tensor<1x?x6xf32>, tensor<1x?x3xbf16>) {
  // CHECK: %[[WIDE:.*]] = tessera.cast %[[X]] : tensor<1x?x6xbf16> to tensor<1x?x6xf32>
  // CHECK: %[[N:.*]] = tensor.dim %[[WIDE]]
  // CHECK: %[[PART:.*]] = arith.floordivsi %[[N]], %{{.*}} : index
  // CHECK: %[[S:.*]] = tessera.reshape %[[WIDE]][%[[PART]]] : tensor<1x?x6xf32> -> tensor<8x1x?x6xf32>
  // CHECK: rt.collective <reduce_scatter, axes = [1, 0], ranks = 8, reduction = max> ins(%[[S]] : tensor<8x1x?x6xf32>) outs(%{{.*}} : tensor<1x?x6xf32>)
  %0 = shard.reduce_scatter %x on @mesh grid_axes = [1, 0] reduction = max scatter_axis = 1 : tensor<1x?x6xbf16> -> tensor<1x?x6xf32>
  // CHECK: %[[S:.*]] = tessera.reshape %[[X]][%{{.*}}] : tensor<1x?x6xbf16> -> tensor<1x?x2x3xbf16>
  // CHECK: %[[T:.*]] = tessera.transpose %[[S]] permutation = [2, 0, 1, 3] : tensor<1x?x2x3xbf16> -> tensor<2x1x?x3xbf16>
  // CHECK: rt.collective <reduce_scatter, axes = [0], ranks = 2> ins(%[[T]] : tensor<2x1x?x3xbf16>)
  %1 = shard.reduce_scatter %x on @mesh grid_axes = [0] scatter_axis = 2 : tensor<1x?x6xbf16> -> tensor<1x?x3xbf16>
  return %0, %1 : tensor<1x?x6xf32>, tensor<1x?x3xbf16>
}

// CHECK-LABEL: func.func @all_to_all
// CHECK-SAME:    %[[X:.*]]: tensor<8x3xi32>
func.func @all_to_all(%x: tensor<8x3xi32>) -> tensor<2x12xi32> {
  // CHECK: %[[S:.*]] = tessera.reshape %[[X]][] : tensor<8x3xi32> -> tensor<4x2x3xi32>
  // CHECK: %[[R:.*]] = rt.collective <all_to_all, axes = [1], ranks = 4> ins(%[[S]] : tensor<4x2x3xi32>)
  // CHECK: %[[T:.*]] = tessera.transpose %[[R]] permutation = [1, 0, 2]
  // CHECK: tessera.reshape %[[T]][] : tensor<2x4x3xi32> -> tensor<2x12xi32>
  %0 = shard.all_to_all %x on @mesh grid_axes = [1] split_axis = 0 concat_axis = 1 : tensor<8x3xi32> -> tensor<2x12xi32>
  return %0 : tensor<2x12xi32>
}

// Booleans are bytes on the way.
// CHECK-LABEL: func.func @booleans
func.func @booleans(%x: tensor<3xi1>) -> tensor<3xi1> {
  // CHECK: tessera.cast %{{.*}} : tensor<3xi1> to tensor<3xi8>
  // CHECK: rt.collective <all_reduce, axes = [0], ranks = 2, reduction = max> ins(%{{.*}} : tensor<3xi8>)
  // CHECK: tessera.cast %{{.*}} : tensor<3xi8> to tensor<3xi1>
  %0 = shard.all_reduce %x on @mesh grid_axes = [0] reduction = max : tensor<3xi1> -> tensor<3xi1>
  return %0 : tensor<3xi1>
}

// CHECK-LABEL: func.func @places
// CHECK-SAME:    %[[X:.*]]: tensor<8x3xf32>
func.func @places(%x: tensor<8x3xf32>) -> (tensor<8x3xf32>, tensor<8x3xf32>, tensor<1x3xf32>, index) {
  // CHECK: rt.collective <broadcast, axes = [0, 1], ranks = 8, root = 6> ins(%[[X]]
  %0 = shard.broadcast %x on @mesh grid_axes = [0, 1] root = [1, 2] : (tensor<8x3xf32>) -> tensor<8x3xf32>
  // CHECK: rt.collective <shift, axes = [1], ranks = 4, offset = -1, periodic = true> ins(%[[X]]
  %1 = shard.shift %x on @mesh grid_axes = [1] shift_axis = 1 offset = -1 rotate : tensor<8x3xf32> -> tensor<8x3xf32>
  // CHECK: %[[I:.*]] = rt.axis_index 0
  // CHECK: %[[J:.*]] = rt.axis_index 1
  // CHECK: %[[M:.*]] = arith.muli %[[I]], %{{.*}} : index
  // CHECK: %[[P:.*]] = arith.addi %[[M]], %[[J]] : index
  // CHECK: %[[O:.*]] = arith.muli %[[P]], %{{.*}} : index
  // CHECK: tessera.slice %[[X]][%[[O]], %{{.*}}] [] strides = [1, 1] : tensor<8x3xf32> -> tensor<1x3xf32>
  %2 = shard.all_slice %x on @mesh grid_axes = [0, 1] slice_axis = 0 : tensor<8x3xf32> -> tensor<1x3xf32>
  // CHECK: rt.axis_index 2
  %3 = shard.process_multi_index on @mesh axes = [2] : index
  return %0, %1, %2, %3 : tensor<8x3xf32>, tensor<8x3xf32>, tensor<1x3xf32>, index
}

// A group of one rank has nothing to say to each other.
// CHECK-LABEL: func.func @alone
// CHECK-SAME:    %[[X:.*]]: tensor<3xf32>
// CHECK-NEXT:    return %[[X]]
func.func @alone(%x: tensor<3xf32>) -> tensor<3xf32> {
  %0 = shard.all_reduce %x on @mesh grid_axes = [2] : tensor<3xf32> -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// -----

shard.grid @mesh(shape = 2)

func.func @generic(%x: tensor<3xf32>) -> tensor<3xf32> {
  // expected-error @+1 {{'shard.all_reduce' op expected a reduction that NCCL and MPI have; got generic}}
  %0 = shard.all_reduce %x on @mesh grid_axes = [0] reduction = generic : tensor<3xf32> -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// -----

shard.grid @mesh(shape = 2)

func.func @gather(%x: tensor<3xf32>) -> tensor<6xf32> {
  // expected-error @+1 {{'shard.gather' op expected an operation that NCCL and MPI have; got shard.gather}}
  %0 = shard.gather %x on @mesh grid_axes = [0] gather_axis = 0 root = [0] : (tensor<3xf32>) -> tensor<6xf32>
  return %0 : tensor<6xf32>
}

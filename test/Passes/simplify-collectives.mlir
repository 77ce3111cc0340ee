// RUN: tessera-opt %s --tessera-simplify-collectives | FileCheck %s
// RUN: tessera-opt %s --pass-pipeline='builtin.module(func.func(tessera-simplify-collectives{small-bytes=16}))' | FileCheck %s --check-prefix=FEW

shard.grid @mesh(shape = 2x4)

// CHECK-LABEL: func.func @part_of_all
// CHECK-SAME:    %[[X:.*]]: tensor<8x4xf32>
func.func @part_of_all(%x: tensor<8x4xf32>) -> (tensor<8x4xf32>, tensor<2x4xf32>, tensor<16x4xf32>) {
  // A part of what was gathered is what was there.
  %0 = shard.all_gather %x on @mesh grid_axes = [1] gather_axis = 0 : tensor<8x4xf32> -> tensor<32x4xf32>
  %1 = shard.all_slice %0 on @mesh grid_axes = [1] slice_axis = 0 : tensor<32x4xf32> -> tensor<8x4xf32>
  // CHECK: %[[S:.*]] = shard.reduce_scatter %[[X]] on @mesh grid_axes = [1] scatter_axis = 0 : tensor<8x4xf32> -> tensor<2x4xf32>
  %2 = shard.all_reduce %x on @mesh grid_axes = [1] : tensor<8x4xf32> -> tensor<8x4xf32>
  %3 = shard.all_slice %2 on @mesh grid_axes = [1] slice_axis = 0 : tensor<8x4xf32> -> tensor<2x4xf32>
  // Other ranks' parts are another matter.
  // CHECK: %[[G:.*]] = shard.all_gather %[[X]] on @mesh grid_axes = [1] gather_axis = 0
  // CHECK: %[[O:.*]] = shard.all_slice %[[G]] on @mesh grid_axes = [0] slice_axis = 0
  %4 = shard.all_gather %x on @mesh grid_axes = [1] gather_axis = 0 : tensor<8x4xf32> -> tensor<32x4xf32>
  %5 = shard.all_slice %4 on @mesh grid_axes = [0] slice_axis = 0 : tensor<32x4xf32> -> tensor<16x4xf32>
  // CHECK: return %[[X]], %[[S]], %[[O]]
  return %1, %3, %5 : tensor<8x4xf32>, tensor<2x4xf32>, tensor<16x4xf32>
}

// CHECK-LABEL: func.func @scattered_and_gathered
// CHECK-SAME:    %[[X:.*]]: tensor<8x4xf32>
// CHECK:         %[[R:.*]] = shard.all_reduce %[[X]] on @mesh grid_axes = [1] reduction = max : tensor<8x4xf32> -> tensor<8x4xf32>
// CHECK:         return %[[R]]
func.func @scattered_and_gathered(%x: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %0 = shard.reduce_scatter %x on @mesh grid_axes = [1] reduction = max scatter_axis = 0 : tensor<8x4xf32> -> tensor<2x4xf32>
  %1 = shard.all_gather %0 on @mesh grid_axes = [1] gather_axis = 0 : tensor<2x4xf32> -> tensor<8x4xf32>
  return %1 : tensor<8x4xf32>
}

// What ranks have in common they need not send each other.
// CHECK-LABEL: func.func @uniform
// CHECK-SAME:    %[[X:.*]]: tensor<2xf32>
func.func @uniform(%x: tensor<2xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
  // CHECK-DAG: %[[N:.*]] = tessera.constant dense<4.000000e+00> : tensor<f32>
  // CHECK-DAG: %[[G:.*]] = shard.all_gather %[[X]]
  %0 = shard.all_gather %x on @mesh grid_axes = [1] gather_axis = 0 : tensor<2xf32> -> tensor<8xf32>
  %1 = shard.all_reduce %0 on @mesh grid_axes = [1] reduction = max : tensor<8xf32> -> tensor<8xf32>
  // CHECK: %[[M:.*]] = tessera.mul %[[G]], %[[N]]
  %2 = shard.all_reduce %0 on @mesh grid_axes = [1] : tensor<8xf32> -> tensor<8xf32>
  // CHECK: %[[O:.*]] = shard.all_reduce %[[G]] on @mesh grid_axes = [0]
  %3 = shard.all_reduce %0 on @mesh grid_axes = [0] : tensor<8xf32> -> tensor<8xf32>
  // CHECK: return %[[G]], %[[M]], %[[O]]
  return %1, %2, %3 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
}

// CHECK-LABEL: func.func @sums
// CHECK-SAME:    %[[X:.*]]: tensor<?xf32>, %[[Y:.*]]: tensor<?xf32>
func.func @sums(%x: tensor<?xf32>, %y: tensor<?xf32>) -> (tensor<?xf32>, tensor<?xf32>, tensor<?xf32>) {
  // CHECK: %[[A:.*]] = shard.all_reduce %[[X]] on @mesh grid_axes = [0, 1] : tensor<?xf32>
  %0 = shard.all_reduce %x on @mesh grid_axes = [1] : tensor<?xf32> -> tensor<?xf32>
  %1 = shard.all_reduce %0 on @mesh grid_axes = [0] : tensor<?xf32> -> tensor<?xf32>
  // CHECK: %[[S:.*]] = tessera.sub %[[X]], %[[Y]]
  // CHECK: %[[B:.*]] = shard.all_reduce %[[S]] on @mesh grid_axes = [0]
  %2 = shard.all_reduce %x on @mesh grid_axes = [0] : tensor<?xf32> -> tensor<?xf32>
  %3 = shard.all_reduce %y on @mesh grid_axes = [0] : tensor<?xf32> -> tensor<?xf32>
  %4 = tessera.sub %2, %3 : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  // A largest is no sum, and one axis is not the other.
  // CHECK: shard.all_reduce %[[X]] on @mesh grid_axes = [0] reduction = max
  // CHECK: shard.all_reduce %[[Y]] on @mesh grid_axes = [1] reduction = max
  // CHECK: %[[C:.*]] = tessera.maximum
  %5 = shard.all_reduce %x on @mesh grid_axes = [0] reduction = max : tensor<?xf32> -> tensor<?xf32>
  %6 = shard.all_reduce %y on @mesh grid_axes = [1] reduction = max : tensor<?xf32> -> tensor<?xf32>
  %7 = tessera.maximum %5, %6 : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  // CHECK: return %[[A]], %[[B]], %[[C]]
  return %1, %4, %7 : tensor<?xf32>, tensor<?xf32>, tensor<?xf32>
}

// Small ones travel together, where the last of them is; one that an operation in between needs does not.
// CHECK-LABEL: func.func @small
// CHECK-SAME:    %[[X:.*]]: tensor<2x3xf32>, %[[Y:.*]]: tensor<4xf32>
// CHECK:         %[[A:.*]] = tessera.reshape %[[X]][] : tensor<2x3xf32> -> tensor<6xf32>
// CHECK:         %[[B:.*]] = tessera.reshape %[[Y]][] : tensor<4xf32> -> tensor<4xf32>
// CHECK:         %[[ALL:.*]] = tessera.concat %[[A]], %[[B]] dim = 0
// CHECK:         %[[R:.*]] = shard.all_reduce %[[ALL]] on @mesh grid_axes = [1] : tensor<10xf32> -> tensor<10xf32>
// CHECK:         %[[P:.*]] = tessera.slice %[[R]][%{{.*}}] [] strides = [1] : tensor<10xf32> -> tensor<6xf32>
// CHECK:         tessera.reshape %[[P]][] : tensor<6xf32> -> tensor<2x3xf32>
// CHECK:         tessera.slice %[[R]]
// CHECK:         %[[E:.*]] = tessera.exp
// CHECK:         shard.all_reduce %[[E]] on @mesh grid_axes = [1]
// FEW-LABEL:   func.func @small
// FEW-COUNT-3:   shard.all_reduce
func.func @small(%x: tensor<2x3xf32>, %y: tensor<4xf32>) -> (tensor<2x3xf32>, tensor<4xf32>, tensor<4xf32>) {
  %0 = shard.all_reduce %x on @mesh grid_axes = [1] : tensor<2x3xf32> -> tensor<2x3xf32>
  %1 = shard.all_reduce %y on @mesh grid_axes = [1] : tensor<4xf32> -> tensor<4xf32>
  %2 = tessera.exp %1 : tensor<4xf32>
  %3 = shard.all_reduce %2 on @mesh grid_axes = [1] : tensor<4xf32> -> tensor<4xf32>
  return %0, %1, %3 : tensor<2x3xf32>, tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: func.func @loop
// CHECK-SAME:    %[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>
// CHECK:         %[[E:.*]] = tessera.exp %[[Y]]
// CHECK:         %[[R:.*]] = shard.all_reduce %[[E]] on @mesh grid_axes = [1]
// CHECK:         tessera.while_loop
// CHECK:         } do {
// CHECK:         ^bb0(%[[V:.*]]: tensor<4xf32>):
// CHECK:           %[[O:.*]] = shard.all_reduce %[[V]]
// CHECK:           tessera.add %[[O]], %[[R]]
func.func @loop(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = tessera.while_loop %x while {
  ^bb0(%v: tensor<4xf32>):
    %1 = tessera.constant dense<true> : tensor<i1>
    tessera.yield %1 : tensor<i1>
  } do {
  ^bb0(%v: tensor<4xf32>):
    %1 = shard.all_reduce %v on @mesh grid_axes = [0] : tensor<4xf32> -> tensor<4xf32>
    %2 = tessera.exp %y : tensor<4xf32>
    %3 = shard.all_reduce %2 on @mesh grid_axes = [1] : tensor<4xf32> -> tensor<4xf32>
    %4 = tessera.add %1, %3 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    tessera.yield %4 : tensor<4xf32>
  } : tensor<4xf32>
  return %0 : tensor<4xf32>
}

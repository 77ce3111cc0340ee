// RUN: tessera-opt %s --tessera-partition | FileCheck %s

shard.grid @mesh(shape = 2x4)

// Both sides of a product along the dimension that is added up: what ranks have are parts of the sum.
// CHECK-LABEL: func.func @contracted(
// CHECK-SAME:    %[[X:.*]]: tensor<?x4xf32>, %[[W:.*]]: tensor<8x4xf32>) -> (tensor<?x4xf32> {tessera.sharding = [array<i16>, array<i16>]}) attributes {tessera.entry} {
// CHECK:         tessera.bind_shape %[[X]][%{{.*}}] : tensor<?x4xf32>
// CHECK:         %[[PART:.*]] = shard.all_slice %[[W]] on @mesh grid_axes = [0] slice_axis = 0 : tensor<8x4xf32> -> tensor<4x4xf32>
// CHECK:         %[[P:.*]] = tessera.matmul %[[X]], %[[PART]]
// CHECK:         %[[S:.*]] = shard.all_reduce %[[P]] on @mesh grid_axes = [0]
// CHECK:         return %[[S]]
func.func @contracted(%x: tensor<?x8xf32>, %w: tensor<8x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry, tessera.partition} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x8xf32>
  %by_columns = shard.sharding @mesh split_axes = [[], [0]] : !shard.sharding
  %0 = shard.shard %x to %by_columns : tensor<?x8xf32>
  %1 = tessera.matmul %0, %w : (tensor<?x8xf32>, tensor<8x4xf32>) -> tensor<?x4xf32>
  return %1 : tensor<?x4xf32>
}

// Products of narrow floats are rounded after they are added up.
// CHECK-LABEL: func.func @narrow(
// CHECK:         %[[P:.*]] = tessera.matmul %{{.*}}, %{{.*}} : (tensor<2x4xbf16>, tensor<4x4xbf16>) -> tensor<2x4xf32>
// CHECK:         %[[S:.*]] = shard.all_reduce %[[P]] on @mesh grid_axes = [0] : tensor<2x4xf32> -> tensor<2x4xf32>
// CHECK:         tessera.cast %[[S]] : tensor<2x4xf32> to tensor<2x4xbf16>
func.func @narrow(%x: tensor<2x8xbf16>, %w: tensor<8x4xbf16>) -> tensor<2x4xbf16> attributes {tessera.entry, tessera.partition} {
  %by_columns = shard.sharding @mesh split_axes = [[], [0]] : !shard.sharding
  %0 = shard.shard %x to %by_columns : tensor<2x8xbf16>
  %1 = tessera.matmul %0, %w : (tensor<2x8xbf16>, tensor<8x4xbf16>) -> tensor<2x4xbf16>
  return %1 : tensor<2x4xbf16>
}

// Sizes of tensors are those of parts; a size that is a number to compute with stays whole.
// CHECK-LABEL: func.func @norm(
// CHECK-DAG:     %[[B:.*]] = tessera.symbol "B"
// CHECK-DAG:     %[[D:.*]] = tessera.symbol "D"
// CHECK:         %[[ROWS:.*]] = arith.floordivsi %[[B]], %{{.*}} : index
// CHECK:         %[[COLUMNS:.*]] = arith.floordivsi %[[D]], %{{.*}} : index
// CHECK:         tessera.bind_shape %{{.*}}[%[[ROWS]], %[[COLUMNS]]]
// CHECK:         tessera.bind_shape %{{.*}}[%[[D]]]
// CHECK-NOT:     shard.all_gather
// CHECK:         %[[SUM:.*]] = tessera.reduce_sum
// CHECK-NEXT:    %[[ALL:.*]] = shard.all_reduce %[[SUM]] on @mesh grid_axes = [1]
// CHECK-NEXT:    tessera.from_index %[[D]]
// CHECK-NOT:     shard.all_gather
// CHECK:         shard.all_slice %{{.*}} on @mesh grid_axes = [1] slice_axis = 0
func.func @norm(%x: tensor<?x?xf32>, %w: tensor<?xf32>) -> tensor<?x?xf32> attributes {tessera.entry, tessera.partition} {
  %B = tessera.symbol "B" {multiple_of = 2 : i64}
  %D = tessera.symbol "D" {multiple_of = 4 : i64}
  tessera.bind_shape %x[%B, %D] : tensor<?x?xf32>
  tessera.bind_shape %w[%D] : tensor<?xf32>
  %s = shard.sharding @mesh split_axes = [[0], [1]] : !shard.sharding
  %0 = shard.shard %x to %s : tensor<?x?xf32>
  %1 = tessera.mul %0, %0 : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  %2 = tessera.reduce_sum %1 dims = [1] {keepdims} : tensor<?x?xf32> -> tensor<?x1xf32>
  %3 = tessera.from_index %D : tensor<i64>
  %4 = tessera.cast %3 : tensor<i64> to tensor<f32>
  %5 = tessera.div %2, %4 : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %6 = tessera.mul %0, %5 : (tensor<?x?xf32>, tensor<?x1xf32>) -> tensor<?x?xf32>
  %7 = tessera.mul %6, %w : (tensor<?x?xf32>, tensor<?xf32>) -> tensor<?x?xf32>
  return %7 : tensor<?x?xf32>
}

// Heads are the outer part of a dimension, so that a rank has whole ones. 6 heads would not divide by 4 ranks.
// CHECK-LABEL: func.func @heads(
// CHECK-NOT:     shard.all_gather
// CHECK:         tessera.reshape %{{.*}}[%{{.*}}] : tensor<?x16xf32> -> tensor<?x2x8xf32>
// CHECK:         tessera.transpose %{{.*}} permutation = [1, 0, 2] : tensor<?x2x8xf32> -> tensor<2x?x8xf32>
// CHECK:         %[[G:.*]] = shard.all_gather %{{.*}} on @mesh grid_axes = [1] gather_axis = 1 : tensor<?x12xf32> -> tensor<?x48xf32>
// CHECK:         tessera.reshape %[[G]][%{{.*}}] : tensor<?x48xf32> -> tensor<?x6x8xf32>
// CHECK:         return
func.func @heads(%x: tensor<?x64xf32>, %y: tensor<?x48xf32>) -> (tensor<8x?x8xf32>, tensor<?x6x8xf32>) attributes {tessera.entry, tessera.partition} {
  %S = tessera.symbol "S"
  tessera.bind_shape %x[%S] : tensor<?x64xf32>
  tessera.bind_shape %y[%S] : tensor<?x48xf32>
  %s = shard.sharding @mesh split_axes = [[], [1]] : !shard.sharding
  %0 = shard.shard %x to %s : tensor<?x64xf32>
  %1 = tessera.reshape %0[%S] : tensor<?x64xf32> -> tensor<?x8x8xf32>
  %2 = tessera.transpose %1 permutation = [1, 0, 2] : tensor<?x8x8xf32> -> tensor<8x?x8xf32>
  %s2 = shard.sharding @mesh split_axes = [[], [1]] : !shard.sharding
  %3 = shard.shard %y to %s2 : tensor<?x48xf32>
  %4 = tessera.reshape %3[%S] : tensor<?x48xf32> -> tensor<?x6x8xf32>
  return %2, %4 : tensor<8x?x8xf32>, tensor<?x6x8xf32>
}

// An axis that cuts one dimension is to cut another: each rank sends the others their parts.
// CHECK-LABEL: func.func @exchange(
// CHECK-SAME:    %[[X:.*]]: tensor<2x16xf32>) -> (tensor<8x4xf32> {tessera.sharding = [array<i16>, array<i16: 1>]})
// CHECK:         shard.all_to_all %{{.*}} on @mesh grid_axes = [1] split_axis = 1 concat_axis = 0 : tensor<2x16xf32> -> tensor<8x4xf32>
func.func @exchange(%x: tensor<8x16xf32>) -> tensor<8x16xf32> attributes {tessera.entry, tessera.partition} {
  %rows = shard.sharding @mesh split_axes = [[1]] : !shard.sharding
  %0 = shard.shard %x to %rows : tensor<8x16xf32>
  %columns = shard.sharding @mesh split_axes = [[], [1]] : !shard.sharding
  %1 = tessera.neg %0 : tensor<8x16xf32>
  %2 = shard.shard %1 to %columns annotate_for_users : tensor<8x16xf32>
  return %2 : tensor<8x16xf32>
}

// What depends on all of a dimension has all of it; loops and branches have whole tensors.
// CHECK-LABEL: func.func @whole(
// CHECK:         %[[G:.*]] = shard.all_gather %{{.*}} on @mesh grid_axes = [1] gather_axis = 0 : tensor<2xf32> -> tensor<8xf32>
// CHECK:         tessera.sort %[[G]]
// CHECK:         %[[L:.*]] = shard.all_gather %{{.*}} on @mesh grid_axes = [1] gather_axis = 0 : tensor<2xf32> -> tensor<8xf32>
// CHECK:         tessera.cond
// CHECK:           tessera.yield %[[L]] : tensor<8xf32>
func.func @whole(%x: tensor<8xf32>, %p: tensor<i1>) -> (tensor<8xf32>, tensor<8xf32>) attributes {tessera.entry, tessera.partition} {
  %s = shard.sharding @mesh split_axes = [[1]] : !shard.sharding
  %0 = shard.shard %x to %s : tensor<8xf32>
  %values, %indices = tessera.sort %0 dim = 0 : tensor<8xf32> -> tensor<8xf32>, tensor<8xi64>
  %1 = tessera.exp %0 : tensor<8xf32>
  %2 = tessera.cond %p then {
    tessera.yield %1 : tensor<8xf32>
  } else {
    %3 = tessera.neg %1 : tensor<8xf32>
    tessera.yield %3 : tensor<8xf32>
  } : (tensor<i1>) -> tensor<8xf32>
  return %values, %2 : tensor<8xf32>, tensor<8xf32>
}

// CHECK-LABEL: func.func @unannotated(
// CHECK-SAME:    tensor<8xf32>) -> tensor<8xf32> attributes {tessera.entry} {
func.func @unannotated(%x: tensor<8xf32>) -> tensor<8xf32> attributes {tessera.entry, tessera.partition} {
  %0 = tessera.exp %x : tensor<8xf32>
  return %0 : tensor<8xf32>
}

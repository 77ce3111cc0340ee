// RUN: tessera-opt %s --tessera-lower-to-linalg --split-input-file | FileCheck %s

// CHECK-LABEL: @neg
// CHECK: linalg.generic
// CHECK: arith.negf
func.func @neg(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = tessera.neg %x : tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

// CHECK: #[[ROW:.*]] = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @broadcast
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[ROW]], #{{.*}}]
func.func @broadcast(%x: tensor<?x4xf32>, %y: tensor<4xf32>) -> tensor<?x4xf32> {
  %0 = tessera.add %x, %y : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// Neither 0 nor -1 reaches the division, which would trap.
// CHECK-LABEL: @floor_div
// CHECK: %[[ZERO:.*]] = arith.cmpi eq, %[[Y:.*]], %{{.*}} : i32
// CHECK: %[[MINUS:.*]] = arith.cmpi eq, %[[Y]], %{{.*}} : i32
// CHECK: %[[EITHER:.*]] = arith.ori %[[ZERO]], %[[MINUS]]
// CHECK: %[[SAFE:.*]] = arith.select %[[EITHER]]
// CHECK: arith.divsi %{{.*}}, %[[SAFE]]
func.func @floor_div(%x: tensor<4xi32>, %y: tensor<4xi32>) -> tensor<4xi32> {
  %0 = tessera.floor_div %x, %y : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  return %0 : tensor<4xi32>
}

// -----

// CHECK-LABEL: @bool
// CHECK-SAME: tensor<4xi8>
func.func @bool(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xi1> {
  // CHECK: %[[C:.*]] = arith.cmpf olt
  // CHECK: arith.extui %[[C]] : i1 to i8
  %0 = tessera.compare "lt", %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
  return %0 : tensor<4xi1>
}

// -----

// CHECK-LABEL: @keepdims
// CHECK: linalg.fill {{.*}} outs(%{{.*}} : tensor<?xf32>)
// CHECK: iterator_types = ["parallel", "reduction"]
// CHECK: arith.addf
// CHECK: -> tensor<?x1xf32>
func.func @keepdims(%x: tensor<?x8xf32>) -> tensor<?x1xf32> {
  %0 = tessera.reduce_sum %x dims = [1] {keepdims} : tensor<?x8xf32> -> tensor<?x1xf32>
  return %0 : tensor<?x1xf32>
}

// -----

// CHECK-LABEL: @matmul
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: arith.extf {{.*}} : bf16 to f32
// CHECK: arith.mulf {{.*}} : f32
// CHECK: arith.truncf {{.*}} : f32 to bf16
func.func @matmul(%x: tensor<?x?x64xbf16>, %w: tensor<64x?xbf16>) -> tensor<?x?x?xbf16> {
  %0 = tessera.matmul %x, %w : (tensor<?x?x64xbf16>, tensor<64x?xbf16>) -> tensor<?x?x?xbf16>
  return %0 : tensor<?x?x?xbf16>
}

// -----

// CHECK-LABEL: @gather
// CHECK: rt.fail %{{.*}}, 2030, "index out of range
// CHECK: rt.fail %{{.*}}, 2030, "index out of range
// CHECK: arith.minsi {{.*}} : index
// CHECK: tensor.extract
func.func @gather(%table: tensor<?x8xf32>, %ids: tensor<?xi32>) -> tensor<?x8xf32> {
  %0 = tessera.gather %table[%ids] dim = 0 : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: @while_loop
// CHECK: scf.while
// CHECK: scf.condition
// CHECK: scf.yield
func.func @while_loop(%x: tensor<f32>) -> tensor<f32> {
  %0 = tessera.while_loop %x while {
  ^bb0(%a: tensor<f32>):
    %1 = tessera.compare "lt", %a, %a : (tensor<f32>, tensor<f32>) -> tensor<i1>
    tessera.yield %1 : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>):
    %1 = tessera.add %a, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.yield %1 : tensor<f32>
  } : tensor<f32>
  return %0 : tensor<f32>
}

// -----

// A network of merges: each begins with mirror images, and goes on with shrinking distances.
// CHECK-LABEL: @sort
// CHECK: linalg.index
// CHECK: math.ctlz
// CHECK: %[[LEVELS:.*]] = arith.subi
// CHECK: scf.for %{{.*}} = %{{.*}} to %[[LEVELS]]
// CHECK:   linalg.generic
// CHECK:     arith.xori
// CHECK:     tensor.extract
// CHECK:   scf.for
// CHECK:     linalg.generic
func.func @sort(%x: tensor<?xf32>) -> (tensor<?xf32>, tensor<?xi64>) {
  %0:2 = tessera.sort %x dim = 0 : tensor<?xf32> -> tensor<?xf32>, tensor<?xi64>
  return %0#0, %0#1 : tensor<?xf32>, tensor<?xi64>
}

// -----

// CHECK-LABEL: @cumsum
// CHECK: scf.for %[[LEVEL:[^ ]*]] =
// CHECK:   %[[DISTANCE:.*]] = arith.shli %{{.*}}, %[[LEVEL]] : index
// CHECK:   linalg.generic
// CHECK:     arith.subi %{{.*}}, %[[DISTANCE]] : index
// CHECK:     arith.addf
func.func @cumsum(%x: tensor<?xf32>) -> tensor<?xf32> {
  %0 = tessera.cumsum %x dim = 0 : tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

// The size of a tensor of booleans is that of the bytes it becomes.
// CHECK-LABEL: @size_of_booleans
// CHECK: tensor.dim %{{.*}}, %{{.*}} : tensor<?xi8>
func.func @size_of_booleans(%x: tensor<?xi1>, %y: tensor<?xf32>) -> (tensor<?xf32>, index) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xi1>
  %0 = tessera.select %x, %y, %y : (tensor<?xi1>, tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %0, %n : tensor<?xf32>, index
}

// -----

// A dimension of size 1 that is one of the result's too is walked as any other.
// CHECK: #[[ID:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: @unit_dimension
// CHECK: linalg.generic {indexing_maps = [#[[ID]], #[[ID]]]
func.func @unit_dimension(%x: tensor<1x?xf32>) -> tensor<1x?xf32> {
  %0 = tessera.neg %x : tensor<1x?xf32>
  return %0 : tensor<1x?xf32>
}

// -----

// A reshape that only adds a dimension is a loop nest where something elementwise reads it, else a view.
// CHECK: #[[ROWS:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: @unit_reshape
// CHECK: linalg.generic {indexing_maps = [#[[ROWS]], #{{.*}}]
// CHECK-NOT: tessera.reshape
// CHECK: math.exp
// CHECK: %[[VIEW:.*]] = tessera.reshape
// CHECK: return %{{.*}}, %[[VIEW]]
func.func @unit_reshape(%x: tensor<?x?xf32>) -> (tensor<?x?x1xf32>, tensor<?x1x?xf32>) {
  %M = tessera.symbol "M"
  %N = tessera.symbol "N"
  tessera.bind_shape %x [%M, %N] : tensor<?x?xf32>
  %0 = tessera.reshape %x[%M, %N] : tensor<?x?xf32> -> tensor<?x?x1xf32>
  %1 = tessera.exp %0 : tensor<?x?x1xf32>
  %2 = tessera.reshape %x[%M, %N] : tensor<?x?xf32> -> tensor<?x1x?xf32>
  return %1, %2 : tensor<?x?x1xf32>, tensor<?x1x?xf32>
}

// -----

// A piece without elements is not there.
// CHECK-LABEL: @concat_empty
// CHECK-COUNT-2: tensor.insert_slice
// CHECK-NOT: tensor.insert_slice
// CHECK: return
func.func @concat_empty(%x: tensor<4xf32>, %y: tensor<0xf32>) -> tensor<8xf32> {
  %0 = tessera.concat %x, %y, %x dim = 0 : (tensor<4xf32>, tensor<0xf32>, tensor<4xf32>) -> tensor<8xf32>
  return %0 : tensor<8xf32>
}

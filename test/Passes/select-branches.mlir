// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-select-branches),canonicalize)" | FileCheck %s

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: func.func @cheap
// CHECK-SAME:    %[[P:.*]]: tensor<i8>, %[[X:.*]]: tensor<8xf32>
// CHECK-NOT:     tensor.extract
// CHECK-NOT:     scf.if
// CHECK:         %[[NEGATED:.*]] = linalg.generic
// CHECK:           arith.negf
// CHECK:         linalg.generic {{.*}} ins(%[[P]], %[[NEGATED]], %[[X]] : tensor<i8>, tensor<8xf32>, tensor<8xf32>)
// CHECK-NEXT:    ^bb0(%[[B:.*]]: i8, %[[T:.*]]: f32, %[[E:.*]]: f32,
// CHECK-NEXT:      %[[HOLDS:.*]] = arith.cmpi ne, %[[B]], %c0_i8
// CHECK-NEXT:      arith.select %[[HOLDS]], %[[T]], %[[E]]
func.func @cheap(%p: tensor<i8>, %x: tensor<8xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0 : i8
  %0 = tensor.extract %p[] : tensor<i8>
  %1 = arith.cmpi ne, %0, %zero : i8
  %2 = scf.if %1 -> (tensor<8xf32>) {
    %e = tensor.empty() : tensor<8xf32>
    %3 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
        ins(%x : tensor<8xf32>) outs(%e : tensor<8xf32>) {
    ^bb0(%a: f32, %o: f32):
      %4 = arith.negf %a : f32
      linalg.yield %4 : f32
    } -> tensor<8xf32>
    scf.yield %3 : tensor<8xf32>
  } else {
    scf.yield %x : tensor<8xf32>
  }
  return %2 : tensor<8xf32>
}

// A division may be by zero on the side that is not taken.
// CHECK-LABEL: func.func @guarded
// CHECK:         scf.if
func.func @guarded(%p: tensor<i8>, %x: tensor<8xi32>, %y: tensor<8xi32>) -> tensor<8xi32> {
  %zero = arith.constant 0 : i8
  %0 = tensor.extract %p[] : tensor<i8>
  %1 = arith.cmpi ne, %0, %zero : i8
  %2 = scf.if %1 -> (tensor<8xi32>) {
    %e = tensor.empty() : tensor<8xi32>
    %3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
        ins(%x, %y : tensor<8xi32>, tensor<8xi32>) outs(%e : tensor<8xi32>) {
    ^bb0(%a: i32, %b: i32, %o: i32):
      %4 = arith.divsi %a, %b : i32
      linalg.yield %4 : i32
    } -> tensor<8xi32>
    scf.yield %3 : tensor<8xi32>
  } else {
    scf.yield %x : tensor<8xi32>
  }
  return %2 : tensor<8xi32>
}

// A sum is not elementwise.
// CHECK-LABEL: func.func @sum
// CHECK:         scf.if
func.func @sum(%p: tensor<i8>, %x: tensor<8xf32>, %y: tensor<f32>) -> tensor<f32> {
  %zero = arith.constant 0 : i8
  %0 = tensor.extract %p[] : tensor<i8>
  %1 = arith.cmpi ne, %0, %zero : i8
  %2 = scf.if %1 -> (tensor<f32>) {
    %3 = linalg.generic {indexing_maps = [#id, affine_map<(d0) -> ()>], iterator_types = ["reduction"]}
        ins(%x : tensor<8xf32>) outs(%y : tensor<f32>) {
    ^bb0(%a: f32, %o: f32):
      %4 = arith.addf %a, %o : f32
      linalg.yield %4 : f32
    } -> tensor<f32>
    scf.yield %3 : tensor<f32>
  } else {
    scf.yield %y : tensor<f32>
  }
  return %2 : tensor<f32>
}

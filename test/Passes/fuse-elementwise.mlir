// RUN: tessera-opt %s --tessera-lower-to-linalg --tessera-resolve-sizes --canonicalize --cse --tessera-fuse-elementwise | FileCheck %s

// CHECK-LABEL: @chain
// CHECK-COUNT-1: linalg.generic
// CHECK: math.exp
// CHECK-NEXT: arith.negf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @chain(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = tessera.exp %x : tensor<8xf32>
  %1 = tessera.neg %0 : tensor<8xf32>
  return %1 : tensor<8xf32>
}

// The exponential would be computed once for each of four columns.
// CHECK-LABEL: @repeated
// CHECK: linalg.generic
// CHECK: math.exp
// CHECK: linalg.generic
// CHECK: arith.addf
func.func @repeated(%x: tensor<8x1xf32>, %y: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %0 = tessera.exp %x : tensor<8x1xf32>
  %1 = tessera.add %0, %y : (tensor<8x1xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
  return %1 : tensor<8x4xf32>
}

// A product reads its operands many times.
// CHECK-LABEL: @into_matmul
// CHECK: math.exp
// CHECK: linalg.generic
// CHECK-NOT: math.exp
// CHECK: arith.mulf
func.func @into_matmul(%x: tensor<8x4xf32>, %w: tensor<4x2xf32>) -> tensor<8x2xf32> {
  %0 = tessera.exp %x : tensor<8x4xf32>
  %1 = tessera.matmul %0, %w : (tensor<8x4xf32>, tensor<4x2xf32>) -> tensor<8x2xf32>
  return %1 : tensor<8x2xf32>
}

// A product reads a transposed operand where it is.
// CHECK-LABEL: @product_of_transposed
// CHECK-SAME:    %[[X:.*]]: tensor<4x8xf32>, %[[W:.*]]: tensor<16x8xf32>
// CHECK:         linalg.generic {{.*}} ins(%[[X]], %[[W]] : tensor<4x8xf32>, tensor<16x8xf32>)
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @product_of_transposed(%x: tensor<4x8xf32>, %w: tensor<16x8xf32>) -> tensor<4x16xf32> {
  %0 = tessera.transpose %w permutation = [1, 0] : tensor<16x8xf32> -> tensor<8x16xf32>
  %1 = tessera.matmul %x, %0 : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}

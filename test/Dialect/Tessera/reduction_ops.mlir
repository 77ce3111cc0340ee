// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @reductions
// CHECK-SAME:    %[[X:.*]]: tensor<?x8x4xf32>, %[[P:.*]]: tensor<?x8xi1>
func.func @reductions(%x: tensor<?x8x4xf32>, %p: tensor<?x8xi1>) {
  // CHECK: tessera.reduce_sum %[[X]] dims = [0, 2] : tensor<?x8x4xf32> -> tensor<8xf32>
  %0 = tessera.reduce_sum %x dims = [0, 2] : tensor<?x8x4xf32> -> tensor<8xf32>
  // CHECK: tessera.reduce_prod %[[X]] dims = [1] {keepdims} : tensor<?x8x4xf32> -> tensor<?x1x4xf32>
  %1 = tessera.reduce_prod %x dims = [1] {keepdims} : tensor<?x8x4xf32> -> tensor<?x1x4xf32>
  // CHECK: tessera.reduce_max %[[X]] dims = [] : tensor<?x8x4xf32> -> tensor<?x8x4xf32>
  %2 = tessera.reduce_max %x dims = [] : tensor<?x8x4xf32> -> tensor<?x8x4xf32>
  // CHECK: tessera.reduce_min %[[X]] dims = [0, 1, 2] : tensor<?x8x4xf32> -> tensor<f32>
  %3 = tessera.reduce_min %x dims = [0, 1, 2] : tensor<?x8x4xf32> -> tensor<f32>
  // CHECK: tessera.reduce_any %[[P]] dims = [1] : tensor<?x8xi1> -> tensor<?xi1>
  %4 = tessera.reduce_any %p dims = [1] : tensor<?x8xi1> -> tensor<?xi1>
  // CHECK: tessera.reduce_all %[[P]] dims = [0] : tensor<?x8xi1> -> tensor<8xi1>
  %5 = tessera.reduce_all %p dims = [0] : tensor<?x8xi1> -> tensor<8xi1>
  return
}

// CHECK-LABEL: func.func @positions
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>
func.func @positions(%x: tensor<?x8xf32>) {
  // CHECK: tessera.argmax %[[X]] dim = 1 : tensor<?x8xf32> -> tensor<?xi64>
  %0 = tessera.argmax %x dim = 1 : tensor<?x8xf32> -> tensor<?xi64>
  // CHECK: tessera.argmin %[[X]] dim = 0 {keepdims} : tensor<?x8xf32> -> tensor<1x8xi64>
  %1 = tessera.argmin %x dim = 0 {keepdims} : tensor<?x8xf32> -> tensor<1x8xi64>
  // CHECK: tessera.cumsum %[[X]] dim = 0 : tensor<?x8xf32>
  %2 = tessera.cumsum %x dim = 0 : tensor<?x8xf32>
  // CHECK: tessera.sort %[[X]] dim = 1 {descending} : tensor<?x8xf32> -> tensor<?x8xf32>, tensor<?x8xi64>
  %3:2 = tessera.sort %x dim = 1 {descending} : tensor<?x8xf32> -> tensor<?x8xf32>, tensor<?x8xi64>
  // CHECK: tessera.topk %[[X]] k = 3 dim = 1 : tensor<?x8xf32> -> tensor<?x3xf32>, tensor<?x3xi64>
  %4:2 = tessera.topk %x k = 3 dim = 1 : tensor<?x8xf32> -> tensor<?x3xf32>, tensor<?x3xi64>
  return
}

// RUN: tessera-opt %s --resolve-ranked-shaped-type-result-dims --canonicalize --cse | FileCheck %s

// Every operation says the sizes of its results in terms of its operands: no tensor.dim of a result is left.

// CHECK-LABEL: func.func @elementwise
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[Y:.*]]: tensor<?x4x1xf32>
func.func @elementwise(%x: tensor<?x8xf32>, %y: tensor<?x4x1xf32>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  // CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
  // CHECK-DAG: %[[C4:.*]] = arith.constant 4 : index
  // CHECK-DAG: %[[C8:.*]] = arith.constant 8 : index
  // CHECK-DAG: %[[D:.*]] = tensor.dim %[[Y]], %[[C0]]
  // CHECK-NOT: tessera
  // CHECK:     return %[[D]], %[[C4]], %[[C8]]
  %0 = tessera.exp %x : tensor<?x8xf32>
  %1 = tessera.add %0, %y : (tensor<?x8xf32>, tensor<?x4x1xf32>) -> tensor<?x4x8xf32>
  %2 = tessera.compare "lt", %1, %0 : (tensor<?x4x8xf32>, tensor<?x8xf32>) -> tensor<?x4x8xi1>
  %3 = tessera.select %2, %1, %0 : (tensor<?x4x8xi1>, tensor<?x4x8xf32>, tensor<?x8xf32>) -> tensor<?x4x8xf32>
  %4 = tessera.cast %3 : tensor<?x4x8xf32> to tensor<?x4x8xf16>
  %d0 = tensor.dim %4, %c0 : tensor<?x4x8xf16>
  %d1 = tensor.dim %4, %c1 : tensor<?x4x8xf16>
  %d2 = tensor.dim %4, %c2 : tensor<?x4x8xf16>
  return %d0, %d1, %d2 : index, index, index
}

// CHECK-LABEL: func.func @matmul
// CHECK-SAME:    %[[A:.*]]: tensor<1x?x?xf32>, %[[B:.*]]: tensor<?x?x?xf32>
func.func @matmul(%a: tensor<1x?x?xf32>, %b: tensor<?x?x?xf32>) -> (index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  // CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
  // CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
  // CHECK-DAG: %[[C2:.*]] = arith.constant 2 : index
  // CHECK-DAG: %[[BATCH:.*]] = tensor.dim %[[B]], %[[C0]]
  // CHECK-DAG: %[[M:.*]] = tensor.dim %[[A]], %[[C1]]
  // CHECK-DAG: %[[N:.*]] = tensor.dim %[[B]], %[[C2]]
  // CHECK:     return %[[BATCH]], %[[M]], %[[N]]
  %0 = tessera.matmul %a, %b : (tensor<1x?x?xf32>, tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %d0 = tensor.dim %0, %c0 : tensor<?x?x?xf32>
  %d1 = tensor.dim %0, %c1 : tensor<?x?x?xf32>
  %d2 = tensor.dim %0, %c2 : tensor<?x?x?xf32>
  return %d0, %d1, %d2 : index, index, index
}

// CHECK-LABEL: func.func @square
// CHECK-SAME:    %[[A:.*]]: tensor<?x?xf32>
func.func @square(%a: tensor<?x?xf32>) -> index {
  %c1 = arith.constant 1 : index
  // CHECK: %[[C1:.*]] = arith.constant 1 : index
  // CHECK: %[[N:.*]] = tensor.dim %[[A]], %[[C1]]
  // CHECK: return %[[N]]
  %0 = tessera.matmul %a, %a : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  %d1 = tensor.dim %0, %c1 : tensor<?x?xf32>
  return %d1 : index
}

// CHECK-LABEL: func.func @reductions
// CHECK-SAME:    %[[X:.*]]: tensor<4x?x?xf32>
func.func @reductions(%x: tensor<4x?x?xf32>) -> (index, index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  // CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
  // CHECK-DAG: %[[C2:.*]] = arith.constant 2 : index
  // CHECK-DAG: %[[C3:.*]] = arith.constant 3 : index
  // CHECK-DAG: %[[LAST:.*]] = tensor.dim %[[X]], %[[C2]]
  // CHECK-DAG: %[[MIDDLE:.*]] = tensor.dim %[[X]], %[[C1]]
  // CHECK:     return %[[LAST]], %[[C1]], %[[MIDDLE]], %[[LAST]], %[[C3]]
  %0 = tessera.reduce_sum %x dims = [0, 1] : tensor<4x?x?xf32> -> tensor<?xf32>
  %d0 = tensor.dim %0, %c0 : tensor<?xf32>
  %1 = tessera.argmax %x dim = 1 {keepdims} : tensor<4x?x?xf32> -> tensor<4x1x?xi64>
  %d1 = tensor.dim %1, %c1 : tensor<4x1x?xi64>
  %2 = tessera.cumsum %x dim = 1 : tensor<4x?x?xf32>
  %d2 = tensor.dim %2, %c1 : tensor<4x?x?xf32>
  %3:2 = tessera.sort %x dim = 1 : tensor<4x?x?xf32> -> tensor<4x?x?xf32>, tensor<4x?x?xi64>
  %d3 = tensor.dim %3#1, %c2 : tensor<4x?x?xi64>
  %4:2 = tessera.topk %x k = 3 dim = 1 : tensor<4x?x?xf32> -> tensor<4x3x?xf32>, tensor<4x3x?xi64>
  %d4 = tensor.dim %4#1, %c1 : tensor<4x3x?xi64>
  return %d0, %d1, %d2, %d3, %d4 : index, index, index, index, index
}

// CHECK-LABEL: func.func @shapes
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[I:.*]]: tensor<?xi32>, %[[N:.*]]: index
func.func @shapes(%x: tensor<?x8xf32>, %i: tensor<?xi32>, %n: index) -> (index, index, index, index, index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
  // CHECK-DAG: %[[ROWS:.*]] = tensor.dim %[[X]], %[[C0]]
  // CHECK-DAG: %[[COUNT:.*]] = tensor.dim %[[I]], %[[C0]]
  // CHECK-DAG: %[[TWICE:.*]] = arith.addi %[[ROWS]], %[[ROWS]]
  // CHECK:     return %[[N]], %[[N]], %[[ROWS]], %[[N]], %[[TWICE]], %[[COUNT]]
  %0 = tessera.broadcast_to %x [%n] : tensor<?x8xf32> -> tensor<?x8xf32>
  %d0 = tensor.dim %0, %c0 : tensor<?x8xf32>
  %1 = tessera.reshape %x [%n] : tensor<?x8xf32> -> tensor<2x?xf32>
  %d1 = tensor.dim %1, %c1 : tensor<2x?xf32>
  %2 = tessera.transpose %x permutation = [1, 0] : tensor<?x8xf32> -> tensor<8x?xf32>
  %d2 = tensor.dim %2, %c1 : tensor<8x?xf32>
  %3 = tessera.slice %x [%c0, %c0] [%n] strides = [2, 1] : tensor<?x8xf32> -> tensor<?x8xf32>
  %d3 = tensor.dim %3, %c0 : tensor<?x8xf32>
  %4 = tessera.concat %x, %x dim = 0 : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %d4 = tensor.dim %4, %c0 : tensor<?x8xf32>
  %5 = tessera.gather %x [%i] dim = 1 : (tensor<?x8xf32>, tensor<?xi32>) -> tensor<?x?xf32>
  %d5 = tensor.dim %5, %c1 : tensor<?x?xf32>
  return %d0, %d1, %d2, %d3, %d4, %d5 : index, index, index, index, index, index
}

// RUN: tessera-opt %s --tessera-stage-linalg --tessera-fuse-elementwise --canonicalize --cse --tessera-fuse-siblings --tessera-fuse-elementwise --canonicalize --cse --split-input-file | FileCheck %s

// Both halves in one loop nest, which reads everything once.
// CHECK-LABEL: @halves
// CHECK-SAME:    %[[X:.*]]: tensor<8x64xf32>, %[[C:.*]]: tensor<8x32xf32>, %[[S:.*]]: tensor<8x32xf32>
// CHECK-DAG:     %[[A:.*]] = tensor.extract_slice %[[X]][0, 0]
// CHECK-DAG:     %[[B:.*]] = tensor.extract_slice %[[X]][0, 32]
// CHECK:         %[[R:.*]]:2 = linalg.generic {{.*}} ins(%[[A]], %[[C]], %[[B]], %[[S]] :
// CHECK:           linalg.yield %{{.*}}, %{{.*}} : f32, f32
// CHECK-NOT:     linalg.generic
// CHECK:         %[[I:.*]] = tensor.insert_slice %[[R]]#0 into %{{.*}}[0, 0]
// CHECK:         tensor.insert_slice %[[R]]#1 into %[[I]][0, 32]
func.func @halves(%x: tensor<8x64xf32>, %c: tensor<8x32xf32>, %s: tensor<8x32xf32>) -> tensor<8x64xf32> {
  %0 = arith.constant 0 : index
  %32 = arith.constant 32 : index
  %a = tessera.slice %x[%0, %0] [] strides = [1, 1] : tensor<8x64xf32> -> tensor<8x32xf32>
  %b = tessera.slice %x[%0, %32] [] strides = [1, 1] : tensor<8x64xf32> -> tensor<8x32xf32>
  %1 = tessera.mul %a, %c : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %2 = tessera.mul %b, %s : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %3 = tessera.sub %1, %2 : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %4 = tessera.mul %a, %s : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %5 = tessera.mul %b, %c : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %6 = tessera.add %4, %5 : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x32xf32>
  %7 = tessera.concat %3, %6 dim = 1 : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x64xf32>
  return %7 : tensor<8x64xf32>
}

// -----

// What only the pieces read has one reader once they are one, and is computed there.
// CHECK-LABEL: @shared
// CHECK-COUNT-1: linalg.generic
// CHECK-COUNT-1: math.exp
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @shared(%x: tensor<8x4xf32>) -> tensor<8x8xf32> {
  %0 = tessera.exp %x : tensor<8x4xf32>
  %1 = tessera.neg %0 : tensor<8x4xf32>
  %2 = tessera.sqrt %0 : tensor<8x4xf32>
  %3 = tessera.concat %1, %2 dim = 1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  return %3 : tensor<8x8xf32>
}

// -----

// Two tables of one operand, for the same readers.
// CHECK-LABEL: @tables
// CHECK:         %[[T:.*]]:2 = linalg.generic
// CHECK:           math.cos
// CHECK:           math.sin
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %[[T]]#0, %[[T]]#1 :
func.func @tables(%x: tensor<8x4xf32>, %a: tensor<4xf32>) -> tensor<8x4xf32> {
  %0 = tessera.cos %a : tensor<4xf32>
  %1 = tessera.sin %a : tensor<4xf32>
  %2 = tessera.mul %x, %0 : (tensor<8x4xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  %3 = tessera.add %2, %1 : (tensor<8x4xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  return %3 : tensor<8x4xf32>
}

// -----

// Tables of different operands may be computed in different kernels.
// CHECK-LABEL: @tables_of_two
// CHECK-COUNT-3: linalg.generic
func.func @tables_of_two(%x: tensor<8x4xf32>, %a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<8x4xf32> {
  %0 = tessera.cos %a : tensor<4xf32>
  %1 = tessera.sin %b : tensor<4xf32>
  %2 = tessera.mul %x, %0 : (tensor<8x4xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  %3 = tessera.add %2, %1 : (tensor<8x4xf32>, tensor<4xf32>) -> tensor<8x4xf32>
  return %3 : tensor<8x4xf32>
}

// -----

// One piece has another reader.
// CHECK-LABEL: @other_reader
// CHECK-COUNT-2: linalg.generic
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @other_reader(%x: tensor<8x4xf32>) -> (tensor<8x8xf32>, tensor<8x4xf32>) {
  %1 = tessera.exp %x : tensor<8x4xf32>
  %2 = tessera.sqrt %x : tensor<8x4xf32>
  %3 = tessera.concat %1, %2 dim = 1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x8xf32>
  return %3, %2 : tensor<8x8xf32>, tensor<8x4xf32>
}

// -----

// The pieces have different loops.
// CHECK-LABEL: @sizes
// CHECK-COUNT-2: linalg.generic
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @sizes(%x: tensor<?x?xf32>, %y: tensor<?x?xf32>) -> tensor<?x?xf32> attributes {tessera.entry} {
  %M = tessera.symbol "M"
  %N = tessera.symbol "N"
  %K = tessera.symbol "K"
  tessera.bind_shape %x[%M, %N] : tensor<?x?xf32>
  tessera.bind_shape %y[%M, %K] : tensor<?x?xf32>
  %1 = tessera.exp %x : tensor<?x?xf32>
  %2 = tessera.sqrt %y : tensor<?x?xf32>
  %3 = tessera.concat %1, %2 dim = 1 : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  return %3 : tensor<?x?xf32>
}

// -----

// A piece that is a reduction stays one.
// CHECK-LABEL: @reduction
// CHECK:         linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]
// CHECK:         linalg.generic {{.*}} iterator_types = ["parallel"]
func.func @reduction(%x: tensor<8x4xf32>, %y: tensor<8xf32>) -> tensor<16xf32> {
  %1 = tessera.reduce_sum %x dims = [1] : tensor<8x4xf32> -> tensor<8xf32>
  %2 = tessera.exp %y : tensor<8xf32>
  %3 = tessera.concat %1, %2 dim = 0 : (tensor<8xf32>, tensor<8xf32>) -> tensor<16xf32>
  return %3 : tensor<16xf32>
}

// -----

// Blocks of rows, two of them of one size: each goes to a kernel of its own.
// CHECK-LABEL: @blocks
// CHECK-COUNT-3: linalg.generic
func.func @blocks(%x: tensor<8x4xf32>, %y: tensor<6x4xf32>) -> tensor<22x4xf32> {
  %1 = tessera.exp %x : tensor<8x4xf32>
  %2 = tessera.sqrt %x : tensor<8x4xf32>
  %3 = tessera.exp %y : tensor<6x4xf32>
  %4 = tessera.concat %1, %2, %3 dim = 0 : (tensor<8x4xf32>, tensor<8x4xf32>, tensor<6x4xf32>) -> tensor<22x4xf32>
  return %4 : tensor<22x4xf32>
}

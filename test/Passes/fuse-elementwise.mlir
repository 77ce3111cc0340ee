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

// A loop of one iteration need not be in the map.
// CHECK-LABEL: @unit_rows
// CHECK-COUNT-1: linalg.generic
// CHECK: math.exp
// CHECK-NEXT: arith.addf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @unit_rows(%x: tensor<8xf32>, %y: tensor<8x1xf32>) -> tensor<8x1xf32> {
  %0 = tessera.exp %x : tensor<8xf32>
  %1 = tessera.reshape %0[] : tensor<8xf32> -> tensor<8x1xf32>
  %2 = tessera.add %1, %y : (tensor<8x1xf32>, tensor<8x1xf32>) -> tensor<8x1xf32>
  return %2 : tensor<8x1xf32>
}

// What reads a concatenation is computed from its pieces; other operands are read by slices, which are pieces where they
// are concatenations too.
// CHECK-LABEL: @reader
// CHECK-SAME:    %[[A:.*]]: tensor<8x4xf32>, %[[B:.*]]: tensor<8x2xf32>, %[[C:.*]]: tensor<8x6xf32>, %[[D:.*]]: tensor<8x4xf32>
// CHECK-DAG:     %[[C0:.*]] = tensor.extract_slice %[[C]][0, 0] [8, 4] [1, 1]
// CHECK-DAG:     %[[C1:.*]] = tensor.extract_slice %[[C]][0, 4] [8, 2] [1, 1]
// CHECK-DAG:     linalg.generic {{.*}} ins(%[[A]], %[[C0]], %[[D]] :
// CHECK-DAG:     linalg.generic {{.*}} ins(%[[B]], %[[C1]] :
// CHECK-NOT:     linalg.generic
// CHECK:         tensor.insert_slice {{.*}}[0, 4] [8, 2] [1, 1]
// CHECK-NOT:     tensor.insert_slice
// CHECK:         return
func.func @reader(%a: tensor<8x4xf32>, %b: tensor<8x2xf32>, %c: tensor<8x6xf32>, %d: tensor<8x4xf32>) -> tensor<8x6xf32> {
  %0 = tessera.concat %a, %b dim = 1 : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<8x6xf32>
  %1 = tessera.mul %0, %c : (tensor<8x6xf32>, tensor<8x6xf32>) -> tensor<8x6xf32>
  %2 = tessera.concat %d, %b dim = 1 : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<8x6xf32>
  %3 = tessera.add %1, %2 : (tensor<8x6xf32>, tensor<8x6xf32>) -> tensor<8x6xf32>
  return %3 : tensor<8x6xf32>
}

// Positions count from the beginning of the concatenation.
// CHECK-LABEL: @index
// CHECK:         linalg.index 0
// CHECK:         linalg.generic
// CHECK:         %[[I:.*]] = linalg.index 0
// CHECK:         arith.addi %[[I]], %c4
func.func @index(%a: tensor<4xi64>, %b: tensor<2xi64>) -> tensor<6xi64> {
  %0 = tessera.concat %a, %b dim = 0 : (tensor<4xi64>, tensor<2xi64>) -> tensor<6xi64>
  %1 = tessera.iota dim = 0 [] : tensor<6xi64>
  %2 = tessera.add %0, %1 : (tensor<6xi64>, tensor<6xi64>) -> tensor<6xi64>
  return %2 : tensor<6xi64>
}

// The concatenation has two readers, and is there anyway.
// CHECK-LABEL: @two_readers
// CHECK:         tensor.insert_slice
// CHECK:         tensor.insert_slice
// CHECK:         linalg.generic
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @two_readers(%a: tensor<4xf32>, %b: tensor<2xf32>) -> (tensor<6xf32>, tensor<6xf32>) {
  %0 = tessera.concat %a, %b dim = 0 : (tensor<4xf32>, tensor<2xf32>) -> tensor<6xf32>
  %1 = tessera.exp %0 : tensor<6xf32>
  return %0, %1 : tensor<6xf32>, tensor<6xf32>
}

// The reader is the epilogue of a product.
// CHECK-LABEL: @epilogue
// CHECK:         tensor.insert_slice
// CHECK:         tensor.insert_slice
// CHECK:         linalg.generic {{.*}} iterator_types = ["parallel", "parallel"]} ins(%{{.*}}, %{{.*}} : tensor<8x6xf32>, tensor<8x6xf32>)
// CHECK:         arith.addf
// CHECK-NOT:     tensor.insert_slice
// CHECK:         return
func.func @epilogue(%x: tensor<8x4xf32>, %w: tensor<4x6xf32>, %a: tensor<8x4xf32>, %b: tensor<8x2xf32>) -> tensor<8x6xf32> {
  %0 = tessera.matmul %x, %w : (tensor<8x4xf32>, tensor<4x6xf32>) -> tensor<8x6xf32>
  %1 = tessera.concat %a, %b dim = 1 : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<8x6xf32>
  %2 = tessera.add %0, %1 : (tensor<8x6xf32>, tensor<8x6xf32>) -> tensor<8x6xf32>
  return %2 : tensor<8x6xf32>
}

// Pieces of a piece go to where it went.
// CHECK-LABEL: @nested
// CHECK-SAME:    %[[A:.*]]: tensor<8x4xf32>, %[[B:.*]]: tensor<8x2xf32>, %[[C:.*]]: tensor<4x6xf32>
// CHECK:         %[[I:.*]] = tensor.insert_slice %[[C]] into %{{.*}}[0, 0] [4, 6]
// CHECK:         %[[J:.*]] = tensor.insert_slice %[[A]] into %[[I]][4, 0] [8, 4]
// CHECK:         %[[K:.*]] = tensor.insert_slice %[[B]] into %[[J]][4, 4] [8, 2]
// CHECK:         return %[[K]]
func.func @nested(%a: tensor<8x4xf32>, %b: tensor<8x2xf32>, %c: tensor<4x6xf32>) -> tensor<12x6xf32> {
  %0 = tessera.concat %a, %b dim = 1 : (tensor<8x4xf32>, tensor<8x2xf32>) -> tensor<8x6xf32>
  %1 = tessera.concat %c, %0 dim = 0 : (tensor<4x6xf32>, tensor<8x6xf32>) -> tensor<12x6xf32>
  return %1 : tensor<12x6xf32>
}

// A reshape between a concatenation and its reader comes after both.
// CHECK-LABEL: @reshaped
// CHECK:         arith.truncf
// CHECK:         tensor.insert_slice
// CHECK:         arith.truncf
// CHECK:         %[[I:.*]] = tensor.insert_slice
// CHECK:         %[[R:.*]] = tessera.reshape %[[I]][]
// CHECK:         return %[[R]]
func.func @reshaped(%a: tensor<8x4x1xf32>, %b: tensor<8x4x1xf32>) -> tensor<8x8xbf16> {
  %0 = tessera.concat %a, %b dim = 2 : (tensor<8x4x1xf32>, tensor<8x4x1xf32>) -> tensor<8x4x2xf32>
  %1 = tessera.reshape %0[] : tensor<8x4x2xf32> -> tensor<8x8xf32>
  %2 = tessera.cast %1 : tensor<8x8xf32> to tensor<8x8xbf16>
  return %2 : tensor<8x8xbf16>
}

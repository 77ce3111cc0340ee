// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @unary
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[I:.*]]: tensor<4xi32>, %[[P:.*]]: tensor<i1>
func.func @unary(%x: tensor<?x8xf32>, %i: tensor<4xi32>, %p: tensor<i1>) {
  // CHECK: tessera.neg %[[X]] : tensor<?x8xf32>
  %0 = tessera.neg %x : tensor<?x8xf32>
  // CHECK: tessera.abs %[[I]] : tensor<4xi32>
  %1 = tessera.abs %i : tensor<4xi32>
  // CHECK: tessera.sign %[[X]]
  %2 = tessera.sign %x : tensor<?x8xf32>
  // CHECK: tessera.not %[[P]] : tensor<i1>
  %3 = tessera.not %p : tensor<i1>
  // CHECK: tessera.not %[[I]] : tensor<4xi32>
  %4 = tessera.not %i : tensor<4xi32>
  // CHECK: tessera.exp %[[X]]
  %5 = tessera.exp %x : tensor<?x8xf32>
  // CHECK: tessera.exp2 %[[X]]
  %6 = tessera.exp2 %x : tensor<?x8xf32>
  // CHECK: tessera.expm1 %[[X]]
  %7 = tessera.expm1 %x : tensor<?x8xf32>
  // CHECK: tessera.log %[[X]]
  %8 = tessera.log %x : tensor<?x8xf32>
  // CHECK: tessera.log1p %[[X]]
  %9 = tessera.log1p %x : tensor<?x8xf32>
  // CHECK: tessera.log2 %[[X]]
  %10 = tessera.log2 %x : tensor<?x8xf32>
  // CHECK: tessera.sqrt %[[X]]
  %11 = tessera.sqrt %x : tensor<?x8xf32>
  // CHECK: tessera.rsqrt %[[X]]
  %12 = tessera.rsqrt %x : tensor<?x8xf32>
  // CHECK: tessera.tanh %[[X]]
  %13 = tessera.tanh %x : tensor<?x8xf32>
  // CHECK: tessera.erf %[[X]]
  %14 = tessera.erf %x : tensor<?x8xf32>
  // CHECK: tessera.sin %[[X]]
  %15 = tessera.sin %x : tensor<?x8xf32>
  // CHECK: tessera.cos %[[X]]
  %16 = tessera.cos %x : tensor<?x8xf32>
  // CHECK: tessera.sigmoid %[[X]]
  %17 = tessera.sigmoid %x : tensor<?x8xf32>
  // CHECK: tessera.floor %[[X]]
  %18 = tessera.floor %x : tensor<?x8xf32>
  // CHECK: tessera.ceil %[[X]]
  %19 = tessera.ceil %x : tensor<?x8xf32>
  // CHECK: tessera.round %[[X]]
  %20 = tessera.round %x : tensor<?x8xf32>
  return
}

// Shapes align on the right; a static size wins over a dynamic one; only a static 1 broadcasts.
// CHECK-LABEL: func.func @binary
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[ROW:.*]]: tensor<8xf32>, %[[COLUMN:.*]]: tensor<4x1xf32>, %[[I:.*]]: tensor<4xi32>, %[[P:.*]]: tensor<4xi1>
func.func @binary(%x: tensor<?x8xf32>, %row: tensor<8xf32>, %column: tensor<4x1xf32>, %i: tensor<4xi32>, %p: tensor<4xi1>) {
  // CHECK: tessera.add %[[X]], %[[ROW]] : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %0 = tessera.add %x, %row : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  // CHECK: tessera.sub %[[X]], %[[COLUMN]] : (tensor<?x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %1 = tessera.sub %x, %column : (tensor<?x8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  // CHECK: tessera.mul %[[ROW]], %[[COLUMN]] : (tensor<8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  %2 = tessera.mul %row, %column : (tensor<8xf32>, tensor<4x1xf32>) -> tensor<4x8xf32>
  // CHECK: tessera.div
  %3 = tessera.div %row, %row : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // CHECK: tessera.floor_div
  %4 = tessera.floor_div %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK: tessera.rem
  %5 = tessera.rem %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK: tessera.pow
  %6 = tessera.pow %row, %row : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // CHECK: tessera.maximum
  %7 = tessera.maximum %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK: tessera.minimum
  %8 = tessera.minimum %row, %row : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  // CHECK: tessera.and %[[P]], %[[P]] : (tensor<4xi1>, tensor<4xi1>) -> tensor<4xi1>
  %9 = tessera.and %p, %p : (tensor<4xi1>, tensor<4xi1>) -> tensor<4xi1>
  // CHECK: tessera.or
  %10 = tessera.or %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK: tessera.xor
  %11 = tessera.xor %p, %p : (tensor<4xi1>, tensor<4xi1>) -> tensor<4xi1>
  // CHECK: tessera.shift_left
  %12 = tessera.shift_left %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  // CHECK: tessera.shift_right
  %13 = tessera.shift_right %i, %i : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  return
}

// CHECK-LABEL: func.func @choose
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[ROW:.*]]: tensor<8xf32>
func.func @choose(%x: tensor<?x8xf32>, %row: tensor<8xf32>) -> tensor<?x8xf32> {
  // CHECK: %[[M:.*]] = tessera.compare "lt", %[[X]], %[[ROW]] : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xi1>
  %0 = tessera.compare "lt", %x, %row : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xi1>
  // CHECK: tessera.select %[[M]], %[[X]], %[[ROW]] : (tensor<?x8xi1>, tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %1 = tessera.select %0, %x, %row : (tensor<?x8xi1>, tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}

// Every element type of the language.
// CHECK-LABEL: func.func @casts
func.func @casts(%x: tensor<f64>) {
  // CHECK: tessera.cast %{{.*}} : tensor<f64> to tensor<f32>
  %0 = tessera.cast %x : tensor<f64> to tensor<f32>
  // CHECK: tessera.cast %{{.*}} {implicit} : tensor<f32> to tensor<bf16>
  %1 = tessera.cast %0 {implicit} : tensor<f32> to tensor<bf16>
  // CHECK: tessera.cast %{{.*}} : tensor<bf16> to tensor<f16>
  %2 = tessera.cast %1 : tensor<bf16> to tensor<f16>
  // CHECK: tessera.cast %{{.*}} {saturate} : tensor<f16> to tensor<f8E4M3FN>
  %3 = tessera.cast %2 {saturate} : tensor<f16> to tensor<f8E4M3FN>
  // CHECK: tessera.cast %{{.*}} : tensor<f8E4M3FN> to tensor<f8E5M2>
  %4 = tessera.cast %3 : tensor<f8E4M3FN> to tensor<f8E5M2>
  // CHECK: tessera.cast %{{.*}} : tensor<f8E5M2> to tensor<i1>
  %5 = tessera.cast %4 : tensor<f8E5M2> to tensor<i1>
  // CHECK: tessera.cast %{{.*}} : tensor<i1> to tensor<i8>
  %6 = tessera.cast %5 : tensor<i1> to tensor<i8>
  // CHECK: tessera.cast %{{.*}} : tensor<i8> to tensor<i16>
  %7 = tessera.cast %6 : tensor<i8> to tensor<i16>
  // CHECK: tessera.cast %{{.*}} : tensor<i16> to tensor<i32>
  %8 = tessera.cast %7 : tensor<i16> to tensor<i32>
  // CHECK: tessera.cast %{{.*}} : tensor<i32> to tensor<i64>
  %9 = tessera.cast %8 : tensor<i32> to tensor<i64>
  return
}

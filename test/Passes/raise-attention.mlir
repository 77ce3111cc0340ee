// RUN: tessera-opt %s --tessera-raise-attention --split-input-file | FileCheck %s

// CHECK-LABEL: @plain
// CHECK-SAME:  %[[Q:.*]]: tensor<1x8x?x64xf32>, %[[KT:.*]]: tensor<1x8x64x?xf32>, %[[V:.*]]: tensor<1x8x?x32xf32>
// CHECK-NEXT:  %[[K:.*]] = tessera.transpose %[[KT]] permutation = [0, 1, 3, 2]
// CHECK-NEXT:  %[[OUT:.*]] = tessera.flash_attention %[[Q]], %[[K]], %[[V]] scale = 1.250000e-01 :
// CHECK-NEXT:  return %[[OUT]]
func.func @plain(%q: tensor<1x8x?x64xf32>, %kt: tensor<1x8x64x?xf32>, %v: tensor<1x8x?x32xf32>) -> tensor<1x8x?x32xf32> {
  %c = tessera.constant dense<8.0> : tensor<f32>
  %0 = tessera.matmul %q, %kt : (tensor<1x8x?x64xf32>, tensor<1x8x64x?xf32>) -> tensor<1x8x?x?xf32>
  %1 = tessera.div %0, %c : (tensor<1x8x?x?xf32>, tensor<f32>) -> tensor<1x8x?x?xf32>
  %2 = tessera.reduce_max %1 dims = [3] {keepdims} : tensor<1x8x?x?xf32> -> tensor<1x8x?x1xf32>
  %3 = tessera.sub %1, %2 : (tensor<1x8x?x?xf32>, tensor<1x8x?x1xf32>) -> tensor<1x8x?x?xf32>
  %4 = tessera.exp %3 : tensor<1x8x?x?xf32>
  %5 = tessera.reduce_sum %4 dims = [3] {keepdims} : tensor<1x8x?x?xf32> -> tensor<1x8x?x1xf32>
  %6 = tessera.div %4, %5 : (tensor<1x8x?x?xf32>, tensor<1x8x?x1xf32>) -> tensor<1x8x?x?xf32>
  %7 = tessera.matmul %6, %v : (tensor<1x8x?x?xf32>, tensor<1x8x?x32xf32>) -> tensor<1x8x?x32xf32>
  return %7 : tensor<1x8x?x32xf32>
}

// -----

// Narrow floats have casts between, and a mask is added after the scale; matrices get the dimensions they lack.
// CHECK-LABEL: @masked_matrices
// CHECK-SAME:  %[[Q:.*]]: tensor<4x8xbf16>, %[[K:.*]]: tensor<6x8xbf16>, %[[V:.*]]: tensor<6x8xbf16>, %[[M:.*]]: tensor<4x6xf32>
// CHECK-DAG:   %[[Q4:.*]] = tessera.reshape %[[Q]]{{.*}} : tensor<4x8xbf16> -> tensor<1x1x4x8xbf16>
// CHECK-DAG:   %[[K4:.*]] = tessera.reshape %[[K]]{{.*}} : tensor<6x8xbf16> -> tensor<1x1x6x8xbf16>
// CHECK-DAG:   %[[V4:.*]] = tessera.reshape %[[V]]{{.*}} : tensor<6x8xbf16> -> tensor<1x1x6x8xbf16>
// CHECK:       tessera.flash_attention %[[Q4]], %[[K4]], %[[V4]] mask %[[M]] scale = 5.000000e-01 :
// CHECK:       tessera.reshape {{.*}} -> tensor<4x8xbf16>
func.func @masked_matrices(%q: tensor<4x8xbf16>, %k: tensor<6x8xbf16>, %v: tensor<6x8xbf16>, %m: tensor<4x6xf32>) -> tensor<4x8xbf16> {
  %c = tessera.constant dense<0.5> : tensor<f32>
  %kt = tessera.transpose %k permutation = [1, 0] : tensor<6x8xbf16> -> tensor<8x6xbf16>
  %0 = tessera.matmul %q, %kt : (tensor<4x8xbf16>, tensor<8x6xbf16>) -> tensor<4x6xbf16>
  %1 = tessera.cast %0 {implicit} : tensor<4x6xbf16> to tensor<4x6xf32>
  %2 = tessera.mul %c, %1 : (tensor<f32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  %3 = tessera.add %m, %2 : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  %4 = tessera.exp %3 : tensor<4x6xf32>
  %5 = tessera.reduce_sum %4 dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %6 = tessera.div %4, %5 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %7 = tessera.cast %6 {implicit} : tensor<4x6xf32> to tensor<4x6xbf16>
  %8 = tessera.matmul %7, %v : (tensor<4x6xbf16>, tensor<6x8xbf16>) -> tensor<4x8xbf16>
  return %8 : tensor<4x8xbf16>
}

// -----

// CHECK-LABEL: @selected
// CHECK: tessera.flash_attention {{.*}} mask %{{.*}} scale = 1.000000e+00 :
func.func @selected(%q: tensor<4x8xf32>, %kt: tensor<8x6xf32>, %v: tensor<6x8xf32>, %m: tensor<4x6xi1>) -> tensor<4x8xf32> {
  %inf = tessera.constant dense<0xFF800000> : tensor<f32>
  %0 = tessera.matmul %q, %kt : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  %1 = tessera.select %m, %0, %inf : (tensor<4x6xi1>, tensor<4x6xf32>, tensor<f32>) -> tensor<4x6xf32>
  %2 = tessera.exp %1 : tensor<4x6xf32>
  %3 = tessera.reduce_sum %2 dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %4 = tessera.div %2, %3 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %5 = tessera.matmul %4, %v : (tensor<4x6xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return %5 : tensor<4x8xf32>
}

// -----

// The sum runs along the other dimension.
// CHECK-LABEL: @other_dimension
// CHECK-NOT: flash_attention
func.func @other_dimension(%q: tensor<6x8xf32>, %kt: tensor<8x6xf32>, %v: tensor<6x8xf32>) -> tensor<6x8xf32> {
  %0 = tessera.matmul %q, %kt : (tensor<6x8xf32>, tensor<8x6xf32>) -> tensor<6x6xf32>
  %1 = tessera.exp %0 : tensor<6x6xf32>
  %2 = tessera.reduce_sum %1 dims = [0] {keepdims} : tensor<6x6xf32> -> tensor<1x6xf32>
  %3 = tessera.div %1, %2 : (tensor<6x6xf32>, tensor<1x6xf32>) -> tensor<6x6xf32>
  %4 = tessera.matmul %3, %v : (tensor<6x6xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  return %4 : tensor<6x8xf32>
}

// -----

// The maximum is that of something else.
// CHECK-LABEL: @other_maximum
// CHECK-NOT: flash_attention
func.func @other_maximum(%q: tensor<4x8xf32>, %kt: tensor<8x6xf32>, %v: tensor<6x8xf32>, %x: tensor<4x6xf32>) -> tensor<4x8xf32> {
  %0 = tessera.matmul %q, %kt : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  %1 = tessera.reduce_max %x dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %2 = tessera.sub %0, %1 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %3 = tessera.exp %2 : tensor<4x6xf32>
  %4 = tessera.reduce_sum %3 dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %5 = tessera.div %3, %4 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %6 = tessera.matmul %5, %v : (tensor<4x6xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return %6 : tensor<4x8xf32>
}

// -----

// The mask is scaled too.
// CHECK-LABEL: @scaled_mask
// CHECK-NOT: flash_attention
func.func @scaled_mask(%q: tensor<4x8xf32>, %kt: tensor<8x6xf32>, %v: tensor<6x8xf32>, %m: tensor<4x6xf32>) -> tensor<4x8xf32> {
  %c = tessera.constant dense<0.5> : tensor<f32>
  %0 = tessera.matmul %q, %kt : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  %1 = tessera.add %0, %m : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>
  %2 = tessera.mul %1, %c : (tensor<4x6xf32>, tensor<f32>) -> tensor<4x6xf32>
  %3 = tessera.exp %2 : tensor<4x6xf32>
  %4 = tessera.reduce_sum %3 dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %5 = tessera.div %3, %4 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %6 = tessera.matmul %5, %v : (tensor<4x6xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return %6 : tensor<4x8xf32>
}

// -----

// The weights are returned, so they are computed anyway.
// CHECK-LABEL: @weights_are_read
// CHECK-NOT: flash_attention
func.func @weights_are_read(%q: tensor<4x8xf32>, %kt: tensor<8x6xf32>, %v: tensor<6x8xf32>) -> (tensor<4x8xf32>, tensor<4x6xf32>) {
  %0 = tessera.matmul %q, %kt : (tensor<4x8xf32>, tensor<8x6xf32>) -> tensor<4x6xf32>
  %1 = tessera.exp %0 : tensor<4x6xf32>
  %2 = tessera.reduce_sum %1 dims = [1] {keepdims} : tensor<4x6xf32> -> tensor<4x1xf32>
  %3 = tessera.div %1, %2 : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  %4 = tessera.matmul %3, %v : (tensor<4x6xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return %4, %3 : tensor<4x8xf32>, tensor<4x6xf32>
}

// RUN: tessera-opt %s --tessera-widen | FileCheck %s

// CHECK-LABEL: @pair
func.func @pair(%x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK: %[[E:.*]] = tessera.exp
  // CHECK-NEXT: tessera.neg %[[E]]
  %0 = tessera.exp %x : tensor<?xf32>
  %1 = tessera.cast %0 {implicit} : tensor<?xf32> to tensor<?xbf16>
  %2 = tessera.cast %1 {implicit} : tensor<?xbf16> to tensor<?xf32>
  %3 = tessera.neg %2 : tensor<?xf32>
  return %3 : tensor<?xf32>
}

// A cast that the user wrote rounds.
// CHECK-LABEL: @written
func.func @written(%x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK-COUNT-2: tessera.cast
  %0 = tessera.cast %x : tensor<?xf32> to tensor<?xbf16>
  %1 = tessera.cast %0 {implicit} : tensor<?xbf16> to tensor<?xf32>
  return %1 : tensor<?xf32>
}

// CHECK-LABEL: @through_transpose
func.func @through_transpose(%x: tensor<2x3xf32>) -> tensor<3x2xf32> {
  // CHECK-NOT: tessera.cast
  // CHECK: tessera.transpose {{.*}} : tensor<2x3xf32> -> tensor<3x2xf32>
  %0 = tessera.cast %x {implicit} : tensor<2x3xf32> to tensor<2x3xbf16>
  %1 = tessera.transpose %0 permutation = [1, 0] : tensor<2x3xbf16> -> tensor<3x2xbf16>
  %2 = tessera.cast %1 {implicit} : tensor<3x2xbf16> to tensor<3x2xf32>
  return %2 : tensor<3x2xf32>
}

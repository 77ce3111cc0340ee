// RUN: tessera-opt %s --canonicalize --cse --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @nothing_to_do
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>
func.func @nothing_to_do(%x: tensor<?x8xf32>, %n: index) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  // CHECK-NEXT: return %[[X]], %[[X]], %[[X]]
  %0 = tessera.cast %x {implicit} : tensor<?x8xf32> to tensor<?x8xf32>
  %1 = tessera.transpose %x permutation = [0, 1] : tensor<?x8xf32> -> tensor<?x8xf32>
  %2 = tessera.reshape %x [%n] : tensor<?x8xf32> -> tensor<?x8xf32>
  return %0, %1, %2 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// Two dynamic sizes may trade places: [6, 4] and [4, 6] have one type.
// CHECK-LABEL: func.func @two_dynamic_sizes
func.func @two_dynamic_sizes(%x: tensor<?x?xf32>, %n: index) -> tensor<?x?xf32> {
  // CHECK: tessera.reshape
  %0 = tessera.reshape %x [%n, %n] : tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----

// CHECK-LABEL: func.func @rounding_stays
func.func @rounding_stays(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-COUNT-2: tessera.cast
  %0 = tessera.cast %x : tensor<4xf32> to tensor<4xbf16>
  %1 = tessera.cast %0 : tensor<4xbf16> to tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

// Everything but bind_shape is pure: what is not used goes, what is equal is one.
// CHECK-LABEL: func.func @pure
// CHECK-SAME:    %[[X:.*]]: tensor<?xf32>
func.func @pure(%x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK-NEXT: %[[N:.*]] = tessera.symbol "N"
  // CHECK-NEXT: tessera.bind_shape %[[X]][%[[N]]]
  // CHECK-NEXT: %[[E:.*]] = tessera.exp %[[X]]
  // CHECK-NEXT: %[[S:.*]] = tessera.add %[[E]], %[[E]]
  // CHECK-NEXT: return %[[S]]
  %N = tessera.symbol "N"
  tessera.bind_shape %x [%N] : tensor<?xf32>
  %unused = tessera.log %x : tensor<?xf32>
  %0 = tessera.exp %x : tensor<?xf32>
  %1 = tessera.exp %x : tensor<?xf32>
  %2 = tessera.add %0, %1 : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %2 : tensor<?xf32>
}

// -----

// CHECK-LABEL: func.func @constants
func.func @constants() -> (tensor<2xf32>, tensor<2xf32>) {
  // CHECK-NEXT: %[[C:.*]] = tessera.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
  // CHECK-NEXT: return %[[C]], %[[C]]
  %0 = tessera.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %1 = tessera.constant dense<[1.0, 2.0]> : tensor<2xf32>
  return %0, %1 : tensor<2xf32>, tensor<2xf32>
}

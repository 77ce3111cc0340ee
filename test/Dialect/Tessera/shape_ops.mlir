// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @make
// CHECK-SAME:    %[[X:.*]]: tensor<8xf32>, %[[N:.*]]: index
func.func @make(%x: tensor<8xf32>, %n: index) {
  // CHECK: tessera.constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xbf16>
  %0 = tessera.constant dense<[1.0, 2.0]> : tensor<2xbf16>
  // CHECK: tessera.constant dense<[true, false]> : tensor<2xi1>
  %1 = tessera.constant dense<[true, false]> : tensor<2xi1>
  // CHECK: tessera.broadcast_to %[[X]][%[[N]]] : tensor<8xf32> -> tensor<?x8xf32>
  %2 = tessera.broadcast_to %x [%n] : tensor<8xf32> -> tensor<?x8xf32>
  // CHECK: tessera.iota dim = 1[%[[N]]] : tensor<4x?xi32>
  %3 = tessera.iota dim = 1 [%n] : tensor<4x?xi32>
  return
}

// CHECK-LABEL: func.func @move
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xf32>, %[[Y:.*]]: tensor<2x8xf32>, %[[I:.*]]: tensor<3x5xi32>, %[[N:.*]]: index
func.func @move(%x: tensor<?x8xf32>, %y: tensor<2x8xf32>, %i: tensor<3x5xi32>, %n: index) {
  // CHECK: tessera.reshape %[[X]][%[[N]]] : tensor<?x8xf32> -> tensor<?xf32>
  %0 = tessera.reshape %x [%n] : tensor<?x8xf32> -> tensor<?xf32>
  // CHECK: tessera.transpose %[[X]] permutation = [1, 0] : tensor<?x8xf32> -> tensor<8x?xf32>
  %1 = tessera.transpose %x permutation = [1, 0] : tensor<?x8xf32> -> tensor<8x?xf32>
  // CHECK: tessera.slice %[[X]][%[[N]], %[[N]]] [%[[N]]] strides = [1, -2] : tensor<?x8xf32> -> tensor<?x3xf32>
  %2 = tessera.slice %x [%n, %n] [%n] strides = [1, -2] : tensor<?x8xf32> -> tensor<?x3xf32>
  // CHECK: tessera.concat %[[X]], %[[Y]] dim = 0 : (tensor<?x8xf32>, tensor<2x8xf32>) -> tensor<?x8xf32>
  %3 = tessera.concat %x, %y dim = 0 : (tensor<?x8xf32>, tensor<2x8xf32>) -> tensor<?x8xf32>
  // CHECK: tessera.gather %[[X]][%[[I]]] dim = 0 : (tensor<?x8xf32>, tensor<3x5xi32>) -> tensor<3x5x8xf32>
  %4 = tessera.gather %x [%i] dim = 0 : (tensor<?x8xf32>, tensor<3x5xi32>) -> tensor<3x5x8xf32>
  return
}

// CHECK-LABEL: func.func @scatter
// CHECK-SAME:    %[[X:.*]]: tensor<?x8xbf16>, %[[I:.*]]: tensor<?xi32>, %[[U:.*]]: tensor<?x8xbf16>
func.func @scatter(%x: tensor<?x8xbf16>, %i: tensor<?xi32>, %u: tensor<?x8xbf16>) -> tensor<?x8xbf16> {
  // CHECK: tessera.scatter %[[U]] into %[[X]][%[[I]]] : tensor<?x8xbf16>, tensor<?xi32> into tensor<?x8xbf16>
  %0 = tessera.scatter %u into %x[%i] : tensor<?x8xbf16>, tensor<?xi32> into tensor<?x8xbf16>
  return %0 : tensor<?x8xbf16>
}

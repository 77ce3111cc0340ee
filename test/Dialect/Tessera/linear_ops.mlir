// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @matmul
func.func @matmul(%a: tensor<?x4x64xbf16>, %b: tensor<64x?xbf16>, %i: tensor<2x3xi8>, %j: tensor<3x5xi8>, %p: tensor<7x1x4x64xf32>, %q: tensor<?x64x5xf32>, %r: tensor<64x4xbf16>, %s: tensor<4x8xi8>) {
  // CHECK: tessera.matmul %{{.*}}, %{{.*}} : (tensor<64x4xbf16>, tensor<4x8xi8>) -> tensor<64x8xf32>
  %mixed = tessera.matmul %r, %s : (tensor<64x4xbf16>, tensor<4x8xi8>) -> tensor<64x8xf32>
  // CHECK: tessera.matmul %{{.*}}, %{{.*}} : (tensor<?x4x64xbf16>, tensor<64x?xbf16>) -> tensor<?x4x?xbf16>
  %0 = tessera.matmul %a, %b : (tensor<?x4x64xbf16>, tensor<64x?xbf16>) -> tensor<?x4x?xbf16>
  // CHECK: tessera.matmul %{{.*}}, %{{.*}} : (tensor<?x4x64xbf16>, tensor<64x?xbf16>) -> tensor<?x4x?xf32>
  %1 = tessera.matmul %a, %b : (tensor<?x4x64xbf16>, tensor<64x?xbf16>) -> tensor<?x4x?xf32>
  // CHECK: tessera.matmul %{{.*}}, %{{.*}} : (tensor<2x3xi8>, tensor<3x5xi8>) -> tensor<2x5xi32>
  %2 = tessera.matmul %i, %j : (tensor<2x3xi8>, tensor<3x5xi8>) -> tensor<2x5xi32>
  // CHECK: tessera.matmul %{{.*}}, %{{.*}} : (tensor<7x1x4x64xf32>, tensor<?x64x5xf32>) -> tensor<7x?x4x5xf32>
  %3 = tessera.matmul %p, %q : (tensor<7x1x4x64xf32>, tensor<?x64x5xf32>) -> tensor<7x?x4x5xf32>
  return
}

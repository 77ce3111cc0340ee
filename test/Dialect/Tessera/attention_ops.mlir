// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @flash_attention
// CHECK-SAME:    %[[Q:.*]]: tensor<?x8x?x64xbf16>, %[[K:.*]]: tensor<?x2x?x64xbf16>, %[[V:.*]]: tensor<?x2x?x32xbf16>, %[[M:.*]]: tensor<?x?xi1>
func.func @flash_attention(%q: tensor<?x8x?x64xbf16>, %k: tensor<?x2x?x64xbf16>, %v: tensor<?x2x?x32xbf16>,
                           %m: tensor<?x?xi1>, %seed: tensor<i64>) -> (tensor<?x8x?x32xbf16>, tensor<?x8x?x32xbf16>, tensor<?x8x?xf32>) {
  // CHECK: tessera.flash_attention %[[Q]], %[[K]], %[[V]] causal : (tensor<?x8x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x32xbf16>) -> tensor<?x8x?x32xbf16>
  %0 = tessera.flash_attention %q, %k, %v causal
      : (tensor<?x8x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x32xbf16>) -> tensor<?x8x?x32xbf16>
  // CHECK: tessera.flash_attention %[[Q]], %[[K]], %[[V]] mask %[[M]] scale = 1.000000e+00 window = [16, -1] :
  %1, %lse = tessera.flash_attention %q, %k, %v mask %m scale = 1.0 window = [16, -1]
      : (tensor<?x8x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x32xbf16>, tensor<?x?xi1>)
        -> (tensor<?x8x?x32xbf16>, tensor<?x8x?xf32>)
  // CHECK: tessera.flash_attention %{{.*}} dropout = 1.000000e-01 seed %{{.*}} :
  %2 = tessera.flash_attention %q, %k, %v dropout = 0.1 seed %seed
      : (tensor<?x8x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x32xbf16>, tensor<i64>) -> tensor<?x8x?x32xbf16>
  return %0, %1, %lse : tensor<?x8x?x32xbf16>, tensor<?x8x?x32xbf16>, tensor<?x8x?xf32>
}

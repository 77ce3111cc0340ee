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

// CHECK-LABEL: func.func @flash_attention_varlen
// CHECK-SAME:    %[[Q:.*]]: tensor<?x8x64xbf16>, %[[K:.*]]: tensor<?x2x64xbf16>, %[[S:.*]]: tensor<5xi32>, %[[T:.*]]: tensor<5xi64>
func.func @flash_attention_varlen(%q: tensor<?x8x64xbf16>, %k: tensor<?x2x64xbf16>, %s: tensor<5xi32>, %t: tensor<5xi64>,
                                  %seed: tensor<i64>) -> (tensor<?x8x64xbf16>, tensor<8x?xf32>) {
  // CHECK: tessera.flash_attention_varlen %[[Q]], %[[K]], %[[K]] starts %[[S]], %[[T]] scale = 1.000000e+00 causal window = [4, -1] dropout = 1.000000e-01 seed %{{.*}} :
  %0, %lse = tessera.flash_attention_varlen %q, %k, %k starts %s, %t scale = 1.0 causal window = [4, -1] dropout = 0.1 seed %seed
      : (tensor<?x8x64xbf16>, tensor<?x2x64xbf16>, tensor<?x2x64xbf16>, tensor<5xi32>, tensor<5xi64>, tensor<i64>)
        -> (tensor<?x8x64xbf16>, tensor<8x?xf32>)
  return %0, %lse : tensor<?x8x64xbf16>, tensor<8x?xf32>
}

// CHECK-LABEL: func.func @paged_attention
// CHECK-SAME:    %[[Q:.*]]: tensor<?x32x1x576xbf16>, %[[K:.*]]: tensor<?x64x1x576xbf16>, %[[V:.*]]: tensor<?x64x1x512xbf16>, %[[T:.*]]: tensor<?x?xi32>, %[[N:.*]]: tensor<?xi32>
func.func @paged_attention(%q: tensor<?x32x1x576xbf16>, %k: tensor<?x64x1x576xbf16>, %v: tensor<?x64x1x512xbf16>,
                           %t: tensor<?x?xi32>, %n: tensor<?xi32>) -> tensor<?x32x1x512xbf16> {
  // CHECK: tessera.paged_attention %[[Q]], %[[K]], %[[V]] tables %[[T]], %[[N]], %[[N]] scale = 5.000000e-01 window = 7 :
  %0 = tessera.paged_attention %q, %k, %v tables %t, %n, %n scale = 0.5 window = 7
      : (tensor<?x32x1x576xbf16>, tensor<?x64x1x576xbf16>, tensor<?x64x1x512xbf16>, tensor<?x?xi32>, tensor<?xi32>,
         tensor<?xi32>) -> tensor<?x32x1x512xbf16>
  return %0 : tensor<?x32x1x512xbf16>
}

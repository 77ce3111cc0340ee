// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @reduce_c1_range(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reduce_sum' op (C1) expected sorted, distinct dimensions below 2; got 2}}
  %0 = tessera.reduce_sum %x dims = [2] : tensor<4x8xf32> -> tensor<4xf32>
  return
}

// -----

func.func @reduce_c1_order(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reduce_max' op (C1) expected sorted, distinct dimensions below 2; got 1, 0}}
  %0 = tessera.reduce_max %x dims = [1, 0] : tensor<4x8xf32> -> tensor<f32>
  return
}

// -----

func.func @reduce_c1_negative(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reduce_max' op (C1) expected sorted, distinct dimensions below 2; got -1}}
  %0 = tessera.reduce_max %x dims = [-1] : tensor<4x8xf32> -> tensor<4xf32>
  return
}

// -----

func.func @reduce_c2(%x: tensor<4x8xbf16>) {
  // expected-error @+1 {{'tessera.reduce_sum' op (C2) expected the result's element type to be 'bf16'; got 'f32'}}
  %0 = tessera.reduce_sum %x dims = [1] : tensor<4x8xbf16> -> tensor<4xf32>
  return
}

// -----

func.func @reduce_c3(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{'tessera.reduce_min' op (C3) expected the result to be 'tensor<?xf32>'; got 'tensor<4xf32>'}}
  %0 = tessera.reduce_min %x dims = [0] : tensor<4x?xf32> -> tensor<4xf32>
  return
}

// -----

func.func @reduce_c3_keepdims(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{'tessera.reduce_prod' op (C3) expected the result to be 'tensor<4x1xf32>'; got 'tensor<4xf32>'}}
  %0 = tessera.reduce_prod %x dims = [1] {keepdims} : tensor<4x?xf32> -> tensor<4xf32>
  return
}

// -----

func.func @argmax_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.argmax' op (C1) expected sorted, distinct dimensions below 2; got 2}}
  %0 = tessera.argmax %x dim = 2 : tensor<4x8xf32> -> tensor<4xi64>
  return
}

// -----

func.func @argmax_c2(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.argmax' op (C2) expected the result's element type to be 'i64'; got 'i32'}}
  %0 = tessera.argmax %x dim = 1 : tensor<4x8xf32> -> tensor<4xi32>
  return
}

// -----

func.func @argmin_c3(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.argmin' op (C3) expected the result to be 'tensor<8xi64>'; got 'tensor<4xi64>'}}
  %0 = tessera.argmin %x dim = 0 : tensor<4x8xf32> -> tensor<4xi64>
  return
}

// -----

func.func @cumsum_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.cumsum' op (C1) expected dim in [0, 2); got -1}}
  %0 = tessera.cumsum %x dim = -1 : tensor<4x8xf32>
  return
}

// -----

func.func @cumsum_c1_scalar(%x: tensor<f32>) {
  // expected-error @+1 {{'tessera.cumsum' op (C1) expected dim in [0, 0); got 0}}
  %0 = tessera.cumsum %x dim = 0 : tensor<f32>
  return
}

// -----

func.func @sort_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.sort' op (C1) expected dim in [0, 2); got 2}}
  %0:2 = tessera.sort %x dim = 2 : tensor<4x8xf32> -> tensor<4x8xf32>, tensor<4x8xi64>
  return
}

// -----

func.func @sort_c2(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{'tessera.sort' op (C2) expected values to be 'tensor<4x?xf32>' and indices of that shape; got 'tensor<4x?xf32>', 'tensor<4x8xi64>'}}
  %0:2 = tessera.sort %x dim = 1 : tensor<4x?xf32> -> tensor<4x?xf32>, tensor<4x8xi64>
  return
}

// -----

func.func @topk_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.topk' op (C1) expected dim in [0, 2); got 3}}
  %0:2 = tessera.topk %x k = 2 dim = 3 : tensor<4x8xf32> -> tensor<4x2xf32>, tensor<4x2xi64>
  return
}

// -----

func.func @topk_c1_k(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.topk' op (C1) expected k in [0, size of dimension 1]; got 9}}
  %0:2 = tessera.topk %x k = 9 dim = 1 : tensor<4x8xf32> -> tensor<4x9xf32>, tensor<4x9xi64>
  return
}

// -----

func.func @topk_c2(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.topk' op (C2) expected values to be 'tensor<4x2xf32>' and indices of that shape; got 'tensor<4x3xf32>', 'tensor<4x3xi64>'}}
  %0:2 = tessera.topk %x k = 2 dim = 1 : tensor<4x8xf32> -> tensor<4x3xf32>, tensor<4x3xi64>
  return
}

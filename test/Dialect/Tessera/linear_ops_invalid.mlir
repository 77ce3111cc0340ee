// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @matmul_c1_rank(%a: tensor<4xf32>, %b: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.matmul' op (C1) expected operands of rank 2 or more and of types that multiply; got 'tensor<4xf32>' and 'tensor<4x8xf32>'}}
  %0 = tessera.matmul %a, %b : (tensor<4xf32>, tensor<4x8xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @matmul_c1_type(%a: tensor<4x4xi32>, %b: tensor<4x8xi8>) {
  // expected-error @+1 {{'tessera.matmul' op (C1) expected operands of rank 2 or more and of types that multiply}}
  %0 = tessera.matmul %a, %b : (tensor<4x4xi32>, tensor<4x8xi8>) -> tensor<4x8xi32>
  return
}

// -----

func.func @matmul_c4_mixed(%a: tensor<4x4xbf16>, %b: tensor<4x8xi8>) {
  // expected-error @+1 {{'tessera.matmul' op (C4) expected the result's element type to be 'f32' or 'f32'; got 'bf16'}}
  %0 = tessera.matmul %a, %b : (tensor<4x4xbf16>, tensor<4x8xi8>) -> tensor<4x8xbf16>
  return
}

// -----

func.func @matmul_c2(%a: tensor<4x5xf32>, %b: tensor<6x8xf32>) {
  // expected-error @+1 {{'tessera.matmul' op (C2) expected the inner dimensions to agree; got 5 and 6}}
  %0 = tessera.matmul %a, %b : (tensor<4x5xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  return
}

// -----

func.func @matmul_c3_batch(%a: tensor<2x4x5xf32>, %b: tensor<3x5x8xf32>) {
  // expected-error @+1 {{'tessera.matmul' op (C3) expected batch dimensions that broadcast; got 'tensor<2x4x5xf32>' and 'tensor<3x5x8xf32>'}}
  %0 = tessera.matmul %a, %b : (tensor<2x4x5xf32>, tensor<3x5x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @matmul_c3_result(%a: tensor<?x4x5xf32>, %b: tensor<5x8xf32>) {
  // expected-error @+1 {{'tessera.matmul' op (C3) expected the result to be 'tensor<?x4x8xf32>'; got 'tensor<4x8xf32>'}}
  %0 = tessera.matmul %a, %b : (tensor<?x4x5xf32>, tensor<5x8xf32>) -> tensor<4x8xf32>
  return
}

// -----

func.func @matmul_c4(%a: tensor<4x5xi8>, %b: tensor<5x8xi8>) {
  // expected-error @+1 {{'tessera.matmul' op (C4) expected the result's element type to be 'i8' or 'i32'; got 'i64'}}
  %0 = tessera.matmul %a, %b : (tensor<4x5xi8>, tensor<5x8xi8>) -> tensor<4x8xi64>
  return
}

// -----

func.func @matmul_c4_double(%a: tensor<4x5xf64>, %b: tensor<5x8xf64>) {
  // expected-error @+1 {{'tessera.matmul' op (C4) expected the result's element type to be 'f64' or 'f64'; got 'f32'}}
  %0 = tessera.matmul %a, %b : (tensor<4x5xf64>, tensor<5x8xf64>) -> tensor<4x8xf32>
  return
}

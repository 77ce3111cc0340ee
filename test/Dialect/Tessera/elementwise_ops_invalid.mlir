// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @binary_c1(%x: tensor<4xf32>, %y: tensor<4xf16>) {
  // expected-error @+1 {{'tessera.add' op (C1) expected one element type; got 'tensor<4xf32>', 'tensor<4xf16>', 'tensor<4xf32>'}}
  %0 = tessera.add %x, %y : (tensor<4xf32>, tensor<4xf16>) -> tensor<4xf32>
  return
}

// -----

func.func @binary_c1_result(%x: tensor<4xbf16>) {
  // expected-error @+1 {{'tessera.mul' op (C1) expected one element type; got 'tensor<4xbf16>', 'tensor<4xbf16>', 'tensor<4xf32>'}}
  %0 = tessera.mul %x, %x : (tensor<4xbf16>, tensor<4xbf16>) -> tensor<4xf32>
  return
}

// -----

func.func @binary_c2_operands(%x: tensor<4xf32>, %y: tensor<8xf32>) {
  // expected-error @+1 {{'tessera.add' op (C2) expected operands whose shapes broadcast; got 'tensor<4xf32>', 'tensor<8xf32>'}}
  %0 = tessera.add %x, %y : (tensor<4xf32>, tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @binary_c2_rank(%x: tensor<4xf32>, %y: tensor<2x4xf32>) {
  // expected-error @+1 {{'tessera.sub' op (C2) expected the result to be 'tensor<2x4xf32>'; got 'tensor<4xf32>'}}
  %0 = tessera.sub %x, %y : (tensor<4xf32>, tensor<2x4xf32>) -> tensor<4xf32>
  return
}

// -----

// A static size beside a dynamic one is the result's.
func.func @binary_c2_static(%x: tensor<?xf32>, %y: tensor<8xf32>) {
  // expected-error @+1 {{'tessera.maximum' op (C2) expected the result to be 'tensor<8xf32>'; got 'tensor<?xf32>'}}
  %0 = tessera.maximum %x, %y : (tensor<?xf32>, tensor<8xf32>) -> tensor<?xf32>
  return
}

// -----

func.func @binary_float_only(%x: tensor<4xi32>) {
  // expected-error @+1 {{'tessera.div' op operand #0 must be ranked tensor of 64-bit float or 32-bit float}}
  %0 = tessera.div %x, %x : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  return
}

// -----

func.func @compare_c1(%x: tensor<4xf32>, %y: tensor<4xi32>) {
  // expected-error @+1 {{'tessera.compare' op (C1) expected one element type; got 'tensor<4xf32>', 'tensor<4xi32>'}}
  %0 = tessera.compare "lt", %x, %y : (tensor<4xf32>, tensor<4xi32>) -> tensor<4xi1>
  return
}

// -----

func.func @compare_c2(%x: tensor<4xf32>, %y: tensor<?x1xf32>) {
  // expected-error @+1 {{'tessera.compare' op (C2) expected the result to be 'tensor<?x4xi1>'; got 'tensor<4xi1>'}}
  %0 = tessera.compare "eq", %x, %y : (tensor<4xf32>, tensor<?x1xf32>) -> tensor<4xi1>
  return
}

// -----

func.func @compare_c3(%x: tensor<4xf32>) {
  // expected-error @+1 {{'tessera.compare' op (C3) expected the predicate to be eq, ne, lt, le, gt or ge; got "less"}}
  %0 = tessera.compare "less", %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
  return
}

// -----

func.func @select_c1(%c: tensor<4xi1>, %x: tensor<4xf32>, %y: tensor<4xf16>) {
  // expected-error @+1 {{'tessera.select' op (C1) expected one element type; got 'tensor<4xf32>', 'tensor<4xf16>', 'tensor<4xf32>'}}
  %0 = tessera.select %c, %x, %y : (tensor<4xi1>, tensor<4xf32>, tensor<4xf16>) -> tensor<4xf32>
  return
}

// -----

func.func @select_c2(%c: tensor<2x1xi1>, %x: tensor<4xf32>) {
  // expected-error @+1 {{'tessera.select' op (C2) expected the result to be 'tensor<2x4xf32>'; got 'tensor<4xf32>'}}
  %0 = tessera.select %c, %x, %x : (tensor<2x1xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @cast_shape(%x: tensor<4xf32>) {
  // expected-error @+1 {{'tessera.cast' op requires the same shape for all operands and results}}
  %0 = tessera.cast %x : tensor<4xf32> to tensor<8xbf16>
  return
}

// -----

func.func @unary_type(%x: tensor<4xi32>) {
  // expected-error @+1 {{'tessera.exp' op operand #0 must be ranked tensor of 64-bit float or 32-bit float}}
  %0 = tessera.exp %x : tensor<4xi32>
  return
}

// -----

func.func @element_type(%x: tensor<4xi7>) {
  // expected-error @+1 {{'tessera.neg' op operand #0 must be ranked tensor}}
  %0 = tessera.neg %x : tensor<4xi7>
  return
}

// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @broadcast_to_c1(%x: tensor<8xf32>, %n: index) {
  // expected-error @+1 {{'tessera.broadcast_to' op (C1) expected 1 sizes, one for each dynamic dimension of the result; got 2}}
  %0 = tessera.broadcast_to %x [%n, %n] : tensor<8xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @broadcast_to_c2(%x: tensor<8xf32>) {
  // expected-error @+1 {{'tessera.broadcast_to' op (C2) expected the operand's shape to broadcast to the result's; got 'tensor<8xf32>' and 'tensor<8x4xf32>'}}
  %0 = tessera.broadcast_to %x [] : tensor<8xf32> -> tensor<8x4xf32>
  return
}

// -----

func.func @broadcast_to_c2_shrinks(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.broadcast_to' op (C2) expected the operand's shape to broadcast to the result's; got 'tensor<4x8xf32>' and 'tensor<4x1xf32>'}}
  %0 = tessera.broadcast_to %x [] : tensor<4x8xf32> -> tensor<4x1xf32>
  return
}

// -----

func.func @broadcast_to_c2_rank(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.broadcast_to' op (C2) expected the operand's shape to broadcast to the result's; got 'tensor<4x8xf32>' and 'tensor<8xf32>'}}
  %0 = tessera.broadcast_to %x [] : tensor<4x8xf32> -> tensor<8xf32>
  return
}

// -----

func.func @broadcast_to_c3(%x: tensor<8xf32>) {
  // expected-error @+1 {{'tessera.broadcast_to' op (C3) expected operand and result of one element type; got 'f32' and 'f16'}}
  %0 = tessera.broadcast_to %x [] : tensor<8xf32> -> tensor<4x8xf16>
  return
}

// -----

func.func @iota_c1() {
  // expected-error @+1 {{'tessera.iota' op (C1) expected 1 sizes, one for each dynamic dimension of the result; got 0}}
  %0 = tessera.iota dim = 0 [] : tensor<?xi32>
  return
}

// -----

func.func @iota_c2() {
  // expected-error @+1 {{'tessera.iota' op (C2) expected dim in [0, 1); got 1}}
  %0 = tessera.iota dim = 1 [] : tensor<4xi32>
  return
}

// -----

func.func @reshape_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reshape' op (C1) expected 1 sizes, one for each dynamic dimension of the result; got 0}}
  %0 = tessera.reshape %x [] : tensor<4x8xf32> -> tensor<?xf32>
  return
}

// -----

func.func @reshape_c2(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reshape' op (C2) expected equally many elements; got 'tensor<4x8xf32>' and 'tensor<31xf32>'}}
  %0 = tessera.reshape %x [] : tensor<4x8xf32> -> tensor<31xf32>
  return
}

// -----

func.func @reshape_c3(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.reshape' op (C3) expected operand and result of one element type; got 'f32' and 'i32'}}
  %0 = tessera.reshape %x [] : tensor<4x8xf32> -> tensor<32xi32>
  return
}

// -----

func.func @transpose_c1(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.transpose' op (C1) expected a permutation of 2 dimensions; got 1, 1}}
  %0 = tessera.transpose %x permutation = [1, 1] : tensor<4x8xf32> -> tensor<8x8xf32>
  return
}

// -----

func.func @transpose_c1_rank(%x: tensor<4x8xf32>) {
  // expected-error @+1 {{'tessera.transpose' op (C1) expected a permutation of 2 dimensions; got 0}}
  %0 = tessera.transpose %x permutation = [0] : tensor<4x8xf32> -> tensor<4xf32>
  return
}

// -----

func.func @transpose_c2(%x: tensor<4x?xf32>) {
  // expected-error @+1 {{'tessera.transpose' op (C2) expected the result to be 'tensor<?x4xf32>'; got 'tensor<4x?xf32>'}}
  %0 = tessera.transpose %x permutation = [1, 0] : tensor<4x?xf32> -> tensor<4x?xf32>
  return
}

// -----

func.func @slice_c1(%x: tensor<4x8xf32>, %n: index) {
  // expected-error @+1 {{'tessera.slice' op (C1) expected 2 offsets and 2 strides other than 0; got 1 offsets and strides 1, 1}}
  %0 = tessera.slice %x [%n] [] strides = [1, 1] : tensor<4x8xf32> -> tensor<2x2xf32>
  return
}

// -----

func.func @slice_c1_stride(%x: tensor<4xf32>, %n: index) {
  // expected-error @+1 {{'tessera.slice' op (C1) expected 1 offsets and 1 strides other than 0; got 1 offsets and strides 0}}
  %0 = tessera.slice %x [%n] [] strides = [0] : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

func.func @slice_c2(%x: tensor<4xf32>, %n: index) {
  // expected-error @+1 {{'tessera.slice' op (C2) expected 0 sizes, one for each dynamic dimension of the result; got 1}}
  %0 = tessera.slice %x [%n] [%n] strides = [1] : tensor<4xf32> -> tensor<2xf32>
  return
}

// -----

func.func @slice_c3_rank(%x: tensor<4xf32>, %n: index) {
  // expected-error @+1 {{'tessera.slice' op (C3) expected operand and result of one rank; got 'tensor<4xf32>' and 'tensor<f32>'}}
  %0 = tessera.slice %x [%n] [] strides = [1] : tensor<4xf32> -> tensor<f32>
  return
}

// -----

func.func @slice_c3_type(%x: tensor<4xf32>, %n: index) {
  // expected-error @+1 {{'tessera.slice' op (C3) expected operand and result of one element type; got 'f32' and 'f64'}}
  %0 = tessera.slice %x [%n] [] strides = [1] : tensor<4xf32> -> tensor<2xf64>
  return
}

// -----

func.func @concat_c1_none() {
  // expected-error @+1 {{'tessera.concat' op (C1) expected at least one operand}}
  %0 = "tessera.concat"() {dim = 0} : () -> tensor<0xf32>
  return
}

// -----

func.func @concat_c1_rank(%x: tensor<4xf32>, %y: tensor<4x1xf32>) {
  // expected-error @+1 {{'tessera.concat' op (C1) expected operands of the result's rank and element type; got 'tensor<4x1xf32>' for 'tensor<8xf32>'}}
  %0 = tessera.concat %x, %y dim = 0 : (tensor<4xf32>, tensor<4x1xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_c2_dim(%x: tensor<4xf32>) {
  // expected-error @+1 {{'tessera.concat' op (C2) expected dim in [0, 1); got 1}}
  %0 = tessera.concat %x dim = 1 : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @concat_c2_sum(%x: tensor<4x2xf32>) {
  // expected-error @+1 {{'tessera.concat' op (C2) expected dimension 0 of the result to be the operands' sum; got 'tensor<7x2xf32>'}}
  %0 = tessera.concat %x, %x dim = 0 : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<7x2xf32>
  return
}

// -----

func.func @concat_c2_dynamic(%x: tensor<4xf32>, %y: tensor<?xf32>) {
  // expected-error @+1 {{'tessera.concat' op (C2) expected dimension 0 of the result to be the operands' sum; got 'tensor<8xf32>'}}
  %0 = tessera.concat %x, %y dim = 0 : (tensor<4xf32>, tensor<?xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_c3(%x: tensor<4x2xf32>, %y: tensor<4x3xf32>) {
  // expected-error @+1 {{'tessera.concat' op (C3) expected dimension 1 to be 2; got 3}}
  %0 = tessera.concat %x, %y dim = 0 : (tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<8x2xf32>
  return
}

// -----

func.func @gather_c1(%x: tensor<4x2xf32>, %i: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.gather' op (C1) expected dim in [0, 2); got 2}}
  %0 = tessera.gather %x [%i] dim = 2 : (tensor<4x2xf32>, tensor<3xi32>) -> tensor<4x3xf32>
  return
}

// -----

func.func @gather_c2(%x: tensor<4x2xf32>, %i: tensor<3x?xi32>) {
  // expected-error @+1 {{'tessera.gather' op (C2) expected the result to be 'tensor<4x3x?xf32>'; got 'tensor<3x?x2xf32>'}}
  %0 = tessera.gather %x [%i] dim = 1 : (tensor<4x2xf32>, tensor<3x?xi32>) -> tensor<3x?x2xf32>
  return
}

// -----

func.func @gather_indices(%x: tensor<4x2xf32>, %i: tensor<3xf32>) {
  // expected-error @+1 {{'tessera.gather' op operand #1 must be ranked tensor of}}
  %0 = tessera.gather %x [%i] dim = 0 : (tensor<4x2xf32>, tensor<3xf32>) -> tensor<3x2xf32>
  return
}

// -----

func.func @scatter_c1(%x: tensor<4x8xf32>, %i: tensor<2x1xi64>, %u: tensor<2x8xf32>) {
  // expected-error @+1 {{'tessera.scatter' op (C1) expected indices of rank 1; got 'tensor<2x1xi64>'}}
  %0 = tessera.scatter %u into %x[%i] : tensor<2x8xf32>, tensor<2x1xi64> into tensor<4x8xf32>
  return
}

// -----

func.func @scatter_c2(%x: tensor<4x8xf32>, %i: tensor<2xi64>, %u: tensor<2x7xf32>) {
  // expected-error @+1 {{'tessera.scatter' op (C2) expected updates to be 'tensor<2x8xf32>'; got 'tensor<2x7xf32>'}}
  %0 = tessera.scatter %u into %x[%i] : tensor<2x7xf32>, tensor<2xi64> into tensor<4x8xf32>
  return
}

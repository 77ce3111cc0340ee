// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @dispatch_c1_unknown(%x: tensor<4xf32>) {
  // expected-error @+1 {{'rt.dispatch' op (C1) expected a kernel named @missing}}
  %0 = rt.dispatch @missing ins() outs(%x : tensor<4xf32>) sizes() -> tensor<4xf32>
  return
}

// -----

func.func private @k(tensor<4xf32>, index) -> tensor<4xf32>
func.func @dispatch_c1_operands(%x: tensor<4xf32>) {
  // expected-error @+1 {{'rt.dispatch' op (C1) expected the kernel to take 'tensor<4xf32>', 'tensor<4xf32>' and to return 'tensor<4xf32>'; got '(tensor<4xf32>, index) -> tensor<4xf32>'}}
  %0 = rt.dispatch @k ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) sizes() -> tensor<4xf32>
  return
}

// -----

func.func private @k(tensor<4xf32>) -> tensor<4xf32>
func.func @dispatch_c2(%x: tensor<4xf32>) {
  // expected-error @+1 {{'rt.dispatch' op (C2) expected the results to have the destinations' types 'tensor<4xf32>'; got 'tensor<8xf32>'}}
  %0 = rt.dispatch @k ins() outs(%x : tensor<4xf32>) sizes() -> tensor<8xf32>
  return
}

// -----

func.func @bind_c1(%b: !rt.buffer, %n: index) {
  // expected-error @+1 {{'rt.bind' op (C1) expected 2 sizes; got 1}}
  %0 = rt.bind %b [%n] : memref<?x4x?xf32>
  return
}

// -----

func.func @observe_c1(%b: !rt.buffer, %n: index) {
  // expected-error @+1 {{'rt.observe' op (C1) expected 0 sizes; got 1}}
  rt.observe 0 of @k, %b[%n] : tensor<4xf32>
  return
}

// -----

func.func @load_float(%b: !rt.buffer) {
  // expected-error @+1 {{'rt.load' op result #0 must be signless integer, but got 'f32'}}
  %0 = "rt.load"(%b) : (!rt.buffer) -> f32
  return
}

// -----

func.func @libm_types(%x: f32, %y: f64) {
  // expected-error @+1 {{'rt.libm' op requires the same type for all operands and results}}
  %0 = "rt.libm"(%x, %y) {function = 0 : i32} : (f32, f64) -> f32
  return
}

// -----

func.func @collective_c1(%x: tensor<4xf32>, %y: tensor<4xi32>) {
  // expected-error @+1 {{'rt.collective' op (C1) expected the source's element type and the result to be the destination's, 'tensor<4xi32>'; got 'tensor<4xf32>' and 'tensor<4xi32>'}}
  %0 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%x : tensor<4xf32>) outs(%y : tensor<4xi32>) -> tensor<4xi32>
  return
}

// -----

func.func @collective_c2_gather(%x: tensor<4xf32>, %y: tensor<4xf32>) {
  // expected-error @+1 {{'rt.collective' op (C2) expected the destination to have the elements of all_gather by 2 ranks of 'tensor<4xf32>'; got 'tensor<4xf32>'}}
  %0 = rt.collective <all_gather, axes = [0], ranks = 2> ins(%x : tensor<4xf32>) outs(%y : tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @collective_c2_scatter(%x: tensor<5xf32>, %y: tensor<2xf32>) {
  // expected-error @+1 {{'rt.collective' op (C2) expected the destination to have the elements of reduce_scatter by 2 ranks of 'tensor<5xf32>'; got 'tensor<2xf32>'}}
  %0 = rt.collective <reduce_scatter, axes = [0], ranks = 2> ins(%x : tensor<5xf32>) outs(%y : tensor<2xf32>) -> tensor<2xf32>
  return
}

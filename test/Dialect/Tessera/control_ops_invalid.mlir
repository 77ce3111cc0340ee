// RUN: tessera-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

func.func @cond_c1_arguments(%p: tensor<i1>, %x: tensor<f32>) {
  // expected-error @+1 {{'tessera.cond' op (C1) expected regions without arguments; got 1}}
  %0 = tessera.cond %p then {
  ^bb0(%y: tensor<f32>):
    tessera.yield %y : tensor<f32>
  } else {
    tessera.yield %x : tensor<f32>
  } : (tensor<i1>) -> tensor<f32>
  return
}

// -----

func.func @cond_c1_yield(%p: tensor<i1>, %x: tensor<f32>, %y: tensor<f64>) {
  // expected-error @+1 {{'tessera.cond' op (C1) expected a region to yield 'tensor<f32>'; got 'tensor<f64>'}}
  %0 = tessera.cond %p then {
    tessera.yield %x : tensor<f32>
  } else {
    // expected-note @+1 {{yielded here}}
    tessera.yield %y : tensor<f64>
  } : (tensor<i1>) -> tensor<f32>
  return
}

// -----

func.func @cond_c1_terminator(%p: tensor<i1>, %x: tensor<f32>) {
  // expected-error @+1 {{'tessera.cond' op (C1) expected a region to end with tessera.yield}}
  %0 = tessera.cond %p then {
    "test.unknown"() : () -> ()
  } else {
    tessera.yield %x : tensor<f32>
  } : (tensor<i1>) -> tensor<f32>
  return
}

// -----

func.func @while_loop_c1(%x: tensor<f32>, %p: tensor<i1>) {
  // expected-error @+1 {{'tessera.while_loop' op (C1) expected a region to take 'tensor<f32>'; got 'tensor<f64>'}}
  %0 = tessera.while_loop %x while {
  ^bb0(%a: tensor<f64>):
    tessera.yield %p : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a : tensor<f32>
  } : tensor<f32>
  return
}

// -----

func.func @while_loop_c2_condition(%x: tensor<f32>) {
  // expected-error @+1 {{'tessera.while_loop' op (C2) expected a region to yield 'tensor<i1>'; got 'tensor<f32>'}}
  %0 = tessera.while_loop %x while {
  ^bb0(%a: tensor<f32>):
    // expected-note @+1 {{yielded here}}
    tessera.yield %a : tensor<f32>
  } do {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a : tensor<f32>
  } : tensor<f32>
  return
}

// -----

func.func @while_loop_c2_body(%x: tensor<f32>, %p: tensor<i1>) {
  // expected-error @+1 {{'tessera.while_loop' op (C2) expected a region to yield 'tensor<f32>'; got 'tensor<i1>'}}
  %0 = tessera.while_loop %x while {
  ^bb0(%a: tensor<f32>):
    tessera.yield %p : tensor<i1>
  } do {
  ^bb0(%a: tensor<f32>):
    // expected-note @+1 {{yielded here}}
    tessera.yield %p : tensor<i1>
  } : tensor<f32>
  return
}

// -----

func.func @scan_c1_carry(%x: tensor<f32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C1) expected 1 region arguments and 1 yielded values, the first 2 of them carried; got 1 and 1}}
  %0 = tessera.scan(%x) length = %n carry = 2 {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a : tensor<f32>
  } : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @scan_c1_negative(%x: tensor<f32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C1) expected 1 region arguments and 1 yielded values, the first -1 of them carried; got 1 and 1}}
  %0 = tessera.scan(%x) length = %n carry = -1 {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a : tensor<f32>
  } : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @scan_c1_yield(%x: tensor<f32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C1) expected 1 region arguments and 1 yielded values, the first 1 of them carried; got 1 and 2}}
  %0 = tessera.scan(%x) length = %n carry = 1 {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a, %a : tensor<f32>, tensor<f32>
  } : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @scan_c2(%x: tensor<f32>, %y: tensor<f64>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C2) expected carried value 0 to stay 'tensor<f32>'}}
  %0 = tessera.scan(%x) length = %n carry = 1 {
  ^bb0(%a: tensor<f32>):
    tessera.yield %y : tensor<f64>
  } : (tensor<f32>) -> tensor<f32>
  return
}

// -----

func.func @scan_c3_argument(%x: tensor<f32>, %xs: tensor<?x4xf32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C3) expected region argument 1 to be a slice of 'tensor<?x4xf32>'; got 'tensor<7xf32>'}}
  %0 = tessera.scan(%x, %xs) length = %n carry = 1 {
  ^bb0(%a: tensor<f32>, %slice: tensor<7xf32>):
    tessera.yield %a : tensor<f32>
  } : (tensor<f32>, tensor<?x4xf32>) -> tensor<f32>
  return
}

// -----

func.func @scan_c3_scalar(%x: tensor<f32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C3) expected region argument 0 to be a slice of 'tensor<f32>'; got 'tensor<f32>'}}
  tessera.scan(%x) length = %n carry = 0 {
  ^bb0(%slice: tensor<f32>):
    tessera.yield
  } : (tensor<f32>) -> ()
  return
}

// -----

func.func @scan_c3_result(%x: tensor<f32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C3) expected yielded value 1 to be a slice of 'tensor<?x4xf32>'; got 'tensor<f32>'}}
  %0:2 = tessera.scan(%x) length = %n carry = 1 {
  ^bb0(%a: tensor<f32>):
    tessera.yield %a, %a : tensor<f32>, tensor<f32>
  } : (tensor<f32>) -> (tensor<f32>, tensor<?x4xf32>)
  return
}

// -----

func.func @scan_c4(%xs: tensor<?x?xf32>, %n: index) {
  // expected-error @+1 {{'tessera.scan' op (C4) expected 1 sizes; got 0}}
  %0 = tessera.scan(%xs) length = %n carry = 0 {
  ^bb0(%slice: tensor<?xf32>):
    tessera.yield %slice : tensor<?xf32>
  } : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return
}

// -----

func.func @cond_c2(%p: tensor<i1>, %x: tensor<?xf32>) {
  // expected-error @+1 {{'tessera.cond' op (C2) expected 1 sizes; got 0}}
  %0 = tessera.cond %p then {
    tessera.yield %x : tensor<?xf32>
  } else {
    tessera.yield %x : tensor<?xf32>
  } : (tensor<i1>) -> tensor<?xf32>
  return
}

// -----

func.func @yield_parent(%x: tensor<f32>) {
  // expected-error @+1 {{'tessera.yield' op expects parent op to be one of 'tessera.cond, tessera.while_loop, tessera.scan'}}
  tessera.yield %x : tensor<f32>
}

// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @c1_rank(%q: tensor<4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C1) expected tensors of rank 4 and one element type; got 'tensor<4x8x16xf32>'}}
  %0 = tessera.flash_attention %q, %k, %v : (tensor<4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c1_element(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xbf16>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C1) expected tensors of rank 4 and one element type; got 'tensor<1x2x9x16xbf16>'}}
  %0 = tessera.flash_attention %q, %k, %v : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xbf16>, tensor<1x2x9x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c2_depth(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x8xf32>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C2) expected [B,H,Sq,D], [B,Hkv,Sk,D] and [B,Hkv,Sk,Dv]; got 'tensor<1x4x8x16xf32>', 'tensor<1x2x9x8xf32>' and 'tensor<1x2x9x16xf32>'}}
  %0 = tessera.flash_attention %q, %k, %v : (tensor<1x4x8x16xf32>, tensor<1x2x9x8xf32>, tensor<1x2x9x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c3(%q: tensor<1x4x8x16xf32>, %k: tensor<1x3x9x16xf32>, %v: tensor<1x3x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C3) expected a number of heads that is a multiple of the keys'; got 4 and 3}}
  %0 = tessera.flash_attention %q, %k, %v : (tensor<1x4x8x16xf32>, tensor<1x3x9x16xf32>, tensor<1x3x9x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c4(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>, %m: tensor<7x9xi1>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C4) expected a mask of booleans or floats that broadcasts to [B,H,Sq,Sk]; got 'tensor<7x9xi1>'}}
  %0 = tessera.flash_attention %q, %k, %v mask %m : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>, tensor<7x9xi1>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c4_element(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>, %m: tensor<8x9xi32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C4) expected a mask of booleans or floats that broadcasts to [B,H,Sq,Sk]; got 'tensor<8x9xi32>'}}
  %0 = tessera.flash_attention %q, %k, %v mask %m : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>, tensor<8x9xi32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c5(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C5) expected the output to be 'tensor<1x4x8x16xf32>'; got 'tensor<1x4x9x16xf32>'}}
  %0 = tessera.flash_attention %q, %k, %v : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>) -> tensor<1x4x9x16xf32>
  return
}

// -----

func.func @c5_lse(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C5) expected lse to be 'tensor<1x4x8xf32>'; got 'tensor<1x4x8x16xf32>'}}
  %0, %1 = tessera.flash_attention %q, %k, %v : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>) -> (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>)
  return
}

// -----

func.func @c6(%q: tensor<1x4x8x16xf32>, %k: tensor<1x2x9x16xf32>, %v: tensor<1x2x9x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C6) expected a window of two bounds of -1 or more; got [-2, 0]}}
  %0 = tessera.flash_attention %q, %k, %v window = [-2, 0] : (tensor<1x4x8x16xf32>, tensor<1x2x9x16xf32>, tensor<1x2x9x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c7(%q: tensor<1x4x8x16xf32>, %seed: tensor<i64>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C7) expected a dropout of 0 or more and below 1, with a seed}}
  %0 = tessera.flash_attention %q, %q, %q dropout = 1.0 seed %seed : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<i64>) -> tensor<1x4x8x16xf32>
  return
}

// -----

func.func @c7_seed(%q: tensor<1x4x8x16xf32>) {
  // expected-error @+1 {{'tessera.flash_attention' op (C7) expected a dropout of 0 or more and below 1, with a seed}}
  %0 = tessera.flash_attention %q, %q, %q dropout = 0.5 : (tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>, tensor<1x4x8x16xf32>) -> tensor<1x4x8x16xf32>
  return
}

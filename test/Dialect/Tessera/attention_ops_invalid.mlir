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

// -----

func.func @varlen_c1(%q: tensor<9x4x16xf32>, %k: tensor<9x2x16xf16>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C1) expected tensors of rank 3 and one element type; got 'tensor<9x2x16xf16>'}}
  %0 = tessera.flash_attention_varlen %q, %k, %k starts %s, %s : (tensor<9x4x16xf32>, tensor<9x2x16xf16>, tensor<9x2x16xf16>, tensor<3xi32>, tensor<3xi32>) -> tensor<9x4x16xf32>
  return
}

// -----

func.func @varlen_c2(%q: tensor<9x4x16xf32>, %k: tensor<9x2x8xf32>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C2) expected [T,H,D], [Tk,Hkv,D] and [Tk,Hkv,Dv]; got 'tensor<9x4x16xf32>', 'tensor<9x2x8xf32>' and 'tensor<9x2x8xf32>'}}
  %0 = tessera.flash_attention_varlen %q, %k, %k starts %s, %s : (tensor<9x4x16xf32>, tensor<9x2x8xf32>, tensor<9x2x8xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<9x4x8xf32>
  return
}

// -----

func.func @varlen_c3(%q: tensor<9x4x16xf32>, %k: tensor<9x3x16xf32>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C3) expected a number of heads that is a multiple of the keys'; got 4 and 3}}
  %0 = tessera.flash_attention_varlen %q, %k, %k starts %s, %s : (tensor<9x4x16xf32>, tensor<9x3x16xf32>, tensor<9x3x16xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<9x4x16xf32>
  return
}

// -----

func.func @varlen_c4(%q: tensor<9x4x16xf32>, %k: tensor<9x2x16xf32>, %s: tensor<3xi32>, %t: tensor<4xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C4) expected as many starts of queries as of keys; got 'tensor<3xi32>' and 'tensor<4xi32>'}}
  %0 = tessera.flash_attention_varlen %q, %k, %k starts %s, %t : (tensor<9x4x16xf32>, tensor<9x2x16xf32>, tensor<9x2x16xf32>, tensor<3xi32>, tensor<4xi32>) -> tensor<9x4x16xf32>
  return
}

// -----

func.func @varlen_c5(%q: tensor<9x4x16xf32>, %k: tensor<9x2x16xf32>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C5) expected lse to be 'tensor<4x9xf32>'; got 'tensor<9x4xf32>'}}
  %0, %1 = tessera.flash_attention_varlen %q, %k, %k starts %s, %s : (tensor<9x4x16xf32>, tensor<9x2x16xf32>, tensor<9x2x16xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<9x4x16xf32>, tensor<9x4xf32>)
  return
}

// -----

func.func @varlen_c6(%q: tensor<9x4x16xf32>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C6) expected a window of two bounds of -1 or more; got [-2, 0]}}
  %0 = tessera.flash_attention_varlen %q, %q, %q starts %s, %s window = [-2, 0] : (tensor<9x4x16xf32>, tensor<9x4x16xf32>, tensor<9x4x16xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<9x4x16xf32>
  return
}

// -----

func.func @varlen_c7(%q: tensor<9x4x16xf32>, %s: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.flash_attention_varlen' op (C7) expected a dropout of 0 or more and below 1, with a seed}}
  %0 = tessera.flash_attention_varlen %q, %q, %q starts %s, %s dropout = 0.5 : (tensor<9x4x16xf32>, tensor<9x4x16xf32>, tensor<9x4x16xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<9x4x16xf32>
  return
}

// -----

func.func @paged_c1(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x16xf32>, %t: tensor<2x3xi32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C1) expected tensors of rank 4 and one element type; got 'tensor<9x8x16xf32>'}}
  %0 = tessera.paged_attention %q, %k, %k tables %t, %n, %n : (tensor<2x4x1x16xf32>, tensor<9x8x16xf32>, tensor<9x8x16xf32>, tensor<2x3xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x1x16xf32>
  return
}

// -----

func.func @paged_c2(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x2x16xf32>, %v: tensor<9x4x2x16xf32>, %t: tensor<2x3xi32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C2) expected [B,H,S,D], [pages,page,Hkv,D] and [pages,page,Hkv,Dv]; got 'tensor<2x4x1x16xf32>', 'tensor<9x8x2x16xf32>' and 'tensor<9x4x2x16xf32>'}}
  %0 = tessera.paged_attention %q, %k, %v tables %t, %n, %n : (tensor<2x4x1x16xf32>, tensor<9x8x2x16xf32>, tensor<9x4x2x16xf32>, tensor<2x3xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x1x16xf32>
  return
}

// -----

func.func @paged_c3(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x3x16xf32>, %t: tensor<2x3xi32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C3) expected a number of heads that is a multiple of the keys'; got 4 and 3}}
  %0 = tessera.paged_attention %q, %k, %k tables %t, %n, %n : (tensor<2x4x1x16xf32>, tensor<9x8x3x16xf32>, tensor<9x8x3x16xf32>, tensor<2x3xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x1x16xf32>
  return
}

// -----

func.func @paged_c4(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x2x16xf32>, %t: tensor<2x3xi32>, %n: tensor<3xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C4) expected tables and lengths of 2 sequences; got 'tensor<3xi32>'}}
  %0 = tessera.paged_attention %q, %k, %k tables %t, %n, %n : (tensor<2x4x1x16xf32>, tensor<9x8x2x16xf32>, tensor<9x8x2x16xf32>, tensor<2x3xi32>, tensor<3xi32>, tensor<3xi32>) -> tensor<2x4x1x16xf32>
  return
}

// -----

func.func @paged_c5(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x2x16xf32>, %t: tensor<2x3xi32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C5) expected the output to be 'tensor<2x4x1x16xf32>'; got 'tensor<2x4x1x8xf32>'}}
  %0 = tessera.paged_attention %q, %k, %k tables %t, %n, %n : (tensor<2x4x1x16xf32>, tensor<9x8x2x16xf32>, tensor<9x8x2x16xf32>, tensor<2x3xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x1x8xf32>
  return
}

// -----

func.func @paged_c6(%q: tensor<2x4x1x16xf32>, %k: tensor<9x8x2x16xf32>, %t: tensor<2x3xi32>, %n: tensor<2xi32>) {
  // expected-error @+1 {{'tessera.paged_attention' op (C6) expected a window of 0 or more; got -1}}
  %0 = tessera.paged_attention %q, %k, %k tables %t, %n, %n window = -1 : (tensor<2x4x1x16xf32>, tensor<9x8x2x16xf32>, tensor<9x8x2x16xf32>, tensor<2x3xi32>, tensor<2xi32>, tensor<2xi32>) -> tensor<2x4x1x16xf32>
  return
}

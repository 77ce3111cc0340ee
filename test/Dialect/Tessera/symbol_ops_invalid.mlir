// RUN: tessera-opt %s --split-input-file --verify-diagnostics

func.func @symbol_c1_min() {
  // expected-error @+1 {{'tessera.symbol' op (C1) expected min >= 0; got -1}}
  %0 = tessera.symbol "S" {min = -1 : i64}
  return
}

// -----

func.func @symbol_c1_max() {
  // expected-error @+1 {{'tessera.symbol' op (C1) expected max >= min; got max 3 and min 4}}
  %0 = tessera.symbol "S" {min = 4 : i64, max = 3 : i64}
  return
}

// -----

func.func @symbol_c1_default() {
  // expected-error @+1 {{'tessera.symbol' op (C1) expected max >= min; got max -2 and min 0}}
  %0 = tessera.symbol "S" {max = -2 : i64}
  return
}

// -----

func.func @symbol_c2() {
  // expected-error @+1 {{'tessera.symbol' op (C2) expected multiple_of >= 1; got 0}}
  %0 = tessera.symbol "S" {multiple_of = 0 : i64}
  return
}

// -----

func.func @bind_shape_c1(%x: tensor<?x4x?xf32>, %n: index) {
  // expected-error @+1 {{'tessera.bind_shape' op (C1) expected 2 sizes, one for each dynamic dimension; got 1}}
  tessera.bind_shape %x [%n] : tensor<?x4x?xf32>
  return
}

// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @sizes
// CHECK-SAME:    %[[X:.*]]: tensor<?x?x4096xf32> {tessera.name = "x"}
func.func @sizes(%x: tensor<?x?x4096xf32> {tessera.name = "x"}) -> tensor<i64> attributes {tessera.entry} {
  // CHECK: %[[B:.*]] = tessera.symbol "B"
  %B = tessera.symbol "B"
  // CHECK: %[[S:.*]] = tessera.symbol "S" {max = 8192 : i64, min = 1 : i64, multiple_of = 16 : i64}
  %S = tessera.symbol "S" {min = 1 : i64, max = 8192 : i64, multiple_of = 16 : i64}
  // CHECK: tessera.bind_shape %[[X]][%[[B]], %[[S]]] : tensor<?x?x4096xf32>
  tessera.bind_shape %x [%B, %S] : tensor<?x?x4096xf32>
  // CHECK: tessera.from_index %[[B]] : tensor<i64>
  %0 = tessera.from_index %B : tensor<i64>
  return %0 : tensor<i64>
}

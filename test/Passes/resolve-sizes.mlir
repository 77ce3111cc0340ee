// RUN: tessera-opt %s --tessera-resolve-sizes | FileCheck %s

// CHECK-LABEL: @bound
func.func @bound(%x: tensor<?x64xf32>) -> tensor<?xf32> {
  // CHECK: %[[S:.*]] = tessera.symbol "S"
  %S = tessera.symbol "S"
  tessera.bind_shape %x [%S] : tensor<?x64xf32>
  %c0 = arith.constant 0 : index
  // CHECK-NOT: tensor.dim
  %d = tensor.dim %x, %c0 : tensor<?x64xf32>
  // CHECK: tensor.empty(%[[S]])
  %e = tensor.empty(%d) : tensor<?xf32>
  return %e : tensor<?xf32>
}

// A loop keeps the sizes of what it carries.
// CHECK-LABEL: @loop
func.func @loop(%x: tensor<?xf32>, %n: index) -> tensor<?xf32> {
  // CHECK: %[[S:.*]] = tessera.symbol "S"
  %S = tessera.symbol "S"
  tessera.bind_shape %x [%S] : tensor<?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> tensor<?xf32> {
    scf.yield %a : tensor<?xf32>
  }
  %d = tensor.dim %r, %c0 : tensor<?xf32>
  // CHECK: tensor.empty(%[[S]])
  %e = tensor.empty(%d) : tensor<?xf32>
  return %e : tensor<?xf32>
}

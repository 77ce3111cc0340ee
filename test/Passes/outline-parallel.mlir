// RUN: tessera-opt %s --tessera-outline-parallel | FileCheck %s

// CHECK-LABEL: func.func private @k.body(
// CHECK-SAME: %arg0: index, %arg1: index
// CHECK: rt.bind
// CHECK: scf.for %[[I:.*]] = %arg0 to %arg1
// CHECK: arith.remui %[[I]]
// CHECK: arith.divui %[[I]]
// CHECK: memref.store
// CHECK-LABEL: func.func private @k(
// CHECK: arith.ceildivsi
// CHECK: rt.parallel_for @k.body count %{{.*}} grain
// CHECK-NOT: scf.forall
func.func private @k(%x: !rt.buffer, %m: index, %n: index) {
  %0 = rt.bind %x [%m, %n] : memref<?x?xf32>
  %zero = arith.constant 0.0 : f32
  rt.work %n
  scf.forall (%i, %j) in (%m, %n) {
    memref.store %zero, %0[%i, %j] : memref<?x?xf32>
  }
  return
}

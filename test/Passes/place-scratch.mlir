// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-place-scratch))" --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: @bounded
// CHECK: %[[A:.*]] = memref.alloca() {alignment = 64 : i64} : memref<32xf32>
// CHECK: scf.for
// CHECK: memref.subview %[[A]][0]
func.func @bounded(%n: index) {
  %c0 = arith.constant 0 : index
  %c32 = arith.constant 32 : index
  %zero = arith.constant 0.0 : f32
  scf.for %i = %c0 to %n step %c32 {
    %s = affine.min affine_map<(d0)[s0] -> (-d0 + s0, 32)>(%i)[%n]
    %a = memref.alloc(%s) : memref<?xf32>
    memref.store %zero, %a[%c0] : memref<?xf32>
  }
  return
}

// -----

// CHECK-LABEL: @row
// CHECK: %[[A:.*]] = memref.alloc(%arg0)
// CHECK: scf.for
// CHECK-NOT: memref.alloc
// CHECK: memref.dealloc %[[A]]
func.func @row(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  scf.for %i = %c0 to %n step %c1 {
    %a = memref.alloc(%n) : memref<?xf32>
    memref.store %zero, %a[%c0] : memref<?xf32>
  }
  return
}

// -----

func.func @unbounded(%n: index, %m: memref<?xindex>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    %s = memref.load %m[%i] : memref<?xindex>
    // expected-error @below {{has a size that varies in a loop and has no bound}}
    %a = memref.alloc(%s) : memref<?xindex>
    memref.store %c0, %a[%c0] : memref<?xindex>
  }
  return
}

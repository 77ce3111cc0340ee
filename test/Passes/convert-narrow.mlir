// RUN: tessera-opt %s --tessera-convert-narrow | FileCheck %s


// CHECK-LABEL: @narrow
// CHECK: arith.sitofp %arg0 : i32 to f32
// CHECK: arith.truncf {{.*}} : f32 to bf16
func.func @narrow(%x: i32) -> bf16 {
  %0 = arith.sitofp %x : i32 to bf16
  return %0 : bf16
}

// CHECK-LABEL: @odd
// CHECK: arith.truncf %arg0 : f64 to f32
// CHECK: arith.ori
// CHECK: arith.truncf {{.*}} : f32 to f16
func.func @odd(%x: f64) -> f16 {
  %0 = arith.truncf %x : f64 to f16
  return %0 : f16
}

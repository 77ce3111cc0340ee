// RUN: tessera-opt %s --tessera-expand-math | FileCheck %s

// CHECK-LABEL: @polynomial
// CHECK-NOT: math.exp
// CHECK: math.fma
func.func @polynomial(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// CHECK-LABEL: @library
// CHECK: rt.libm 0(%arg0, %arg0) : f64
func.func @library(%x: f64) -> f64 {
  %0 = math.exp %x : f64
  return %0 : f64
}

// CHECK-LABEL: @pow
// CHECK-COUNT-2: rt.libm 10
// CHECK: vector.from_elements
func.func @pow(%x: vector<2xf32>, %y: vector<2xf32>) -> vector<2xf32> {
  %0 = math.powf %x, %y : vector<2xf32>
  return %0 : vector<2xf32>
}

// The argument is reduced in f64; what is too large for that goes to the library.
// CHECK-LABEL: @sine
// CHECK: %[[LARGE:.*]] = vector.reduction <or>
// CHECK: scf.if %[[LARGE]]
// CHECK-COUNT-4: rt.libm 6
// CHECK: } else {
// CHECK: math.roundeven {{.*}} : vector<4xf64>
// CHECK-COUNT-2: math.fma {{.*}} : vector<4xf64>
// CHECK: math.fma {{.*}} : vector<4xf32>
func.func @sine(%x: vector<4xf32>) -> vector<4xf32> {
  %0 = math.sin %x : vector<4xf32>
  return %0 : vector<4xf32>
}

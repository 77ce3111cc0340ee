// RUN: tessera-opt %s --tessera-expand-fp8 | FileCheck %s

// CHECK-LABEL: func @widen_e5m2
// CHECK-SAME: %[[X:.*]]: vector<4x16xf8E5M2>
// CHECK:      %[[CODE:.*]] = arith.bitcast %[[X]] : vector<4x16xf8E5M2> to vector<4x16xi8>
// CHECK:      arith.cmpi ugt
// CHECK:      %[[NUMBER:.*]] = arith.select
// CHECK:      %[[WIDE:.*]] = arith.extui %[[NUMBER]] : vector<4x16xi8> to vector<4x16xi16>
// CHECK:      %[[BITS:.*]] = arith.shli %[[WIDE]]
// CHECK:      %[[HALF:.*]] = arith.bitcast %[[BITS]] : vector<4x16xi16> to vector<4x16xf16>
// CHECK:      %[[Y:.*]] = arith.extf %[[HALF]] : vector<4x16xf16> to vector<4x16xf32>
// CHECK:      return %[[Y]]
func.func @widen_e5m2(%x: vector<4x16xf8E5M2>) -> vector<4x16xf32> {
  %y = arith.extf %x : vector<4x16xf8E5M2> to vector<4x16xf32>
  return %y : vector<4x16xf32>
}

// CHECK-LABEL: func @widen_e4m3
// CHECK:      arith.bitcast {{.*}} : f8E4M3FN to i8
// CHECK:      %[[F:.*]] = arith.extf {{.*}} : f16 to f32
// CHECK:      %[[SCALE:.*]] = arith.constant 2.560000e+02 : f32
// CHECK:      %[[Y:.*]] = arith.mulf %[[F]], %[[SCALE]] : f32
// CHECK:      %[[D:.*]] = arith.extf %[[Y]] : f32 to f64
// CHECK:      return %[[D]]
func.func @widen_e4m3(%x: f8E4M3FN) -> f64 {
  %y = arith.extf %x : f8E4M3FN to f64
  return %y : f64
}

// A cut is exact, and cheap without hardware for bf16.
// CHECK-LABEL: func @widen_to_bf16
// CHECK-NOT:  arith.truncf
// CHECK:      arith.shrui
// CHECK:      arith.trunci {{.*}} : i32 to i16
// CHECK:      arith.bitcast {{.*}} : i16 to bf16
func.func @widen_to_bf16(%x: f8E4M3FN) -> bf16 {
  %y = arith.extf %x : f8E4M3FN to bf16
  return %y : bf16
}

// CHECK-LABEL: func @narrow
// CHECK:      %[[W:.*]] = arith.extf %{{.*}} : vector<16xbf16> to vector<16xf32>
// CHECK:      arith.bitcast %[[W]] : vector<16xf32> to vector<16xi32>
// CHECK:      arith.addf
// CHECK:      arith.minui
// CHECK:      arith.trunci {{.*}} : vector<16xi32> to vector<16xi8>
// CHECK:      arith.bitcast {{.*}} : vector<16xi8> to vector<16xf8E4M3FN>
// CHECK-NOT:  arith.truncf
// CHECK:      return
func.func @narrow(%x: vector<16xbf16>) -> vector<16xf8E4M3FN> {
  %y = arith.truncf %x : vector<16xbf16> to vector<16xf8E4M3FN>
  return %y : vector<16xf8E4M3FN>
}

// Elsewhere the numbers stay as they are, and so does what was not asked for.
// CHECK-LABEL: func @others
// CHECK:      arith.constant 1.500000e+00 : f8E5M2
// CHECK:      memref.store
// CHECK:      arith.truncf %{{.*}} downward : f32 to f8E5M2
// CHECK:      arith.extf %{{.*}} : f16 to f32
func.func @others(%m: memref<?xf8E5M2>, %i: index, %x: f32, %h: f16) -> (f8E5M2, f32) {
  %c = arith.constant 1.5 : f8E5M2
  memref.store %c, %m[%i] : memref<?xf8E5M2>
  %y = arith.truncf %x downward : f32 to f8E5M2
  %z = arith.extf %h : f16 to f32
  return %y, %z : f8E5M2, f32
}

// From sm_89 on, pairs are converted by instructions. What they saturate is put right.
gpu.module @kernels [#nvvm.target<chip = "sm_90a">] {
  // CHECK-LABEL: func @narrow_pairs
  // CHECK:      %[[A:.*]] = vector.extract %{{.*}}[0] : f32 from vector<2xf32>
  // CHECK:      %[[B:.*]] = vector.extract %{{.*}}[1] : f32 from vector<2xf32>
  // CHECK:      nvvm.convert.f32x2.to.f8x2 %[[B]], %[[A]] {rnd = #nvvm.fp_rnd_mode<rn>, sat = #nvvm.sat_mode<satfinite>} : vector<2xi8>(f8E4M3FN)
  // CHECK:      arith.cmpf ugt, %{{.*}}, %{{.*}} : vector<2xf32>
  // CHECK:      arith.select
  func.func @narrow_pairs(%x: vector<2xf32>) -> vector<2xf8E4M3FN> {
    %y = arith.truncf %x : vector<2xf32> to vector<2xf8E4M3FN>
    return %y : vector<2xf8E4M3FN>
  }
  // CHECK-LABEL: func @widen_one
  // CHECK:      nvvm.convert.f8x2.to.f16x2 %{{.*}} : vector<2xi8>(f8E5M2) -> vector<2xf16>
  // CHECK:      arith.extf %{{.*}} : f16 to f32
  func.func @widen_one(%x: f8E5M2) -> f32 {
    %y = arith.extf %x : f8E5M2 to f32
    return %y : f32
  }
}

gpu.module @older [#nvvm.target<chip = "sm_86">] {
  // CHECK-LABEL: func @narrow_older
  // CHECK-NOT:  nvvm.convert
  // CHECK:      return
  func.func @narrow_older(%x: vector<2xf32>) -> vector<2xf8E4M3FN> {
    %y = arith.truncf %x : vector<2xf32> to vector<2xf8E4M3FN>
    return %y : vector<2xf8E4M3FN>
  }
}

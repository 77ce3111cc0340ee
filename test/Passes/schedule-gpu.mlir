// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-schedule{device=gpu}),canonicalize)" --split-input-file | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#column = affine_map<(d0, d1) -> (d1)>
#none = affine_map<(d0, d1) -> ()>

// Few long rows are reduced in two stages, many in one: the sizes decide.
// CHECK-LABEL: @rows
// CHECK-DAG:  %[[LONG:.*]] = arith.cmpi uge, %{{.*}}, %c32768
// CHECK-DAG:  %[[FEW:.*]] = arith.cmpi ult, %{{.*}}, %c264
// CHECK:      %[[SPLIT:.*]] = arith.andi %[[LONG]], %[[FEW]]
// CHECK:      scf.if %[[SPLIT]] -> (tensor<?xf32>) {
// CHECK:        %[[PARTIAL:.*]] = tensor.empty(%{{.*}}, %{{.*}}) : tensor<?x?xf32>
// CHECK:        %[[SUMS:.*]] = scf.forall (%[[I:.*]], %[[J:.*]]) = (0, 0) to (%{{.*}}, %{{.*}}) step (1, 16384) shared_outs(%[[P:.*]] = %[[PARTIAL]])
// CHECK:          %[[CHUNK:.*]] = affine.apply {{.*}}(%[[J]])
// CHECK:          %[[PLACE:.*]] = tensor.extract_slice %[[P]][%[[I]], %[[CHUNK]]] [1, 1] [1, 1]
// CHECK:          %[[ZERO:.*]] = linalg.fill {{.*}} outs(%[[PLACE]]
// CHECK:          linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]{{.*}} outs(%[[ZERO]]
// CHECK:        scf.forall (%{{.*}}) in (%{{.*}}) shared_outs
// CHECK:          linalg.fill
// CHECK:          linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]
// CHECK:      } else {
// CHECK:        scf.forall (%{{.*}}) in (%{{.*}}) shared_outs
func.func private @rows(%x: tensor<?x?xf32>, %out: tensor<?xf32>, %m: index, %n: index) -> tensor<?xf32>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  tessera.bind_shape %x [%m, %n] : tensor<?x?xf32>
  tessera.bind_shape %out [%m] : tensor<?xf32>
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<?xf32>) -> tensor<?xf32>
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%f : tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#none = affine_map<(d0, d1) -> ()>

// Two reduced dimensions that lie side by side are one; where all sizes are known there is no choice left.
// CHECK-LABEL: @all
// CHECK-SAME: %{{.*}}: tensor<16777216xf32>
// CHECK-NOT:  scf.if
// CHECK:      tensor.empty() : tensor<1024xf32>
// CHECK:      scf.forall (%{{.*}}) = (0) to (16777216) step (16384)
// CHECK:      linalg.generic {{.*}} iterator_types = ["reduction"]
func.func private @all(%x: tensor<16x1048576xf32>, %out: tensor<f32>) -> tensor<f32>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64>} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<f32>) -> tensor<f32>
  %0 = linalg.generic {indexing_maps = [#id, #none], iterator_types = ["reduction", "reduction"]}
      ins(%x : tensor<16x1048576xf32>) outs(%f : tensor<f32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.maximumf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<f32>
  return %0 : tensor<f32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#column = affine_map<(d0, d1) -> (d1)>

// Columns are divided into rows too.
// CHECK-LABEL: @columns
// CHECK:      tensor.empty() : tensor<128x1024xf32>
// CHECK:      scf.forall (%[[I:.*]], %[[J:.*]]) = (0, 0) to (65536, 1024) step (512, 64)
// CHECK:      scf.forall (%{{.*}}) = (0) to (1024) step (64)
func.func private @columns(%x: tensor<65536x1024xf32>, %out: tensor<1024xf32>) -> tensor<1024xf32>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 1>} {
  %zero = arith.constant 0.0 : f32
  %f = linalg.fill ins(%zero : f32) outs(%out : tensor<1024xf32>) -> tensor<1024xf32>
  %0 = linalg.generic {indexing_maps = [#id, #column], iterator_types = ["reduction", "parallel"]}
      ins(%x : tensor<65536x1024xf32>) outs(%f : tensor<1024xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<1024xf32>
  return %0 : tensor<1024xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>

// What is read again after the reduction is a row of a block, however few there are.
// CHECK-LABEL: @norm
// CHECK-NOT:  step (1, 16384)
// CHECK:      scf.forall (%{{.*}}) in (4)
func.func private @norm(%x: tensor<4x1048576xf32>, %out: tensor<4x1048576xf32>) -> tensor<4x1048576xf32>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4x1048576xf32>) outs(%f : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<4xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %0 : tensor<4x1048576xf32>, tensor<4xf32>) outs(%out : tensor<4x1048576xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %1 = arith.divf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<4x1048576xf32>
  return %2 : tensor<4x1048576xf32>
}

// -----

// A row for each result, also where something is computed of it.
// CHECK-LABEL: @mean
// CHECK:      scf.forall (%{{.*}}) in (4096)
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#one = affine_map<(d0) -> (d0)>
func.func private @mean(%x: tensor<4096x512xf32>, %out: tensor<4096xbf16>) -> tensor<4096xbf16>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4096xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4096xf32>) -> tensor<4096xf32>
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4096x512xf32>) outs(%f : tensor<4096xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<4096xf32>
  %2 = linalg.generic {indexing_maps = [#one, #one], iterator_types = ["parallel"]}
      ins(%0 : tensor<4096xf32>) outs(%out : tensor<4096xbf16>) {
  ^bb0(%a: f32, %o: bf16):
    %1 = arith.truncf %a : f32 to bf16
    linalg.yield %1 : bf16
  } -> tensor<4096xbf16>
  return %2 : tensor<4096xbf16>
}

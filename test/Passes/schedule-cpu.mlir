// RUN: tessera-opt %s --tessera-schedule-cpu | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>

// Everything is read in order, so there is one dimension, cut into chunks.
// CHECK-LABEL: @flat
// CHECK: %[[N:.*]] = arith.muli %arg2, %arg3
// CHECK: tessera.bind_shape %arg0[%[[N]]] : tensor<?xf32>
// CHECK: rt.work
// CHECK: scf.forall (%{{.*}}) = (0) to (%{{.*}}) step (4096)
func.func private @flat(%x: tensor<?x?xf32>, %out: tensor<?x?xf32>, %m: index, %n: index) -> tensor<?x?xf32>
    attributes {tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0, 1>} {
  tessera.bind_shape %x [%m, %n] : tensor<?x?xf32>
  tessera.bind_shape %out [%m, %n] : tensor<?x?xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x?xf32>) outs(%out : tensor<?x?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.negf %a : f32
    linalg.yield %1 : f32
  } -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// One row at a time.
// CHECK-LABEL: @rows
// CHECK: scf.forall (%[[I:.*]]) in (%{{.*}})
// CHECK: tensor.extract_slice %{{.*}}[%[[I]], 0] [1,
// CHECK: iterator_types = ["parallel", "reduction"]
func.func private @rows(%x: tensor<?x64xf32>, %out: tensor<?xf32>, %m: index) -> tensor<?xf32>
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  tessera.bind_shape %x [%m] : tensor<?x64xf32>
  tessera.bind_shape %out [%m] : tensor<?xf32>
  %0 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x64xf32>) outs(%out : tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %1 = arith.addf %a, %b : f32
    linalg.yield %1 : f32
  } -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

// Blocks of queries in parallel; blocks of keys in order, up to the diagonal. The scores are a block.
// CHECK-LABEL: @attention
// CHECK: scf.forall (%[[B:.*]], %[[H:.*]], %[[I:.*]]) = (0, 0, 0) to (%{{.*}}, 8, %{{.*}}) step (1, 1, 192)
// CHECK:   arith.divui %[[H]], %{{.*}} : index
// CHECK:   scf.for {{.*}} iter_args({{.*}}) -> (tensor<?x64xf32>, tensor<?xf32>, tensor<?xf32>)
// CHECK:     linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]
// CHECK:     arith.cmpi sgt
// CHECK:     arith.maximumf
// CHECK:     math.exp
// CHECK:     linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "reduction"]
// CHECK:   arith.divf
// CHECK:   tensor.parallel_insert_slice
func.func private @attention(%q: tensor<?x8x?x64xf32>, %k: tensor<?x2x?x64xf32>, %v: tensor<?x2x?x64xf32>,
                             %out: tensor<?x8x?x64xf32>, %b: index, %s: index) -> tensor<?x8x?x64xf32>
    attributes {tessera.kind = "attention", tessera.tile_dims = array<i64>} {
  tessera.bind_shape %q[%b, %s] : tensor<?x8x?x64xf32>
  tessera.bind_shape %k[%b, %s] : tensor<?x2x?x64xf32>
  tessera.bind_shape %v[%b, %s] : tensor<?x2x?x64xf32>
  tessera.bind_shape %out[%b, %s] : tensor<?x8x?x64xf32>
  %0 = tessera.flash_attention %q, %k, %v causal
      : (tensor<?x8x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>) -> tensor<?x8x?x64xf32>
  return %0 : tensor<?x8x?x64xf32>
}

// RUN: tessera-opt %s --tessera-schedule --split-input-file | FileCheck %s

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

// -----

// The keys of a sequence come page by page, by the numbers in its table.
// CHECK-LABEL: @pages
// CHECK: scf.forall (%[[B:.*]], %[[H:.*]], %[[I:.*]]) =
// CHECK:   %[[LENGTH:.*]] = tensor.extract %{{.*}}[%[[B]]] : tensor<?xi32>
// CHECK:   scf.for %[[J:.*]] = {{.*}} step %{{.*}}
// CHECK:     %[[ROW:.*]] = arith.divui %[[J]], %{{.*}}
// CHECK:     tensor.extract %{{.*}}[%[[B]], %[[ROW]]] : tensor<?x?xi32>
// CHECK:     tensor.extract_slice %{{.*}}[%{{.*}}, 0, %[[H]], 0] [1, %{{.*}}, 1, 64] [1, 1, 1, 1] : tensor<?x16x1x64xf32> to tensor<?x64xf32>
func.func private @pages(%q: tensor<?x8x1x64xf32>, %k: tensor<?x16x1x64xf32>, %t: tensor<?x?xi32>, %l: tensor<?xi32>,
                         %out: tensor<?x8x1x64xf32>, %b: index, %p: index, %n: index) -> tensor<?x8x1x64xf32>
    attributes {tessera.kind = "attention", tessera.tile_dims = array<i64>} {
  tessera.bind_shape %q[%b] : tensor<?x8x1x64xf32>
  tessera.bind_shape %k[%p] : tensor<?x16x1x64xf32>
  tessera.bind_shape %t[%b, %n] : tensor<?x?xi32>
  tessera.bind_shape %l[%b] : tensor<?xi32>
  tessera.bind_shape %out[%b] : tensor<?x8x1x64xf32>
  %0 = tessera.paged_attention %q, %k, %k tables %t, %l, %l
      : (tensor<?x8x1x64xf32>, tensor<?x16x1x64xf32>, tensor<?x16x1x64xf32>, tensor<?x?xi32>, tensor<?xi32>, tensor<?xi32>)
        -> tensor<?x8x1x64xf32>
  return %0 : tensor<?x8x1x64xf32>
}

// -----

// An update without a place is written to an empty slice.
// CHECK-LABEL: @scatter
// CHECK: scf.forall (%[[I:.*]]) in (2) shared_outs
// CHECK:   %[[COUNT:.*]] = arith.select %{{.*}}, %{{.*}}, %{{.*}} : index
// CHECK:   tensor.parallel_insert_slice %{{.*}} into %{{.*}}[%{{.*}}, 0] [%[[COUNT]], 4] [1, 1]
func.func private @scatter(%i: tensor<2xi64>, %u: tensor<2x4xf32>, %x: tensor<9x4xf32>) -> tensor<9x4xf32>
    attributes {tessera.kind = "scatter", tessera.tile_dims = array<i64>} {
  %0 = tessera.scatter %u into %x[%i] : tensor<2x4xf32>, tensor<2xi64> into tensor<9x4xf32>
  return %0 : tensor<9x4xf32>
}

// -----

// Queries in bf16 are multiplied as they are, and their scores are scaled.
// CHECK-LABEL: @attention_bf16
// CHECK: %[[SCALE:.*]] = arith.divf
// CHECK: scf.for
// CHECK:   linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<?x64xbf16>, tensor<?x64xbf16>)
// CHECK:   arith.mulf %{{.*}}, %[[SCALE]] : f32
// CHECK:   arith.maximumf
func.func private @attention_bf16(%q: tensor<1x8x?x64xbf16>, %k: tensor<1x8x?x64xbf16>, %v: tensor<1x8x?x64xbf16>,
                                  %out: tensor<1x8x?x64xbf16>, %s: index) -> tensor<1x8x?x64xbf16>
    attributes {tessera.kind = "attention", tessera.tile_dims = array<i64>} {
  tessera.bind_shape %q[%s] : tensor<1x8x?x64xbf16>
  tessera.bind_shape %k[%s] : tensor<1x8x?x64xbf16>
  tessera.bind_shape %v[%s] : tensor<1x8x?x64xbf16>
  tessera.bind_shape %out[%s] : tensor<1x8x?x64xbf16>
  %0 = tessera.flash_attention %q, %k, %v
      : (tensor<1x8x?x64xbf16>, tensor<1x8x?x64xbf16>, tensor<1x8x?x64xbf16>) -> tensor<1x8x?x64xbf16>
  return %0 : tensor<1x8x?x64xbf16>
}

// -----

// One loop computes a row of each piece in its place.
// CHECK-LABEL: @pieces
// CHECK-DAG:  %[[L:.*]] = tensor.extract_slice %{{.*}}[0, 0] [%{{.*}}, 32] [1, 1]
// CHECK-DAG:  %[[R:.*]] = tensor.extract_slice %{{.*}}[0, 32] [%{{.*}}, 32] [1, 1]
// CHECK:      %[[F:.*]]:2 = scf.forall (%[[I:.*]]) in (%{{.*}}) shared_outs(%[[LO:.*]] = %[[L]], %[[RO:.*]] = %[[R]])
// CHECK-DAG:    %[[A:.*]] = tensor.extract_slice %[[LO]][%[[I]], 0] [1, 32] [1, 1]
// CHECK-DAG:    %[[B:.*]] = tensor.extract_slice %[[RO]][%[[I]], 0] [1, 32] [1, 1]
// CHECK:        linalg.generic {{.*}} outs(%[[A]], %[[B]] : tensor<1x32xf32>, tensor<1x32xf32>)
// CHECK:        scf.forall.in_parallel
// CHECK:          tensor.parallel_insert_slice %{{.*}}#0 into %[[LO]]
// CHECK:          tensor.parallel_insert_slice %{{.*}}#1 into %[[RO]]
// CHECK:      tensor.insert_slice %[[F]]#0
// CHECK:      tensor.insert_slice %[[F]]#1
#map = affine_map<(d0, d1) -> (d0, d1)>
func.func private @pieces(%x: tensor<?x32xf32>, %out: tensor<?x64xf32>, %m: index) -> tensor<?x64xf32>
    attributes {tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0, 1>} {
  tessera.bind_shape %x [%m] : tensor<?x32xf32>
  tessera.bind_shape %out [%m] : tensor<?x64xf32>
  %e = tensor.empty(%m) : tensor<?x32xf32>
  %0:2 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x32xf32>) outs(%e, %e : tensor<?x32xf32>, tensor<?x32xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %1 = arith.negf %a : f32
    %2 = math.exp %a : f32
    linalg.yield %1, %2 : f32, f32
  } -> (tensor<?x32xf32>, tensor<?x32xf32>)
  %3 = tensor.insert_slice %0#0 into %out[0, 0] [%m, 32] [1, 1] : tensor<?x32xf32> into tensor<?x64xf32>
  %4 = tensor.insert_slice %0#1 into %3[0, 32] [%m, 32] [1, 1] : tensor<?x32xf32> into tensor<?x64xf32>
  return %4 : tensor<?x64xf32>
}

// -----

// A piece that is not computed here is read where it is; a single row is divided into chunks.
// CHECK-LABEL: @chunks
// CHECK: rt.work %c8192
// CHECK: scf.forall (%[[I:.*]]) = (0) to (%{{.*}}) step (4096) shared_outs
// CHECK:   tensor.extract_slice %arg0[%[[I]]] [%{{.*}}] [1]
// CHECK:   tensor.extract_slice %arg1[%[[I]]] [%{{.*}}] [1]
func.func private @chunks(%x: tensor<?xf32>, %y: tensor<?xf32>, %out: tensor<?xf32>, %n: index, %n2: index) -> tensor<?xf32>
    attributes {tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0>} {
  tessera.bind_shape %x [%n] : tensor<?xf32>
  tessera.bind_shape %y [%n] : tensor<?xf32>
  tessera.bind_shape %out [%n2] : tensor<?xf32>
  %0 = tensor.insert_slice %x into %out[0] [%n] [1] : tensor<?xf32> into tensor<?xf32>
  %1 = tensor.insert_slice %y into %0[%n] [%n] [1] : tensor<?xf32> into tensor<?xf32>
  return %1 : tensor<?xf32>
}

// A piece that is a number has nothing to divide.
// CHECK-LABEL: func.func private @number_as_piece(
// CHECK-NOT:     scf.forall
// CHECK:         tensor.insert_slice %{{.*}} into %{{.*}}[%{{.*}}] [1] [1] : tensor<f32> into tensor<?xf32>
func.func private @number_as_piece(%x: tensor<f32>, %all: tensor<?xf32>, %at: index, %n: index) -> tensor<?xf32> attributes {tessera.kind = "elementwise", tessera.tile_dims = array<i64>} {
  tessera.bind_shape %all[%n] : tensor<?xf32>
  %0 = tensor.insert_slice %x into %all[%at] [1] [1] : tensor<f32> into tensor<?xf32>
  return %0 : tensor<?xf32>
}

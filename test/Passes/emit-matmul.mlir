// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-emit-matmul,canonicalize,cse))" | FileCheck %s
// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-emit-matmul{vector-bits=256},canonicalize,cse))" | FileCheck %s --check-prefix=AVX2

#mk = affine_map<(m, n, k) -> (m, k)>
#km = affine_map<(m, n, k) -> (k, m)>
#kn = affine_map<(m, n, k) -> (k, n)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>
#nm = affine_map<(m, n, k) -> (n, m)>

// Rows of A are read in place; a panel of B is packed, in one loop with a masked step for ragged columns, and the tile
// of C stays in registers over the block of K.
// CHECK-LABEL: func @direct
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<64x?xf32>, %[[B:[a-z0-9]+]]: memref<?x?xf32>, %[[C:[a-z0-9]+]]: memref<64x?xf32>
// CHECK:      %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<256x32xf32>
// CHECK-NOT:  memref.alloca
// CHECK:      scf.for %[[K0:[a-z0-9]+]] =
// CHECK:        scf.for %[[N0:[a-z0-9]+]] =
// CHECK:          vector.load %[[B]]
// CHECK:          vector.maskedload %[[B]]
// CHECK:          vector.store {{.*}}, %[[PANEL]]
// CHECK:          scf.for %[[M0:[a-z0-9]+]] = %c0 to %c64 step %c8
// CHECK-COUNT-16:   vector.load %[[C]]
// CHECK:            vector.create_mask
// CHECK-COUNT-16:   vector.maskedload %[[C]]
// CHECK:            scf.for %[[K:[a-z0-9]+]] =
// CHECK-COUNT-2:      vector.load %[[PANEL]]
// CHECK:              memref.load %[[A]][%[[M0]],
// CHECK-COUNT-16:     vector.fma
// CHECK-COUNT-16:   vector.store {{.*}}, %[[C]]
// CHECK-COUNT-16:   vector.maskedstore %[[C]]
// 64 rows are whole tiles.
// CHECK-NOT:  vector.fma
// CHECK:      return
// AVX2-LABEL: func @direct
// AVX2:      memref.alloca() {alignment = 64 : i64} : memref<256x16xf32>
// AVX2:      step %c6
// AVX2-COUNT-12: vector.fma {{.*}} : vector<8xf32>
// AVX2-COUNT-8: vector.fma {{.*}} : vector<8xf32>
// AVX2-NOT:  vector.fma
// AVX2:      return
func.func @direct(%a: memref<64x?xf32>, %b: memref<?x?xf32>, %c: memref<64x?xf32>) {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<64x?xf32>, memref<?x?xf32>) outs(%c : memref<64x?xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %sum, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// Narrow rows of A are packed too; a B that is contiguous along K is transposed square by square on its way. Outer
// dimensions that an operand lacks are loops; the buffers belong to the parallel worker.
// CHECK-LABEL: func @narrow
// CHECK:      scf.forall
// CHECK-NEXT:   %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<256x32xf32>
// CHECK-NEXT:   %[[ROWS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<192x256xf32>
// CHECK:        scf.for %[[BATCH:[a-z0-9]+]] = %c0 to %c3 step %c1
// CHECK:          vector.load %arg0[%[[BATCH]], {{.*}} : memref<3x128x512xbf16>, vector<16xbf16>
// CHECK:          arith.extf {{.*}} : vector<16xbf16> to vector<16xf32>
// CHECK:          vector.store {{.*}}, %[[ROWS]]
// CHECK-COUNT-16: vector.load %arg1
// CHECK-COUNT-64: vector.shuffle
// CHECK-COUNT-16: vector.store {{.*}}, %[[PANEL]]
// CHECK:          memref.load %[[ROWS]]
// CHECK:          vector.fma
// CHECK-NOT:  linalg.generic
// CHECK:      return
func.func @narrow(%a: memref<3x128x512xbf16>, %b: memref<96x512xbf16>, %c: memref<3x128x96xf32>) {
  scf.forall (%i) in (2) {
    linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, m, k)>, affine_map<(b, m, n, k) -> (n, k)>,
                                     affine_map<(b, m, n, k) -> (b, m, n)>],
                    iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<3x128x512xbf16>, memref<96x512xbf16>) outs(%c : memref<3x128x96xf32>) {
    ^bb0(%x: bf16, %y: bf16, %sum: f32):
      %0 = arith.extf %x : bf16 to f32
      %1 = arith.extf %y : bf16 to f32
      %2 = arith.mulf %0, %1 : f32
      %3 = arith.addf %sum, %2 : f32
      linalg.yield %3 : f32
    }
  }
  return
}

// A single row: B is read where it is, 16 rows at a time while the next 16 are fetched; only the ragged columns are
// packed.
// CHECK-LABEL: func @thin
// CHECK:      scf.for {{.*}} step %c16 {
// CHECK:        scf.if
// CHECK:          scf.for
// CHECK-COUNT-2:    memref.prefetch %arg1[{{.*}}], read, locality<2>, data
// CHECK-COUNT-2:    vector.load %arg1
// CHECK-COUNT-2:    vector.fma
// CHECK:        } else {
// CHECK:          vector.store {{.*}} : memref<256x32xf32>
func.func @thin(%a: memref<1x?xf32>, %b: memref<?x?xf32>, %c: memref<1x?xf32>) {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<1x?xf32>, memref<?x?xf32>) outs(%c : memref<1x?xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %sum, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// A column of C is a row of its transpose, and a B contiguous along K gives dot products: four vectors of sums are added
// up together.
// CHECK-LABEL: func @dots
// CHECK-NOT:     memref.alloca
// CHECK:         scf.for {{.*}} iter_args
// CHECK:           vector.load %arg0[[[J:%[a-z0-9]+]], {{.*}} : memref<?x?xi8{{.*}}>, vector<16xi8>
// CHECK:           %[[NEXT:.*]] = arith.addi [[J]], %c4
// CHECK:           memref.prefetch %arg0[%[[NEXT]],
// CHECK-COUNT-3:   vector.load %arg0
// CHECK:           vector.load %arg1{{.*}} : memref<1x?xi8>, vector<16xi8>
// CHECK-COUNT-4:   arith.muli {{.*}} : vector<16xi32>
// CHECK-COUNT-2: vector.shuffle {{.*}} : vector<16xi32>, vector<16xi32>
// CHECK:         arith.addi {{.*}} : vector<16xi32>
// CHECK:         arith.addi {{.*}} : vector<8xi32>
// CHECK:         arith.addi {{.*}} : vector<4xi32>
// CHECK-COUNT-4: memref.store {{.*}}, %arg2
func.func @dots(%a: memref<?x?xi8, strided<[?, 1]>>, %b: memref<1x?xi8>, %c: memref<?x1xi32>) {
  linalg.generic {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<?x?xi8, strided<[?, 1]>>, memref<1x?xi8>) outs(%c : memref<?x1xi32>) {
  ^bb0(%x: i8, %y: i8, %sum: i32):
    %0 = arith.extsi %x : i8 to i32
    %1 = arith.extsi %y : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %2, %sum : i32
    linalg.yield %3 : i32
  }
  return
}

// C contiguous along m: its transpose is computed, so that @direct's operands change places.
// CHECK-LABEL: func @transposed
// CHECK:      scf.for %{{[a-z0-9]+}} = %c0 to %c64 step %c8
// CHECK-COUNT-16: vector.load %arg2
// CHECK:      memref.load %arg1
func.func @transposed(%a: memref<?x?xf32>, %b: memref<64x?xf32>, %c: memref<64x?xf32>) {
  linalg.generic {indexing_maps = [#km, #nk, #nm], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<?x?xf32>, memref<64x?xf32>) outs(%c : memref<64x?xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %sum, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// Vectors can't address this C: tiles go through a buffer.
// CHECK-LABEL: func @staged
// CHECK-DAG:  %[[TILE:.*]] = memref.alloca() {alignment = 64 : i64} : memref<8x32xf32>
// CHECK:      memref.store %{{.*}}, %[[TILE]]
// CHECK-COUNT-16: vector.load %[[TILE]]
// CHECK:      vector.fma
// CHECK-COUNT-16: vector.store %{{.*}}, %[[TILE]]
// CHECK:      memref.store %{{.*}}, %arg2
func.func @staged(%a: memref<16x64xf32>, %b: memref<64x64xf32>, %c: memref<16x64xf32, strided<[256, 2]>>) {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<16x64xf32>, memref<64x64xf32>) outs(%c : memref<16x64xf32, strided<[256, 2]>>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %sum, %0 : f32
    linalg.yield %1 : f32
  }
  return
}

// Not a product accumulated in a type that we hold in registers, not a product, not on buffers.
// CHECK-LABEL: func @others
// CHECK-COUNT-3: linalg.generic
func.func @others(%a: memref<?x?xf16>, %b: memref<?x?xf16>, %c: memref<?x?xf16>, %t: tensor<8x8xf32>) -> tensor<8x8xf32> {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<?x?xf16>, memref<?x?xf16>) outs(%c : memref<?x?xf16>) {
  ^bb0(%x: f16, %y: f16, %sum: f16):
    %0 = arith.mulf %x, %y : f16
    %1 = arith.addf %sum, %0 : f16
    linalg.yield %1 : f16
  }
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<?x?xf16>, memref<?x?xf16>) outs(%c : memref<?x?xf16>) {
  ^bb0(%x: f16, %y: f16, %best: f16):
    %0 = arith.addf %x, %y : f16
    %1 = arith.maximumf %best, %0 : f16
    linalg.yield %1 : f16
  }
  %r = linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%t, %t : tensor<8x8xf32>, tensor<8x8xf32>) outs(%t : tensor<8x8xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %0 = arith.mulf %x, %y : f32
    %1 = arith.addf %sum, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<8x8xf32>
  return %r : tensor<8x8xf32>
}

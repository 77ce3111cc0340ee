// RUN: tessera-opt %s --tessera-emit-loops=vector-bits=512 --canonicalize --split-input-file | FileCheck %s

// Two vectors at a time, then one, then the rest under a mask.
// CHECK-LABEL: @elementwise
// CHECK: scf.for {{.*}} step %c32
// CHECK-COUNT-2: math.exp {{.*}} : vector<16xf32>
// CHECK: scf.for {{.*}} step %c16
// CHECK: math.exp {{.*}} : vector<16xf32>
// CHECK: scf.if
// CHECK: vector.create_mask
// CHECK: vector.maskedload
// CHECK: vector.maskedstore
func.func @elementwise(%x: memref<?xf32>, %y: memref<?xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%x : memref<?xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = math.exp %a : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// Four partial sums.
// CHECK-LABEL: @reduction
// CHECK: scf.for {{.*}} step %c64 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK: vector.reduction <add>
// CHECK: memref.store
func.func @reduction(%x: memref<?xf32>, %y: memref<f32>) {
  linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>], iterator_types = ["reduction"]}
      ins(%x : memref<?xf32>) outs(%y : memref<f32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// Sums of columns go down the rows with one vector of columns in each accumulator.
// CHECK-LABEL: @columns
// CHECK: scf.for {{.*}} step %c64
// CHECK: scf.for {{.*}} iter_args
// CHECK: arith.addf {{.*}} : vector<16xf32>
// CHECK-NOT: vector.reduction
func.func @columns(%x: memref<?x?xf32>, %y: memref<?xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>],
                  iterator_types = ["reduction", "parallel"]}
      ins(%x : memref<?x?xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// What is read down its columns is transposed, a square at a time, by shuffles.
// CHECK-LABEL: @transpose
// CHECK: %[[BUFFER:.*]] = memref.alloca() {alignment = 64 : i64} : memref<16x16xf32>
// CHECK: scf.for {{.*}} step %c16
// CHECK:   scf.for {{.*}} step %c16
// CHECK-COUNT-16: vector.load {{.*}} : memref<?x?xf32>, vector<16xf32>
// CHECK-COUNT-64: vector.shuffle
// CHECK-COUNT-16: vector.store {{.*}}, %[[BUFFER]]
// CHECK:     scf.for
// CHECK:       %[[ROW:.*]] = vector.load %[[BUFFER]]
// CHECK:       vector.store %[[ROW]], %{{.*}} : memref<?x?xf32>, vector<16xf32>
func.func @transpose(%x: memref<?x?xf32>, %y: memref<?x?xf32>) {
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d1, d0)>, affine_map<(d0, d1) -> (d0, d1)>],
                  iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<?x?xf32>) outs(%y : memref<?x?xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  }
  return
}

// RUN: tessera-opt %s -split-input-file --pass-pipeline="builtin.module(gpu.module(gpu.func(tessera-emit-threads)),canonicalize,cse)" | FileCheck %s

// The row is read once: two vectors a thread, kept for the second use. Sums meet by shuffles, and in shared memory, as
// a row has 64 threads.

gpu.module @norm {
  // CHECK-LABEL: gpu.func @norm
  // CHECK-SAME:    workgroup(%[[SLOTS:.*]] : memref<4xf32, #gpu.address_space<workgroup>>)
  // CHECK:         %[[A:.*]] = vector.load %[[X:.*]][%c0, %{{.*}}] {alignment = 16 : i64} : memref<1x512xf32{{.*}}>, vector<4xf32>
  // CHECK:         %[[B:.*]] = vector.load %[[X]][%c0, %{{.*}}] {alignment = 16 : i64}
  // CHECK-NOT:     vector.load
  // CHECK:         gpu.shuffle xor
  // CHECK:         memref.store %{{.*}}, %[[SLOTS]]
  // CHECK-NEXT:    gpu.barrier
  // CHECK:         memref.load %[[SLOTS]]
  // CHECK:         gpu.shuffle xor
  // CHECK-NOT:     vector.load
  // The row is divided by a number through its reciprocal, with the remainder added; or as it stands, where the number is
  // out of range.
  // CHECK:         arith.divf %{{.*}} : f32
  // CHECK:         %[[USUAL:.*]] = arith.andi
  // CHECK:         scf.if %[[USUAL]] -> (vector<4xf32>) {
  // CHECK:           %[[Q:.*]] = arith.mulf %[[A]]
  // CHECK:           %[[E:.*]] = math.fma %{{.*}}, %[[SUM:.*]], %[[A]]
  // CHECK:           math.fma %[[E]], %{{.*}}, %[[Q]]
  // CHECK:         } else {
  // CHECK-NEXT:      arith.divf %[[A]], %[[SUM]] : vector<4xf32>
  // CHECK:         scf.if
  // CHECK-NEXT:      vector.store %{{.*}} {alignment = 16 : i64}
  // CHECK:         arith.divf %[[B]], %[[SUM]]
  gpu.func @norm(%in: !rt.buffer, %out: !rt.buffer, %M: index, %count: index) kernel
      attributes {known_block_size = array<i32: 128, 1, 1>, tessera.row_threads = 64 : i32, tessera.threads = 128 : i32} {
    %zero = arith.constant 0.0 : f32
    %x = rt.bind %in[%M] : memref<?x512xf32>
    %y = rt.bind %out[%M] : memref<?x512xf32>
    %i = gpu.block_id x
    %a = memref.subview %x[%i, 0] [1, 512] [1, 1] : memref<?x512xf32> to memref<1x512xf32, strided<[512, 1], offset: ?>>
    %b = memref.subview %y[%i, 0] [1, 512] [1, 1] : memref<?x512xf32> to memref<1x512xf32, strided<[512, 1], offset: ?>>
    %sum = memref.alloc() : memref<1xf32>
    linalg.fill ins(%zero : f32) outs(%sum : memref<1xf32>)
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>],
                    iterator_types = ["parallel", "reduction"]}
        ins(%a : memref<1x512xf32, strided<[512, 1], offset: ?>>) outs(%sum : memref<1xf32>) {
    ^bb0(%v: f32, %s: f32):
      %0 = arith.addf %s, %v : f32
      linalg.yield %0 : f32
    }
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>, affine_map<(r, c) -> (r, c)>],
                    iterator_types = ["parallel", "parallel"]}
        ins(%a, %sum : memref<1x512xf32, strided<[512, 1], offset: ?>>, memref<1xf32>)
        outs(%b : memref<1x512xf32, strided<[512, 1], offset: ?>>) {
    ^bb0(%v: f32, %s: f32, %o: f32):
      %0 = arith.divf %v, %s : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

// -----

// A length that is not known: vectors where it is divisible by their lanes, else numbers; in a loop, four at a time.

gpu.module @scale {
  // CHECK-LABEL: gpu.func @scale
  // CHECK-SAME:    index, %[[N:.*]]: index, %{{.*}}: index)
  // CHECK:         %[[REST:.*]] = arith.remui %[[N]], %c4
  // CHECK:         %[[WIDE:.*]] = arith.cmpi eq, %[[REST]], %c0
  // CHECK:         scf.if %[[WIDE]] {
  // CHECK:           scf.for %{{.*}} = %c0 to %[[N]] step %c4096
  // CHECK-COUNT-4:     vector.load {{.*}} {alignment = 16 : i64}
  // CHECK:         } else {
  // CHECK:           scf.for %{{.*}} = %c0 to %[[N]] step %c1024
  // CHECK-COUNT-4:     memref.load
  gpu.func @scale(%in: !rt.buffer, %out: !rt.buffer, %M: index, %N: index, %count: index) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>, tessera.row_threads = 256 : i32, tessera.threads = 256 : i32} {
    %x = rt.bind %in[%M, %N] : memref<?x?xf32>
    %y = rt.bind %out[%M, %N] : memref<?x?xf32>
    %i = gpu.block_id x
    %a = memref.subview %x[%i, 0] [1, %N] [1, 1] : memref<?x?xf32> to memref<1x?xf32, strided<[?, 1], offset: ?>>
    %b = memref.subview %y[%i, 0] [1, %N] [1, 1] : memref<?x?xf32> to memref<1x?xf32, strided<[?, 1], offset: ?>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r, c)>],
                    iterator_types = ["parallel", "parallel"]}
        ins(%a : memref<1x?xf32, strided<[?, 1], offset: ?>>) outs(%b : memref<1x?xf32, strided<[?, 1], offset: ?>>) {
    ^bb0(%v: f32, %o: f32):
      %0 = arith.addf %v, %v : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

// -----

// Any other operation: its elements are divided among the threads, the last dimension fastest, and a barrier follows.

gpu.module @matmul {
  // CHECK-LABEL: gpu.func @matmul
  // CHECK:         %[[THREAD:.*]] = gpu.thread_id x
  // CHECK:         scf.for %[[E:.*]] = %[[THREAD]] to %c1024 step %c256
  // CHECK:           arith.remui %[[E]], %c32
  // CHECK:           arith.divui %[[E]], %c32
  // CHECK:           scf.for %{{.*}} = %c0 to %c16 step %c1 iter_args
  // CHECK:         gpu.barrier
  gpu.func @matmul(%in: !rt.buffer, %in2: !rt.buffer, %out: !rt.buffer, %count: index) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>, tessera.threads = 256 : i32} {
    %a = rt.bind %in[] : memref<32x16xf32>
    %b = rt.bind %in2[] : memref<16x32xf32>
    %c = rt.bind %out[] : memref<32x32xf32>
    linalg.matmul ins(%a, %b : memref<32x16xf32>, memref<16x32xf32>) outs(%c : memref<32x32xf32>)
    gpu.return
  }
}

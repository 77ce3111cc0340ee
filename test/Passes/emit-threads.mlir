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

// -----

// A tile has fewer rows than a block has threads: the lanes of a warp share a row, and meet by shuffles.

gpu.module @rows {
  // CHECK-LABEL: gpu.func @rows
  // CHECK-DAG:     %[[ROW:.*]] = arith.divui %[[THREAD:.*]], %c32
  // CHECK-DAG:     %[[LANE:.*]] = arith.remui %[[THREAD]], %c32
  // CHECK:         scf.for %[[FIRST:.*]] = %c0 to %c64 step %c8 {
  // CHECK:           %[[I:.*]] = arith.addi %[[FIRST]], %[[ROW]]
  // CHECK:           %[[INSIDE:.*]] = arith.andi
  // CHECK:           %[[PART:.*]] = scf.if %[[INSIDE]] -> (f32) {
  // CHECK:             scf.for %[[J:.*]] = %[[LANE]] to %c64 step %c32 iter_args
  // CHECK:               memref.load %{{.*}}[%[[I]], %[[J]]]
  // CHECK:           gpu.shuffle xor %[[PART]], %c16
  // CHECK:           %[[FIRSTLANE:.*]] = arith.cmpi eq, %[[LANE]], %c0
  // CHECK:           %[[STORES:.*]] = arith.andi %[[INSIDE]], %[[FIRSTLANE]]
  // CHECK:           scf.if %[[STORES]] {
  gpu.func @rows(%in: !rt.buffer, %out: !rt.buffer, %M: index, %count: index) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>, tessera.threads = 256 : i32} {
    %x = rt.bind %in[%M] : memref<?x64xf32>
    %y = rt.bind %out[%M] : memref<?xf32>
    %rows = affine.min affine_map<()[s0] -> (s0, 64)>()[%M]
    %a = memref.subview %x[0, 0] [%rows, 64] [1, 1] : memref<?x64xf32> to memref<?x64xf32, strided<[64, 1]>>
    %m = memref.subview %y[0] [%rows] [1] : memref<?xf32> to memref<?xf32, strided<[1]>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>],
                    iterator_types = ["parallel", "reduction"]}
        ins(%a : memref<?x64xf32, strided<[64, 1]>>) outs(%m : memref<?xf32, strided<[1]>>) {
    ^bb0(%v: f32, %s: f32):
      %0 = arith.maximumf %s, %v : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

// -----

// Columns are reduced by threads that read vectors side by side, of 16 rows at a time; in a warp, lanes that are 16 apart
// have the same columns.

gpu.module @columns {
  // CHECK-LABEL: gpu.func @columns
  // CHECK-SAME:    workgroup(%[[SLOTS:.*]] : memref<8x64xf32, #gpu.address_space<workgroup>>
  // CHECK:         %[[WIDE:.*]] = arith.cmpi eq
  // CHECK:         scf.if %[[WIDE]] {
  // CHECK-DAG:       %[[ROW:.*]] = arith.divui %{{.*}}, %c16
  // CHECK:           scf.for %{{.*}} = %[[ROW]] to %{{.*}} step %c128 iter_args
  // CHECK-COUNT-8:     vector.load %{{.*}} {alignment = 16 : i64} : memref<256x64xf32{{.*}}>, vector<4xf32>
  // CHECK-COUNT-4:   gpu.shuffle xor %{{.*}}, %c16
  // CHECK:           %[[PLACE:.*]] = memref.memory_space_cast %[[SLOTS]]
  // CHECK:           vector.store %{{.*}}, %[[PLACE]]
  // CHECK:           gpu.barrier
  // CHECK-COUNT-8:   memref.load %[[SLOTS]]
  // CHECK:         } else {
  // CHECK-NOT:       vector.load
  gpu.func @columns(%in: !rt.buffer, %out: !rt.buffer, %N: index, %count: index) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>, tessera.threads = 256 : i32} {
    %c64 = arith.constant 64 : index
    %x = rt.bind %in[%N] : memref<256x?xf32>
    %y = rt.bind %out[%N] : memref<?xf32>
    %i = gpu.block_id x
    %first = arith.muli %i, %c64 : index
    %a = memref.subview %x[0, %first] [256, 64] [1, 1] : memref<256x?xf32> to memref<256x64xf32, strided<[?, 1], offset: ?>>
    %s = memref.subview %y[%first] [64] [1] : memref<?xf32> to memref<64xf32, strided<[1], offset: ?>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (c)>],
                    iterator_types = ["reduction", "parallel"]}
        ins(%a : memref<256x64xf32, strided<[?, 1], offset: ?>>) outs(%s : memref<64xf32, strided<[1], offset: ?>>) {
    ^bb0(%v: f32, %o: f32):
      %0 = arith.addf %o, %v : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

// -----

// What lies transposed is read in vectors along one side of a square and written along the other; a square that is not
// whole goes by elements.

gpu.module @transpose {
  // CHECK-LABEL: gpu.func @transpose
  // CHECK:         scf.for %{{.*}} = %{{.*}} to %c256 step %c256 {
  // CHECK:           scf.if %{{.*}} {
  // CHECK-COUNT-4:     vector.load %{{.*}} {alignment = 16 : i64} : memref<64x64xf32{{.*}}>, vector<4xf32>
  // CHECK-COUNT-4:     vector.shuffle
  // CHECK-COUNT-4:     vector.store %{{.*}} {alignment = 16 : i64} : memref<64x64xf32{{.*}}>, vector<4xf32>
  // CHECK:           } else {
  // CHECK:             memref.load
  gpu.func @transpose(%in: !rt.buffer, %out: !rt.buffer, %count: index) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>, tessera.threads = 256 : i32} {
    %c64 = arith.constant 64 : index
    %x = rt.bind %in[] : memref<1024x1024xf32>
    %y = rt.bind %out[] : memref<1024x1024xf32>
    %i = gpu.block_id x
    %first = arith.muli %i, %c64 : index
    %a = memref.subview %x[%first, 0] [64, 64] [1, 1] : memref<1024x1024xf32> to memref<64x64xf32, strided<[1024, 1], offset: ?>>
    %b = memref.subview %y[0, %first] [64, 64] [1, 1] : memref<1024x1024xf32> to memref<64x64xf32, strided<[1024, 1], offset: ?>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (c, r)>, affine_map<(r, c) -> (r, c)>],
                    iterator_types = ["parallel", "parallel"]}
        ins(%a : memref<64x64xf32, strided<[1024, 1], offset: ?>>)
        outs(%b : memref<64x64xf32, strided<[1024, 1], offset: ?>>) {
    ^bb0(%v: f32, %o: f32):
      linalg.yield %v : f32
    }
    gpu.return
  }
}

// -----

// Blocks of a cluster share a row: each warp sends its sum to all of them, and a barrier in each counts 8 * 4 words.

gpu.module @cluster [#nvvm.target<chip = "sm_90a">] {
  // CHECK-LABEL: gpu.func @cluster
  // CHECK-SAME:    workgroup(%[[BARRIERS:.*]] : memref<1xi64, #gpu.address_space<workgroup>>, %[[SLOTS:.*]] : memref<32xi32, #gpu.address_space<workgroup>>)
  // CHECK:         scf.if
  // CHECK:           nvvm.mbarrier.init
  // CHECK:           nvvm.mbarrier.arrive.expect_tx %{{.*}}, %c128_i32
  // CHECK:           nvvm.fence.mbarrier.init
  // CHECK:         nvvm.cluster.arrive.relaxed {aligned}
  // CHECK:         vector.load
  // CHECK:         nvvm.cluster.wait {aligned}
  // CHECK:         scf.if
  // CHECK:           nvvm.mapa
  // CHECK:           nvvm.inline_ptx "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32
  // CHECK:         nvvm.mbarrier.try_wait.parity
  // CHECK:         memref.load %[[SLOTS]]
  gpu.func @cluster(%in: !rt.buffer, %out: !rt.buffer, %M: index, %count: index) kernel
      attributes {known_block_size = array<i32: 128, 1, 1>, tessera.cluster = 8 : i32, tessera.row_threads = 128 : i32, tessera.threads = 128 : i32} {
    %zero = arith.constant 0.0 : f32
    %x = rt.bind %in[%M] : memref<?x8192xf32>
    %y = rt.bind %out[%M] : memref<?xf32>
    %i = gpu.cluster_id x
    %a = memref.subview %x[%i, 0] [1, 8192] [1, 1] : memref<?x8192xf32> to memref<1x8192xf32, strided<[8192, 1], offset: ?>>
    %s = memref.subview %y[%i] [1] [1] : memref<?xf32> to memref<1xf32, strided<[1], offset: ?>>
    linalg.fill ins(%zero : f32) outs(%s : memref<1xf32, strided<[1], offset: ?>>)
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>],
                    iterator_types = ["parallel", "reduction"]}
        ins(%a : memref<1x8192xf32, strided<[8192, 1], offset: ?>>) outs(%s : memref<1xf32, strided<[1], offset: ?>>) {
    ^bb0(%v: f32, %o: f32):
      %0 = arith.addf %o, %v : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

// -----

// A reciprocal is allowed: no remainder. The wait for the kernel before comes after what only weights are read for.

gpu.module @relaxed {
  // CHECK-LABEL: gpu.func @relaxed
  // CHECK:         nvvm.griddepcontrol launch_dependents
  // CHECK:         %[[W:.*]] = memref.load
  // CHECK:         %[[R:.*]] = arith.divf %{{.*}}, %[[W]] : f32
  // CHECK:         nvvm.griddepcontrol wait
  // CHECK-NEXT:    %[[X:.*]] = vector.load
  // CHECK:         scf.if
  // CHECK:           %[[B:.*]] = vector.broadcast %[[R]]
  // CHECK-NEXT:      %[[Q:.*]] = arith.mulf %[[X]], %[[B]]
  // CHECK-NEXT:      scf.yield %[[Q]]
  gpu.func @relaxed(%in: !rt.buffer, %out: !rt.buffer, %weight: !rt.buffer {tessera.constant}, %M: index, %count: index) kernel
      attributes {known_block_size = array<i32: 128, 1, 1>, tessera.row_threads = 128 : i32, tessera.threads = 128 : i32, tessera.pdl} {
    %w = rt.bind %weight[] : memref<1xf32>
    %x = rt.bind %in[%M] : memref<?x512xf32>
    %y = rt.bind %out[%M] : memref<?x512xf32>
    %i = gpu.block_id x
    %a = memref.subview %x[%i, 0] [1, 512] [1, 1] : memref<?x512xf32> to memref<1x512xf32, strided<[512, 1], offset: ?>>
    %b = memref.subview %y[%i, 0] [1, 512] [1, 1] : memref<?x512xf32> to memref<1x512xf32, strided<[512, 1], offset: ?>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>, affine_map<(r, c) -> (r, c)>],
                    iterator_types = ["parallel", "parallel"]}
        ins(%a, %w : memref<1x512xf32, strided<[512, 1], offset: ?>>, memref<1xf32>)
        outs(%b : memref<1x512xf32, strided<[512, 1], offset: ?>>) {
    ^bb0(%v: f32, %s: f32, %o: f32):
      %0 = arith.divf %v, %s fastmath<arcp> : f32
      linalg.yield %0 : f32
    }
    gpu.return
  }
}

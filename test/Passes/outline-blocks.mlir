// RUN: tessera-opt %s -split-input-file --pass-pipeline="builtin.module(tessera-outline-blocks{chip=sm_90a},canonicalize)" | FileCheck %s

// A tile of several rows and columns goes to a block of 256 threads; the sizes that it needs are captured.

func.func private @tiles(%in: !rt.buffer, %out: !rt.buffer, %M: index, %N: index)
    attributes {tessera.kind = "elementwise", tessera.tile_dims = array<i64: 0, 1>} {
  %x = rt.bind %in[%M, %N] : memref<?x?xf32>
  %y = rt.bind %out[%M, %N] : memref<?x?xf32>
  scf.forall (%i, %j) = (0, 0) to (%M, %N) step (32, 64) {
    %a = memref.subview %x[%i, %j] [32, 64] [1, 1] : memref<?x?xf32> to memref<32x64xf32, strided<[?, 1], offset: ?>>
    %b = memref.subview %y[%i, %j] [32, 64] [1, 1] : memref<?x?xf32> to memref<32x64xf32, strided<[?, 1], offset: ?>>
    memref.copy %a, %b : memref<32x64xf32, strided<[?, 1], offset: ?>> to memref<32x64xf32, strided<[?, 1], offset: ?>>
  }
  return
}

// CHECK: module attributes {gpu.container_module}
// CHECK-LABEL: func.func private @tiles
// CHECK:         %[[BLOCKS:.*]] = arith.muli
// CHECK:         rt.launch_blocks @kernels::@tiles blocks %[[BLOCKS]](%{{.*}}, %[[BLOCKS]] :
// CHECK:       gpu.module @kernels [#nvvm.target<O = 3, chip = "sm_90a", features = "+ptx80">]
// CHECK:         gpu.func @tiles(%{{.*}}: index{{.*}}) kernel attributes {known_block_size = array<i32: 256, 1, 1>, tessera.pdl, tessera.threads = 256 : i32}
// CHECK:           %[[BLOCK:.*]] = gpu.block_id x
// CHECK:           arith.remui %[[BLOCK]]
// CHECK:           linalg.generic
// CHECK:           gpu.return

// -----

// A row of 64 numbers is worth 16 threads, which read a vector of 4 each: 8 rows go to a block, and those that are not
// there work on the last one.

func.func private @rows(%in: !rt.buffer, %out: !rt.buffer, %M: index)
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %x = rt.bind %in[%M] : memref<?x64xf32>
  %y = rt.bind %out[%M] : memref<?x64xf32>
  scf.forall (%i) in (%M) {
    %a = memref.subview %x[%i, 0] [1, 64] [1, 1] : memref<?x64xf32> to memref<1x64xf32, strided<[64, 1], offset: ?>>
    %b = memref.subview %y[%i, 0] [1, 64] [1, 1] : memref<?x64xf32> to memref<1x64xf32, strided<[64, 1], offset: ?>>
    memref.copy %a, %b : memref<1x64xf32, strided<[64, 1], offset: ?>> to memref<1x64xf32, strided<[64, 1], offset: ?>>
  }
  return
}

// CHECK-LABEL: func.func private @rows
// CHECK:         arith.ceildivui %{{.*}}, %c8
// CHECK:       gpu.func @rows(%{{.*}}: index, %{{.*}}: index) kernel attributes {known_block_size = array<i32: 128, 1, 1>, tessera.pdl, tessera.row_threads = 16 : i32, tessera.threads = 128 : i32}
// CHECK:         %[[LAST:.*]] = arith.{{subi %.*, %c1|addi %.*, %c-1}}
// CHECK:         arith.minui %{{.*}}, %[[LAST]]

// -----

// What is outside of parallel loops is a block of its own.

func.func private @number(%out: !rt.buffer, %N: index)
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64>} {
  %zero = arith.constant 0.0 : f32
  %y = rt.bind %out[%N, %N] : memref<?x?xf32>
  linalg.fill ins(%zero : f32) outs(%y : memref<?x?xf32>)
  return
}

// CHECK-LABEL: func.func private @number
// CHECK:         rt.launch_blocks @kernels::@number blocks %c1(
// CHECK:       gpu.func @number{{.*}} kernel attributes {known_block_size = array<i32: 1024, 1, 1>
// CHECK:         linalg.fill

// -----

// What a block needs beyond its shared memory lies in the device's memory, a part for each.

func.func private @long(%in: !rt.buffer, %out: !rt.buffer, %M: index, %N: index)
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %x = rt.bind %in[%M, %N] : memref<?x2x?xf32>
  %y = rt.bind %out[%M, %N] : memref<?x2x?xf32>
  scf.forall (%i) in (%M) {
    %a = memref.subview %x[%i, 0, 0] [1, 2, %N] [1, 1, 1] : memref<?x2x?xf32> to memref<1x2x?xf32, strided<[?, ?, 1], offset: ?>>
    %b = memref.subview %y[%i, 0, 0] [1, 2, %N] [1, 1, 1] : memref<?x2x?xf32> to memref<1x2x?xf32, strided<[?, ?, 1], offset: ?>>
    %t = memref.alloc(%N) : memref<1x2x?xf32>
    memref.copy %a, %t : memref<1x2x?xf32, strided<[?, ?, 1], offset: ?>> to memref<1x2x?xf32>
    memref.copy %t, %b : memref<1x2x?xf32> to memref<1x2x?xf32, strided<[?, ?, 1], offset: ?>>
  }
  return
}

// CHECK-LABEL: func.func private @long
// CHECK:         %[[ALL:.*]] = rt.scratch
// CHECK:         rt.launch_blocks @kernels::@long
// CHECK:         rt.release %[[ALL]]
// CHECK:       gpu.func @long
// CHECK:         %[[PART:.*]] = rt.slice
// CHECK-NEXT:    rt.bind %[[PART]]

// -----

// A row that one block could not keep goes to a cluster of blocks.

func.func private @cluster(%in: !rt.buffer, %out: !rt.buffer, %M: index)
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %x = rt.bind %in[%M] : memref<?x131072xbf16>
  %y = rt.bind %out[%M] : memref<?xbf16>
  scf.forall (%i) in (%M) {
    %a = memref.subview %x[%i, 0] [1, 131072] [1, 1] : memref<?x131072xbf16> to memref<1x131072xbf16, strided<[131072, 1], offset: ?>>
    %b = memref.subview %y[%i] [1] [1] : memref<?xbf16> to memref<1xbf16, strided<[1], offset: ?>>
    linalg.generic {indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r)>],
                    iterator_types = ["parallel", "reduction"]}
        ins(%a : memref<1x131072xbf16, strided<[131072, 1], offset: ?>>) outs(%b : memref<1xbf16, strided<[1], offset: ?>>) {
    ^bb0(%v: bf16, %o: bf16):
      %0 = arith.maximumf %o, %v : bf16
      linalg.yield %0 : bf16
    }
  }
  return
}

// CHECK-LABEL: func.func private @cluster
// CHECK:         %[[BLOCKS:.*]] = arith.muli %{{.*}}, %c8
// CHECK:         rt.launch_blocks @kernels::@cluster blocks %[[BLOCKS]]
// CHECK:       gpu.func @cluster{{.*}} known_cluster_size = array<i32: 8, 1, 1>{{.*}} tessera.cluster = 8 : i32
// CHECK:         gpu.cluster_id x

// -----

// What one loop leaves for the next lies in the device's memory, in the branch that takes both.

func.func private @stages(%in: !rt.buffer, %out: !rt.buffer, %M: index)
    attributes {tessera.kind = "rowwise", tessera.tile_dims = array<i64: 0>} {
  %many = arith.constant 1000 : index
  %x = rt.bind %in[%M] : memref<?xf32>
  %y = rt.bind %out[%M] : memref<?xf32>
  %isFew = arith.cmpi ult, %M, %many : index
  scf.if %isFew {
    %t = memref.alloc(%M) : memref<?xf32>
    scf.forall (%i) in (%M) {
      %a = memref.subview %x[%i] [1] [1] : memref<?xf32> to memref<1xf32, strided<[1], offset: ?>>
      %b = memref.subview %t[%i] [1] [1] : memref<?xf32> to memref<1xf32, strided<[1], offset: ?>>
      memref.copy %a, %b : memref<1xf32, strided<[1], offset: ?>> to memref<1xf32, strided<[1], offset: ?>>
    }
    scf.forall (%i) in (%M) {
      %a = memref.subview %t[%i] [1] [1] : memref<?xf32> to memref<1xf32, strided<[1], offset: ?>>
      %b = memref.subview %y[%i] [1] [1] : memref<?xf32> to memref<1xf32, strided<[1], offset: ?>>
      memref.copy %a, %b : memref<1xf32, strided<[1], offset: ?>> to memref<1xf32, strided<[1], offset: ?>>
    }
  } else {
    memref.copy %x, %y : memref<?xf32> to memref<?xf32>
  }
  return
}

// CHECK-LABEL: func.func private @stages
// CHECK:         scf.if
// CHECK:           %[[BYTES:.*]] = arith.muli %{{.*}}, %c4
// CHECK:           %[[SHARED:.*]] = rt.scratch %[[BYTES]]
// CHECK:           rt.launch_blocks @kernels::@stages blocks {{.*}}%[[SHARED]]
// CHECK:           rt.launch_blocks @kernels::@stages_1 blocks {{.*}}%[[SHARED]]
// CHECK:           rt.release %[[SHARED]]
// CHECK:         } else {
// CHECK:           rt.launch_blocks @kernels::@stages_2 blocks %c1

// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-emit-matmul{bf16-dot=true},canonicalize,cse))" | FileCheck %s

#mk = affine_map<(m, n, k) -> (m, k)>
#km = affine_map<(m, n, k) -> (k, m)>
#kn = affine_map<(m, n, k) -> (k, n)>
#nk = affine_map<(m, n, k) -> (n, k)>
#mn = affine_map<(m, n, k) -> (m, n)>

// Columns of B hold their pairs already: squares of words are transposed. A is read in place, a word at a time, and a
// half word is left where K is odd.
// CHECK-LABEL: func @words
// CHECK-SAME:  %[[A:[a-z0-9]+]]: memref<128x?xbf16>, %[[B:[a-z0-9]+]]: memref<96x?xbf16>
// CHECK:       %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<128x32xi32>
// CHECK-NOT:   memref.alloca
// CHECK:         vector.load %[[B]]{{.*}} : memref<96x?xbf16>, vector<32xbf16>
// CHECK:         vector.bitcast {{.*}} : vector<32xbf16> to vector<16xi32>
// CHECK-COUNT-64: vector.shuffle {{.*}} : vector<16xi32>, vector<16xi32>
// CHECK-COUNT-16: vector.store {{.*}}, %[[PANEL]]
// CHECK:         scf.for {{.*}} iter_args
// CHECK-COUNT-2:   vector.load %[[PANEL]]{{.*}} vector<16xi32>
// CHECK:           vector.load %[[A]]{{.*}} : memref<128x?xbf16>, vector<2xbf16>
// CHECK:           vector.broadcast {{.*}} : i32 to vector<16xi32>
// CHECK-COUNT-16:  llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"
// CHECK:         scf.if
// CHECK:           memref.load %[[A]]
// CHECK:           arith.extui {{.*}} : i16 to i32
// CHECK:           llvm.call_intrinsic
// CHECK-NOT:   vector.fma
// CHECK:       return
func.func @words(%a: memref<128x?xbf16>, %b: memref<96x?xbf16>, %c: memref<128x96xf32>) {
  linalg.generic {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<128x?xbf16>, memref<96x?xbf16>) outs(%c : memref<128x96xf32>) {
  ^bb0(%x: bf16, %y: bf16, %sum: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %sum, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// Rows of B are interleaved by two. An A that is not contiguous along K is packed word by word, padded where K is odd:
// nothing is left over.
// CHECK-LABEL: func @interleaved
// CHECK-SAME:  %[[A:[a-z0-9]+]]: memref<65x64xbf16>, %[[B:[a-z0-9]+]]: memref<65x64xbf16>
// CHECK-DAG:   %[[PANEL:.*]] = memref.alloca() {alignment = 64 : i64} : memref<128x32xi32>
// CHECK-DAG:   %[[ROWS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<192x128xi32>
// CHECK:       memref.load %[[A]]
// CHECK:       memref.store {{.*}}, %[[ROWS]]
// CHECK:       scf.for {{.*}} = %c0 to %c32 step %c1
// CHECK-COUNT-2: vector.load %[[B]]{{.*}} vector<16xbf16>
// CHECK:         vector.interleave {{.*}} : vector<16xbf16> -> vector<32xbf16>
// CHECK:         vector.store {{.*}}, %[[PANEL]]
// CHECK:       scf.for {{.*}} = %c0 to %c33 step %c1 iter_args
// CHECK:         memref.load %[[ROWS]]
// CHECK-COUNT-16: llvm.call_intrinsic
// CHECK-NOT:   llvm.call_intrinsic
// CHECK:       return
func.func @interleaved(%a: memref<65x64xbf16>, %b: memref<65x64xbf16>, %c: memref<64x64xf32>) {
  linalg.generic {indexing_maps = [#km, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<65x64xbf16>, memref<65x64xbf16>) outs(%c : memref<64x64xf32>) {
  ^bb0(%x: bf16, %y: bf16, %sum: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %sum, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// Few rows: B is read in place, two rows of it at a time.
// CHECK-LABEL: func @thin
// CHECK-NOT:   memref.alloca
// CHECK:       scf.for {{.*}} step %c16
// CHECK:         scf.for {{.*}} = %c0 to %c8 step %c1 iter_args
// CHECK-COUNT-2:   memref.prefetch %arg1
// CHECK-COUNT-2:   vector.load %arg1{{.*}} vector<16xbf16>
// CHECK:           vector.interleave
// CHECK:           vector.load %arg0{{.*}} vector<2xbf16>
// CHECK-COUNT-2:   llvm.call_intrinsic
// CHECK-NOT:   vector.fma
// CHECK:       return
func.func @thin(%a: memref<1x64xbf16>, %b: memref<64x96xbf16>, %c: memref<1x96xf32>) {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<1x64xbf16>, memref<64x96xbf16>) outs(%c : memref<1x96xf32>) {
  ^bb0(%x: bf16, %y: bf16, %sum: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %sum, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// Dot products of 32 numbers at a time.
// CHECK-LABEL: func @dots
// CHECK:       scf.for {{.*}} = %c0 to %c96 step %c32 iter_args
// CHECK:         vector.load %arg1{{.*}} vector<32xbf16>
// CHECK:         vector.load %arg0{{.*}} vector<32xbf16>
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"({{.*}}) : (vector<16xf32>, vector<32xbf16>, vector<32xbf16>) -> vector<16xf32>
// CHECK:       vector.maskedload %arg1{{.*}} vector<32xbf16>
// CHECK:       vector.store {{.*}}, %arg2{{.*}} vector<4xf32>
func.func @dots(%a: memref<1x100xbf16>, %b: memref<96x100xbf16>, %c: memref<1x96xf32>) {
  linalg.generic {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<1x100xbf16>, memref<96x100xbf16>) outs(%c : memref<1x96xf32>) {
  ^bb0(%x: bf16, %y: bf16, %sum: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %sum, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// One operand of f32: the other is made f32 too.
// CHECK-LABEL: func @mixed
// CHECK-NOT:   llvm.call_intrinsic
// CHECK:       vector.fma
func.func @mixed(%a: memref<64x64xf32>, %b: memref<64x64xbf16>, %c: memref<64x64xf32>) {
  linalg.generic {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<64x64xf32>, memref<64x64xbf16>) outs(%c : memref<64x64xf32>) {
  ^bb0(%x: f32, %y: bf16, %sum: f32):
    %0 = arith.extf %y : bf16 to f32
    %1 = arith.mulf %x, %0 : f32
    %2 = arith.addf %sum, %1 : f32
    linalg.yield %2 : f32
  }
  return
}

// Dot products with rows that had to be packed: these are words.
// CHECK-LABEL: func @dots_of_packed_rows
// CHECK:       %[[ROWS:.*]] = memref.alloca() {alignment = 64 : i64} : memref<192x128xi32>
// CHECK:       scf.for {{.*}} step %c32 iter_args
// CHECK:         vector.load %arg1{{.*}} vector<32xbf16>
// CHECK:         arith.divui
// CHECK:         vector.load %[[ROWS]]{{.*}} vector<16xi32>
// CHECK:         llvm.call_intrinsic
// CHECK:       vector.maskedload %[[ROWS]]{{.*}} vector<16xi32>
func.func @dots_of_packed_rows(%a: memref<?x4xbf16>, %b: memref<96x?xbf16>, %c: memref<4x96xf32>) {
  linalg.generic {indexing_maps = [#km, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%a, %b : memref<?x4xbf16>, memref<96x?xbf16>) outs(%c : memref<4x96xf32>) {
  ^bb0(%x: bf16, %y: bf16, %sum: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %sum, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

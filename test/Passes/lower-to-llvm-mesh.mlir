// RUN: tessera-opt %s --tessera-lower-to-llvm | FileCheck %s

// The runtime's functions for a mesh, at their places in its table; an error ends the program.
// CHECK-LABEL: llvm.func internal @mesh
// CHECK:         llvm.getelementptr %{{.*}}[112]
// CHECK:         llvm.call %{{.*}}(%{{.*}}) : !llvm.ptr, (i32) -> i64
// CHECK:         llvm.getelementptr %{{.*}}[96]
// CHECK:         %[[STATUS:.*]] = llvm.call %{{.*}}(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) : !llvm.ptr, (i32, !llvm.ptr, !llvm.ptr, i64) -> i32
// CHECK:         llvm.icmp "ne" %[[STATUS]]
// CHECK:         llvm.getelementptr %{{.*}}[104]
// CHECK:         llvm.call %{{.*}}(%{{.*}}) : !llvm.ptr, (i32) -> i32
func.func @mesh(%a: !rt.buffer, %b: !rt.buffer, %w: !rt.buffer) attributes {tessera.entry, tessera.buffers = 2 : i64, tessera.symbols = []} {
  %i = rt.axis_index 1
  rt.start_collective 3 <all_reduce, axes = [1], ranks = 4> of f32 %a to %b count %i
  rt.copy %w to %w bytes %i
  rt.wait_collective 3 (%a, %b)
  return
}

// One that nothing runs beside is one call.
// CHECK-LABEL: llvm.func internal @at_once
// CHECK-NOT:     llvm.getelementptr %{{.*}}[{{96|104}}]
// CHECK:         llvm.getelementptr %{{.*}}[128]
// CHECK:         %[[STATUS:.*]] = llvm.call %{{.*}}(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) : !llvm.ptr, (i32, !llvm.ptr, !llvm.ptr, i64) -> i32
// CHECK:         llvm.icmp "ne" %[[STATUS]]
// CHECK-NOT:     llvm.getelementptr %{{.*}}[{{96|104}}]
// CHECK-LABEL: llvm.func @at_once
func.func @at_once(%a: !rt.buffer, %b: !rt.buffer, %w: !rt.buffer) attributes {tessera.entry, tessera.buffers = 2 : i64, tessera.symbols = []} {
  %i = rt.axis_index 1
  rt.start_collective 3 <all_reduce, axes = [1], ranks = 4> of f32 %a to %b count %i
  %j = arith.addi %i, %i : index
  rt.wait_collective 3 (%a, %b)
  return
}

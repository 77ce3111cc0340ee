// RUN: tessera-opt %s --tessera-lower-to-llvm | FileCheck %s

// A value that is shown goes with all of its sizes, and what the runtime answers may end the program.
// CHECK-LABEL: llvm.func internal @g.host(
// CHECK-SAME:    %[[X:.+]]: !llvm.ptr, %{{.+}}: !llvm.ptr, %[[N:.+]]: i64)
// CHECK:         %[[SHAPE:.+]] = llvm.alloca {{.*}} x !llvm.struct<(i64, i64)>
// CHECK:         %[[FOUR:.+]] = llvm.mlir.constant(4 : i64)
// CHECK:         %[[FIRST:.+]] = llvm.getelementptr %[[SHAPE]][0, 0]
// CHECK:         llvm.store %[[FOUR]], %[[FIRST]]
// CHECK:         %[[SECOND:.+]] = llvm.getelementptr %[[SHAPE]][0, 1]
// CHECK:         llvm.store %[[N]], %[[SECOND]]
// CHECK:         %[[INDEX:.+]] = llvm.mlir.constant(3 : i32)
// CHECK:         %[[FIELD:.+]] = llvm.getelementptr %{{.+}}[120]
// CHECK:         %[[OBSERVE:.+]] = llvm.load %[[FIELD]]
// CHECK:         %[[STATUS:.+]] = llvm.call %[[OBSERVE]](%[[INDEX]], %[[X]], %[[SHAPE]]) : !llvm.ptr, (i32, !llvm.ptr, !llvm.ptr) -> i32
// CHECK:         %[[WRONG:.+]] = llvm.icmp "ne" %[[STATUS]]
// CHECK:         llvm.cond_br %[[WRONG]], ^[[END:.+]], ^
// CHECK:       ^[[END]]:
// CHECK-NEXT:    llvm.return %[[STATUS]] : i32
func.func @g(%x: !rt.buffer, %workspace: !rt.buffer, %n: index) attributes {tessera.entry} {
  rt.observe 3 of @k, %x[%n] : tensor<4x?xf32>
  return
}

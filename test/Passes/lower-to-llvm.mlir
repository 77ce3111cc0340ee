// RUN: tessera-opt %s --tessera-lower-to-llvm | FileCheck %s

// CHECK: llvm.mlir.global external @tsr_runtime() {{.*}}dso_local
// CHECK: llvm.func internal @f.host(
// CHECK-SAME: -> i32
// CHECK: llvm.cond_br
// CHECK: llvm.call @k(
// CHECK: llvm.func @f.workspace(
// CHECK-NOT: llvm.func internal @f(
func.func private @k.body(%begin: index, %end: index, %x: !rt.buffer) {
  return
}

func.func private @k(%x: !rt.buffer, %n: index) {
  %c1 = arith.constant 1 : index
  rt.parallel_for @k.body count %n grain %c1(%x : !rt.buffer)
  return
}

func.func @f(%x: !rt.buffer, %workspace: !rt.buffer, %n: index) attributes {tessera.entry} {
  %true = arith.constant true
  %c0 = arith.constant 0 : i64
  rt.fail %true, 2030, "wrong"(%c0, %c0)
  rt.launch @k(%x) sizes(%n)
  return
}

func.func @f.workspace(%n: index) -> index attributes {tessera.workspace} {
  return %n : index
}

// RUN: tessera-opt %s --pass-pipeline="builtin.module(func.func(tessera-drop-checks))" | FileCheck %s

// CHECK-LABEL: func.func @value
// CHECK-NOT:     rt.fail
func.func @value(%least: tensor<i64>) {
  %zero = arith.constant 0 : i64
  %0 = tensor.extract %least[] : tensor<i64>
  %1 = arith.cmpi slt, %0, %zero : i64
  rt.fail %1, 2030, "index out of range"(%0, %zero)
  return
}

// What depends on sizes alone stays.
// CHECK-LABEL: func.func @size
// CHECK:         rt.fail
func.func @size(%N: index) {
  %zero = arith.constant 0 : index
  %none = arith.constant 0 : i64
  %0 = arith.cmpi eq, %N, %zero : index
  rt.fail %0, 2030, "nothing to choose from"(%none, %none)
  return
}

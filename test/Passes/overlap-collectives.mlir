// RUN: tessera-opt %s --tessera-overlap-collectives | FileCheck %s

func.func private @f(tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
func.func private @change(tensor<4xf32>) -> tensor<4xf32>

// The second kernel doesn't need the sum, so it runs beside it.
// CHECK-LABEL: func.func @beside(
// CHECK-SAME:    %[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>)
// CHECK:         %[[S:.*]] = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%[[X]]
// CHECK:         %[[B:.*]] = rt.dispatch @f ins(%[[Y]]
// CHECK:         %[[A:.*]] = rt.dispatch @f ins(%[[S]]
// CHECK:         return %[[A]], %[[B]]
func.func @beside(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<4xf32>
  %0 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %1 = rt.dispatch @f ins(%0 : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
  %2 = rt.dispatch @f ins(%y : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
  return %1, %2 : tensor<4xf32>, tensor<4xf32>
}

// A collective begins where its operand is there, after those that came before it.
// CHECK-LABEL: func.func @early(
// CHECK-SAME:    %[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>)
// CHECK:         rt.collective <all_reduce, axes = [0], ranks = 2> ins(%[[Y]]
// CHECK:         rt.collective <all_reduce, axes = [1], ranks = 4> ins(%[[X]]
// CHECK:         rt.dispatch @f ins(%[[X]]
func.func @early(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<4xf32>
  %0 = rt.dispatch @f ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
  %1 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%y : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %2 = rt.collective <all_reduce, axes = [1], ranks = 4> ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %0, %1, %2 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// What is changed in place is not changed earlier, nor what follows from it made earlier.
// CHECK-LABEL: func.func @in_place(
// CHECK:         rt.collective
// CHECK-NEXT:    %[[A:.*]] = rt.dispatch @f
// CHECK-NEXT:    %[[C:.*]] = rt.dispatch @change
// CHECK-NEXT:    rt.dispatch @f ins(%[[C]]
func.func @in_place(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<4xf32>
  %0 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %1 = rt.dispatch @f ins(%0 : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
  %2 = rt.dispatch @change ins() outs(%y : tensor<4xf32>) sizes() -> tensor<4xf32>
  %3 = rt.dispatch @f ins(%2 : tensor<4xf32>) outs(%e : tensor<4xf32>) sizes() -> tensor<4xf32>
  return %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

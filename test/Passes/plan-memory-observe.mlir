// RUN: tessera-opt %s --tessera-plan-memory=observe | FileCheck %s

func.func private @both(tensor<?x4xf32>, tensor<?x4xf32>, tensor<4xi64>, index) -> (tensor<?x4xf32>, tensor<4xi64>) attributes {tessera.kind = "rowwise"}
func.func private @add(tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}

// Every result is shown once its kernel has run, in the memory that it has then; the second one takes over that of the first.
// CHECK-LABEL: func.func @f(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[Y:.+]]: !rt.buffer, %[[I:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         %[[T:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:    rt.launch @both(%[[X]], %[[T]], %[[I]]) sizes(%[[B]])
// CHECK-NEXT:    rt.observe 0 of @both, %[[T]][%[[B]]] : tensor<?x4xf32>
// CHECK-NEXT:    rt.observe 1 of @both, %[[I]][] : tensor<4xi64>
// CHECK-NEXT:    rt.launch @add(%[[T]], %[[X]], %[[Y]]) sizes(%[[B]])
// CHECK-NEXT:    rt.observe 2 of @add, %[[Y]][%[[B]]] : tensor<?x4xf32>
// CHECK-NEXT:    return
// CHECK-LABEL: func.func @f.workspace(
// CHECK-NOT:     rt.observe
func.func @f(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<4xi64>) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %i = tensor.empty() : tensor<4xi64>
  %0:2 = rt.dispatch @both ins(%x : tensor<?x4xf32>) outs(%e, %i : tensor<?x4xf32>, tensor<4xi64>) sizes(%B) -> tensor<?x4xf32>, tensor<4xi64>
  %1 = rt.dispatch @add ins(%0#0, %x : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  return %1, %0#1 : tensor<?x4xf32>, tensor<4xi64>
}

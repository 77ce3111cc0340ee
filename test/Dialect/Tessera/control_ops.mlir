// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK-LABEL: func.func @cond
// CHECK-SAME:    %[[P:.*]]: tensor<i1>, %[[X:.*]]: tensor<?xf32>, %[[Y:.*]]: tensor<?xf32>, %[[N:.*]]: index
func.func @cond(%p: tensor<i1>, %x: tensor<?xf32>, %y: tensor<?xf32>, %n: index) -> tensor<?xf32> {
  // CHECK:      tessera.cond %[[P]] sizes(%[[N]]) then {
  // CHECK-NEXT:   tessera.yield %[[X]] : tensor<?xf32>
  // CHECK-NEXT: } else {
  // CHECK-NEXT:   tessera.yield %[[Y]] : tensor<?xf32>
  // CHECK-NEXT: } : (tensor<i1>) -> tensor<?xf32>
  %0 = tessera.cond %p sizes(%n) then {
    tessera.yield %x : tensor<?xf32>
  } else {
    tessera.yield %y : tensor<?xf32>
  } : (tensor<i1>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// CHECK-LABEL: func.func @while_loop
// CHECK-SAME:    %[[I:.*]]: tensor<i64>, %[[X:.*]]: tensor<?xf32>
func.func @while_loop(%i: tensor<i64>, %x: tensor<?xf32>) -> tensor<?xf32> {
  // CHECK:      tessera.while_loop %[[I]], %[[X]] while {
  // CHECK-NEXT: ^bb0(%[[J:.*]]: tensor<i64>, %{{.*}}: tensor<?xf32>):
  // CHECK-NEXT:   %[[MORE:.*]] = tessera.compare "lt", %[[J]], %[[I]]
  // CHECK-NEXT:   tessera.yield %[[MORE]] : tensor<i1>
  // CHECK-NEXT: } do {
  // CHECK:        tessera.yield %{{.*}}, %{{.*}} : tensor<i64>, tensor<?xf32>
  // CHECK-NEXT: } : tensor<i64>, tensor<?xf32>
  %0:2 = tessera.while_loop %i, %x while {
  ^bb0(%j: tensor<i64>, %a: tensor<?xf32>):
    %more = tessera.compare "lt", %j, %i : (tensor<i64>, tensor<i64>) -> tensor<i1>
    tessera.yield %more : tensor<i1>
  } do {
  ^bb0(%j: tensor<i64>, %a: tensor<?xf32>):
    %next = tessera.neg %a : tensor<?xf32>
    tessera.yield %j, %next : tensor<i64>, tensor<?xf32>
  } : tensor<i64>, tensor<?xf32>
  return %0#1 : tensor<?xf32>
}

// CHECK-LABEL: func.func @scan
// CHECK-SAME:    %[[X:.*]]: tensor<4xf32>, %[[XS:.*]]: tensor<?x4xf32>, %[[N:.*]]: index
func.func @scan(%x: tensor<4xf32>, %xs: tensor<?x4xf32>, %n: index) -> (tensor<4xf32>, tensor<?xf32>) {
  // CHECK:      tessera.scan(%[[X]], %[[XS]]) length = %[[N]] carry = 1 {
  // CHECK-NEXT: ^bb0(%[[SUM:.*]]: tensor<4xf32>, %[[SLICE:.*]]: tensor<4xf32>):
  // CHECK:        tessera.yield %{{.*}}, %{{.*}} : tensor<4xf32>, tensor<f32>
  // CHECK-NEXT: } : (tensor<4xf32>, tensor<?x4xf32>) -> (tensor<4xf32>, tensor<?xf32>)
  %0:2 = tessera.scan(%x, %xs) length = %n carry = 1 {
  ^bb0(%sum: tensor<4xf32>, %slice: tensor<4xf32>):
    %next = tessera.add %sum, %slice : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    %total = tessera.reduce_sum %next dims = [0] : tensor<4xf32> -> tensor<f32>
    tessera.yield %next, %total : tensor<4xf32>, tensor<f32>
  } : (tensor<4xf32>, tensor<?x4xf32>) -> (tensor<4xf32>, tensor<?xf32>)
  return %0#0, %0#1 : tensor<4xf32>, tensor<?xf32>
}

// CHECK-LABEL: func.func @scan_of_dynamic_slices
// CHECK-SAME:    %{{.*}}: tensor<?x?xf32>, %[[N:.*]]: index, %[[D:.*]]: index
func.func @scan_of_dynamic_slices(%xs: tensor<?x?xf32>, %n: index, %d: index) -> tensor<?x?xf32> {
  // CHECK: tessera.scan(%{{.*}}) length = %[[N]] sizes(%[[D]]) carry = 0 {
  %0 = tessera.scan(%xs) length = %n sizes(%d) carry = 0 {
  ^bb0(%slice: tensor<?xf32>):
    tessera.yield %slice : tensor<?xf32>
  } : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

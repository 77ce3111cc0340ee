// RUN: tessera-opt %s --mlir-print-op-generic | tessera-opt | FileCheck %s

// CHECK: func.func private @k(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32>
func.func private @k(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32>
func.func private @constant(tensor<4xf32>) -> tensor<4xf32>
func.func private @launched(!rt.buffer, !rt.buffer, index)
func.func private @body(index, index, !rt.buffer, index)

// CHECK-LABEL: func.func @tensors
// CHECK-SAME:    %[[X:.*]]: tensor<?xf32>, %[[N:.*]]: index
func.func @tensors(%x: tensor<?xf32>, %n: index) -> (tensor<?xf32>, tensor<4xf32>) {
  // CHECK: %[[E:.*]] = tensor.empty(%[[N]])
  %e = tensor.empty(%n) : tensor<?xf32>
  // CHECK: rt.dispatch @k ins(%[[X]] : tensor<?xf32>) outs(%[[E]] : tensor<?xf32>) sizes(%[[N]]) -> tensor<?xf32>
  %0 = rt.dispatch @k ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>) sizes(%n) -> tensor<?xf32>
  %f = tensor.empty() : tensor<4xf32>
  // CHECK: rt.dispatch @constant ins() outs(%{{.*}} : tensor<4xf32>) sizes() -> tensor<4xf32>
  %1 = rt.dispatch @constant ins() outs(%f : tensor<4xf32>) sizes() -> tensor<4xf32>
  return %0, %1 : tensor<?xf32>, tensor<4xf32>
}

// CHECK-LABEL: func.func @buffers
// CHECK-SAME:    %[[B:.*]]: !rt.buffer, %[[N:.*]]: index, %[[P:.*]]: i1, %[[V:.*]]: i64, %[[F:.*]]: f32
func.func @buffers(%b: !rt.buffer, %n: index, %p: i1, %v: i64, %f: f32) -> i64 {
  // CHECK: %[[S:.*]] = rt.slice %[[B]][%[[N]]]
  %s = rt.slice %b [%n]
  // CHECK: rt.bind %[[S]][%[[N]]] : memref<?x4xf32>
  %m = rt.bind %s [%n] : memref<?x4xf32>
  // CHECK: rt.launch @launched(%[[B]], %[[S]]) sizes(%[[N]])
  rt.launch @launched(%b, %s) sizes(%n)
  // CHECK: rt.copy %[[B]] to %[[S]] bytes %[[N]]
  rt.copy %b to %s bytes %n
  // CHECK: rt.load %[[B]] : i64
  %0 = rt.load %b : i64
  // CHECK: rt.fail %[[P]], 7, "index %0 is out of range"(%[[V]], %[[V]])
  rt.fail %p, 7, "index %0 is out of range" (%v, %v)
  // CHECK: rt.observe 3 of @k, %[[B]][%[[N]]] : tensor<?x4xbf16>
  rt.observe 3 of @k, %b[%n] : tensor<?x4xbf16>
  // CHECK: rt.work %[[N]]
  rt.work %n
  // CHECK: rt.parallel_for @body count %[[N]] grain %[[N]](%[[B]], %[[N]] : !rt.buffer, index)
  rt.parallel_for @body count %n grain %n (%b, %n : !rt.buffer, index)
  // CHECK: rt.libm 10(%[[F]], %[[F]]) : f32
  %1 = rt.libm 10 (%f, %f) : f32
  return %0 : i64
}

// CHECK-LABEL: func.func @collectives
// CHECK-SAME:    %[[X:.*]]: tensor<3x5xf32>, %[[B:.*]]: !rt.buffer, %[[N:.*]]: index
func.func @collectives(%x: tensor<3x5xf32>, %b: !rt.buffer, %n: index) -> (tensor<4x3x5xf32>, tensor<3x5xf32>, index) {
  // CHECK: %[[E:.*]] = tensor.empty() : tensor<4x3x5xf32>
  %e = tensor.empty() : tensor<4x3x5xf32>
  // CHECK: rt.collective <all_gather, axes = [1], ranks = 4> ins(%[[X]] : tensor<3x5xf32>) outs(%[[E]] : tensor<4x3x5xf32>) -> tensor<4x3x5xf32>
  %0 = rt.collective <all_gather, axes = [1], ranks = 4> ins(%x : tensor<3x5xf32>) outs(%e : tensor<4x3x5xf32>) -> tensor<4x3x5xf32>
  %f = tensor.empty() : tensor<3x5xf32>
  // CHECK: rt.collective <reduce_scatter, axes = [0, 2], ranks = 4, reduction = max> ins(%{{.*}} : tensor<4x3x5xf32>)
  %1 = rt.collective <reduce_scatter, axes = [0, 2], ranks = 4, reduction = max> ins(%0 : tensor<4x3x5xf32>) outs(%f : tensor<3x5xf32>) -> tensor<3x5xf32>
  // CHECK: rt.axis_index 2
  %2 = rt.axis_index 2
  // CHECK: rt.start_collective 0 <shift, axes = [1], ranks = 4, offset = -1, periodic = true> of f32 %[[B]] to %[[B]] count %[[N]]
  rt.start_collective 0 <shift, axes = [1], ranks = 4, offset = -1, periodic = true> of f32 %b to %b count %n
  // CHECK: rt.start_collective 1 <broadcast, axes = [1], ranks = 4, root = 3> of i8 %[[B]] to %[[B]] count %[[N]]
  rt.start_collective 1 <broadcast, axes = [1], ranks = 4, root = 3> of i8 %b to %b count %n
  // CHECK: rt.wait_collective 0(%[[B]], %[[B]])
  rt.wait_collective 0 (%b, %b)
  return %0, %1, %2 : tensor<4x3x5xf32>, tensor<3x5xf32>, index
}

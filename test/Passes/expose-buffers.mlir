// RUN: tessera-opt %s --tessera-expose-buffers | FileCheck %s

// CHECK-LABEL: func.func private @k(
// CHECK-SAME: %[[X:.*]]: !rt.buffer, %[[OUT:.*]]: !rt.buffer, %[[N:.*]]: index)
// CHECK-DAG: %[[A:.*]] = rt.bind %[[X]][%[[N]]] : memref<?xf32>
// CHECK-DAG: bufferization.to_tensor %[[A]] restrict : memref<?xf32>
// CHECK-DAG: %[[B:.*]] = rt.bind %[[OUT]][%[[N]]] : memref<?xf32>
// CHECK-DAG: bufferization.to_tensor %[[B]] restrict writable : memref<?xf32>
// CHECK: bufferization.materialize_in_destination %{{.*}} in restrict writable %[[B]]
func.func private @k(%x: tensor<?xf32>, %out: tensor<?xf32>, %n: index) -> tensor<?xf32>
    attributes {tessera.kind = "elementwise"} {
  tessera.bind_shape %x [%n] : tensor<?xf32>
  tessera.bind_shape %out [%n] : tensor<?xf32>
  %0 = linalg.copy ins(%x : tensor<?xf32>) outs(%out : tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// Each piece of a result has a destination of its own.
// CHECK-LABEL: func.func private @pieces(
// CHECK:      %[[OUT:.*]] = rt.bind %{{.*}} : memref<8xf32>
// CHECK-DAG:  %[[A:.*]] = memref.subview %[[OUT]][0] [4] [1]
// CHECK-DAG:  %[[TA:.*]] = bufferization.to_tensor %[[A]] restrict writable
// CHECK-DAG:  %[[B:.*]] = memref.subview %[[OUT]][4] [4] [1]
// CHECK-DAG:  %[[TB:.*]] = bufferization.to_tensor %[[B]] restrict writable
// CHECK:      %[[R:.*]]:2 = linalg.generic {{.*}} outs(%[[TA]], %[[TB]] :
// CHECK-NOT:  tensor.insert_slice
// CHECK:      bufferization.materialize_in_destination %[[R]]#0 in restrict writable %[[A]]
// CHECK:      bufferization.materialize_in_destination %[[R]]#1 in restrict writable %[[B]]
#id = affine_map<(d0) -> (d0)>
func.func private @pieces(%x: tensor<4xf32>, %out: tensor<8xf32>) -> tensor<8xf32> attributes {tessera.kind = "elementwise"} {
  %a = tensor.extract_slice %out[0] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %b = tensor.extract_slice %out[4] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %0:2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf32>) outs(%a, %b : tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%i: f32, %j: f32, %k: f32):
    linalg.yield %i, %i : f32, f32
  } -> (tensor<4xf32>, tensor<4xf32>)
  %1 = tensor.insert_slice %0#0 into %out[0] [4] [1] : tensor<4xf32> into tensor<8xf32>
  %2 = tensor.insert_slice %0#1 into %1[4] [4] [1] : tensor<4xf32> into tensor<8xf32>
  return %2 : tensor<8xf32>
}

// The kernel reads its destination elsewhere, so there is one.
// CHECK-LABEL: func.func private @reads_destination(
// CHECK:      %[[OUT:.*]] = rt.bind
// CHECK-NOT:  memref.subview
// CHECK:      bufferization.materialize_in_destination %{{.*}} in restrict writable %[[OUT]]
func.func private @reads_destination(%out: tensor<8xf32>) -> tensor<8xf32> attributes {tessera.kind = "elementwise"} {
  %a = tensor.extract_slice %out[2] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %0 = tensor.insert_slice %a into %out[4] [4] [1] : tensor<4xf32> into tensor<8xf32>
  return %0 : tensor<8xf32>
}

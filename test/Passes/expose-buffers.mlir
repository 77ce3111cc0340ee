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

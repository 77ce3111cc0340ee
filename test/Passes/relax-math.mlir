// RUN: tessera-opt %s --tessera-relax-math --split-input-file | FileCheck %s

#row = affine_map<(d0, d1) -> (d0, d1)>
#number = affine_map<(d0, d1) -> (d0)>
#vector = affine_map<(d0) -> (d0)>

// A softmax of which 16 bits are kept: also what is summed need not be exact.
// CHECK-LABEL: func.func @softmax
// CHECK:         math.exp %{{.*}} fastmath<afn> : f32
// CHECK:         arith.divf %{{.*}}, %{{.*}} fastmath<arcp> : f32
func.func @softmax(%x: tensor<4x8xbf16>, %e: tensor<4x8xf32>, %s: tensor<4xf32>, %o: tensor<4x8xbf16>) -> tensor<4x8xbf16> {
  %0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xbf16>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%in: bf16, %out: f32):
    %w = arith.extf %in : bf16 to f32
    %v = math.exp %w : f32
    linalg.yield %v : f32
  } -> tensor<4x8xf32>
  %1 = linalg.generic {indexing_maps = [#row, #number], iterator_types = ["parallel", "reduction"]} ins(%0 : tensor<4x8xf32>) outs(%s : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %v = arith.addf %out, %in : f32
    linalg.yield %v : f32
  } -> tensor<4xf32>
  %2 = linalg.generic {indexing_maps = [#row, #number, #row], iterator_types = ["parallel", "parallel"]} ins(%0, %1 : tensor<4x8xf32>, tensor<4xf32>) outs(%o : tensor<4x8xbf16>) {
  ^bb0(%in: f32, %sum: f32, %out: bf16):
    %v = arith.divf %in, %sum : f32
    %n = arith.truncf %v : f32 to bf16
    linalg.yield %n : bf16
  } -> tensor<4x8xbf16>
  return %2 : tensor<4x8xbf16>
}

// -----

#row = affine_map<(d0, d1) -> (d0, d1)>
#number = affine_map<(d0, d1) -> (d0)>

// The sum is a result as well, and so exact, and what it adds up.
// CHECK-LABEL: func.func @also_the_sum
// CHECK:         math.exp %{{[^ ]*}} : f32
// CHECK:         arith.divf %{{.*}} fastmath<arcp> : f32
func.func @also_the_sum(%x: tensor<4x8xf32>, %s: tensor<4xf32>, %o: tensor<4x8xbf16>) -> (tensor<4x8xbf16>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<4x8xf32>
  %0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %v = math.exp %in : f32
    linalg.yield %v : f32
  } -> tensor<4x8xf32>
  %1 = linalg.generic {indexing_maps = [#row, #number], iterator_types = ["parallel", "reduction"]} ins(%0 : tensor<4x8xf32>) outs(%s : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %v = arith.addf %out, %in : f32
    linalg.yield %v : f32
  } -> tensor<4xf32>
  %2 = linalg.generic {indexing_maps = [#row, #number, #row], iterator_types = ["parallel", "parallel"]} ins(%0, %1 : tensor<4x8xf32>, tensor<4xf32>) outs(%o : tensor<4x8xbf16>) {
  ^bb0(%in: f32, %sum: f32, %out: bf16):
    %v = arith.divf %in, %sum : f32
    %n = arith.truncf %v : f32 to bf16
    linalg.yield %n : bf16
  } -> tensor<4x8xbf16>
  return %2, %1 : tensor<4x8xbf16>, tensor<4xf32>
}

// -----

#vector = affine_map<(d0) -> (d0)>

// What jumps makes a large error of a small one.
// CHECK-LABEL: func.func @rounded_down
// CHECK:         arith.divf %{{[^ ]*}}, %{{[^ ]*}} : f32
func.func @rounded_down(%x: tensor<8xf32>, %y: tensor<8xf32>, %o: tensor<8xbf16>) -> tensor<8xbf16> {
  %0 = linalg.generic {indexing_maps = [#vector, #vector, #vector], iterator_types = ["parallel"]} ins(%x, %y : tensor<8xf32>, tensor<8xf32>) outs(%o : tensor<8xbf16>) {
  ^bb0(%a: f32, %b: f32, %out: bf16):
    %q = arith.divf %a, %b : f32
    %f = math.floor %q : f32
    %n = arith.truncf %f : f32 to bf16
    linalg.yield %n : bf16
  } -> tensor<8xbf16>
  return %0 : tensor<8xbf16>
}

// -----

#vector = affine_map<(d0) -> (d0)>

// What a comparison sees is exact, as is what comes out wide by way of a slice; not what is only moved and narrowed.
// CHECK-LABEL: func.func @seen
// CHECK:         math.exp %{{[^ ]*}} : f32
// CHECK:         arith.cmpf
// CHECK:         math.exp %{{[^ ]*}} : f32
// CHECK:         math.exp %{{[^ ]*}} fastmath<afn> : f32
func.func @seen(%x: tensor<8xf32>, %c: tensor<8xi1>, %o: tensor<4xbf16>) -> (tensor<8xi1>, tensor<4xf32>, tensor<4xbf16>) {
  %e = tensor.empty() : tensor<8xf32>
  %0 = linalg.generic {indexing_maps = [#vector, #vector], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%c : tensor<8xi1>) {
  ^bb0(%in: f32, %out: i1):
    %v = math.exp %in : f32
    %b = arith.cmpf olt, %v, %in : f32
    linalg.yield %b : i1
  } -> tensor<8xi1>
  %1:2 = linalg.generic {indexing_maps = [#vector, #vector, #vector], iterator_types = ["parallel"]} ins(%x : tensor<8xf32>) outs(%e, %e : tensor<8xf32>, tensor<8xf32>) {
  ^bb0(%in: f32, %out: f32, %other: f32):
    %v = math.exp %in : f32
    %m = arith.negf %in : f32
    %w = math.exp %m : f32
    linalg.yield %v, %w : f32, f32
  } -> (tensor<8xf32>, tensor<8xf32>)
  %wide = tensor.extract_slice %1#0[0] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %part = tensor.extract_slice %1#1[2] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %2 = linalg.generic {indexing_maps = [#vector, #vector], iterator_types = ["parallel"]} ins(%part : tensor<4xf32>) outs(%o : tensor<4xbf16>) {
  ^bb0(%in: f32, %out: bf16):
    %n = arith.truncf %in : f32 to bf16
    linalg.yield %n : bf16
  } -> tensor<4xbf16>
  return %0, %wide, %2 : tensor<8xi1>, tensor<4xf32>, tensor<4xbf16>
}

// RUN: tessera-opt %s --pass-pipeline="builtin.module(gpu.module(tessera-lower-to-nvvm),reconcile-unrealized-casts)" | FileCheck %s

// Dynamic shared memory is one external array, mathematical functions are libdevice's.

// CHECK-LABEL: gpu.module @kernels
// CHECK:         llvm.mlir.global external @shared_memory() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
// CHECK:         llvm.func @__nv_expf(f32) -> f32
// CHECK:         llvm.func @k(%{{.*}}: !llvm.ptr, %{{.*}}: i64)
// CHECK-SAME:    nvvm.kernel
// CHECK:           llvm.mlir.addressof @shared_memory : !llvm.ptr<3>
// CHECK:           nvvm.read.ptx.sreg.tid.x
// CHECK:           llvm.call @__nv_expf
gpu.module @kernels {
  gpu.func @k(%x: !rt.buffer, %n: index) kernel {
    %zero = arith.constant 0 : index
    %m = rt.bind %x[%n] : memref<?xf32>
    %shared = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %s = memref.view %shared[%zero][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<128xf32, #gpu.address_space<workgroup>>
    %t = gpu.thread_id x
    %v = memref.load %m[%t] : memref<?xf32>
    %e = math.exp %v : f32
    memref.store %e, %s[%t] : memref<128xf32, #gpu.address_space<workgroup>>
    gpu.return
  }
}

// An exponential of which few bits are wanted is one instruction, of two to the power of a product.

// CHECK-LABEL: gpu.module @relaxed
// CHECK-NOT:     __nv_expf
// CHECK:         %[[X:.*]] = llvm.fmul %{{.*}}, %{{.*}} : f32
// CHECK:         llvm.inline_asm asm_dialect = att "ex2.approx.ftz.f32 $0, $1;", "=f,f" %[[X]] : (f32) -> f32
// CHECK-COUNT-4: llvm.inline_asm asm_dialect = att "ex2.approx.ftz.f32
gpu.module @relaxed {
  gpu.func @k(%x: !rt.buffer, %v: vector<4xf32>) kernel {
    %zero = arith.constant 0 : index
    %m = rt.bind %x[] : memref<8xf32>
    %a = memref.load %m[%zero] : memref<8xf32>
    %e = math.exp %a fastmath<afn> : f32
    memref.store %e, %m[%zero] : memref<8xf32>
    %w = math.exp %v fastmath<afn> : vector<4xf32>
    vector.store %w, %m[%zero] : memref<8xf32>, vector<4xf32>
    gpu.return
  }
}

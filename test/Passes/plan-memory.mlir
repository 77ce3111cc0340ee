// RUN: tessera-opt %s --split-input-file --verify-diagnostics --tessera-plan-memory | FileCheck %s

// Kernels are left alone; what they do doesn't matter here.
// CHECK: func.func private @copy(tensor<?x4xf32>, tensor<?x4xf32>, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}
func.func private @copy(tensor<?x4xf32>, tensor<?x4xf32>, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}
func.func private @add(tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}
func.func private @narrow(tensor<?x4xf32>, tensor<?x4xbf16>, index) -> tensor<?x4xbf16> attributes {tessera.kind = "elementwise"}
func.func private @widen(tensor<?x4xbf16>, tensor<?x4xf32>, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}
func.func private @pack(tensor<?x4xf32>, tensor<?x4xf32>, index, index) -> tensor<?x4xf32> attributes {tessera.kind = "elementwise"}
func.func private @test(tensor<?x4xf32>, tensor<i8>, index) -> tensor<i8> attributes {tessera.kind = "rowwise"}
func.func private @fixed(tensor<100xf32>, tensor<100xf32>) -> tensor<100xf32> attributes {tessera.kind = "elementwise"}
func.func private @flat(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32> attributes {tessera.kind = "elementwise"}

// The last of a chain is computed in the output; the others take turns in two slots.
// CHECK-LABEL: func.func @straight_line(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer {tessera.name = "x"}, %[[OUT:.+]]: !rt.buffer {tessera.name = "y"}, %[[WS:[^ ]+]]: !rt.buffer, %[[B:[^ ]+]]: index)
// CHECK-SAME:    attributes {tessera.buffers = 2 : i64, tessera.entry, tessera.symbols = ["B"]}
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[BYTES:.+]] = arith.muli %[[B]], %{{.+}} : index
// CHECK-DAG:     %[[ROUND:.+]] = arith.addi
// CHECK-DAG:     %[[SLOT:.+]] = arith.andi %[[ROUND]]
// CHECK:         %[[T0:.+]] = rt.slice %[[WS]][%[[C0]]]
// CHECK-NEXT:    rt.launch @copy(%[[X]], %[[T0]]) sizes(%[[B]])
// CHECK-NEXT:    %[[T1:.+]] = rt.slice %[[WS]][%[[SLOT]]]
// CHECK-NEXT:    rt.launch @copy(%[[T0]], %[[T1]]) sizes(%[[B]])
// CHECK-NEXT:    rt.launch @add(%[[T1]], %[[X]], %[[T0]]) sizes(%[[B]])
// CHECK-NEXT:    rt.launch @copy(%[[T0]], %[[OUT]]) sizes(%[[B]])
// CHECK-NEXT:    return
// CHECK-LABEL: func.func @straight_line.workspace(
// CHECK-SAME:    %[[B:.+]]: index) -> index attributes {tessera.workspace}
// CHECK:         %[[SLOT:.+]] = arith.andi
// CHECK-NEXT:    %[[TOTAL:.+]] = arith.addi %[[SLOT]], %[[SLOT]] : index
// CHECK-NEXT:    return %[[TOTAL]] : index
func.func @straight_line(%x: tensor<?x4xf32> {tessera.name = "x"}) -> (tensor<?x4xf32> {tessera.name = "y"}) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %0 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %1 = rt.dispatch @copy ins(%0 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %2 = rt.dispatch @add ins(%1, %x : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %3 = rt.dispatch @copy ins(%2 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  return %3 : tensor<?x4xf32>
}

// A collective runs beside what does not need it: the wait comes before the first use of what it makes, or before its
// source is changed, and its memory is taken until then.
// CHECK-LABEL: func.func @collective(
// CHECK-SAME:    %[[X:[^ ]+]]: !rt.buffer, %[[Y:[^ ]+]]: !rt.buffer, %[[OUT:[^ ]+]]: !rt.buffer, %[[WS:[^ ]+]]: !rt.buffer, %[[B:[^ ]+]]: index)
// CHECK:         %[[T0:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:    rt.launch @copy(%[[X]], %[[T0]])
// CHECK:         %[[T1:.+]] = rt.slice %[[WS]]
// CHECK:         rt.start_collective 0 <all_reduce, axes = [0], ranks = 2> of f32 %[[T0]] to %[[T1]] count %{{.+}}
// CHECK:         %[[T2:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:    rt.launch @copy(%[[Y]], %[[T2]])
// CHECK:         rt.wait_collective 0(%[[T0]], %[[T1]])
// CHECK:         rt.launch @add(%[[T1]], %[[T2]], %[[OUT]])
func.func @collective(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  tessera.bind_shape %y[%B] : tensor<?x4xf32>
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %0 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %1 = rt.collective <all_reduce, axes = [0], ranks = 2> ins(%0 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %2 = rt.dispatch @copy ins(%y : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %3 = rt.dispatch @add ins(%1, %2 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  return %3 : tensor<?x4xf32>
}


// Sizes that need not be ordered have slots of their own: S rows and then T rows, both dead before the last kernel.
// CHECK-LABEL: func.func @unordered(
// CHECK-SAME:    %[[WS:[^ ]+]]: !rt.buffer, %[[S:[^ ]+]]: index, %[[T:[^ ]+]]: index) attributes {tessera.buffers = 4 : i64,
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[SLOT:.+]] = arith.andi
// CHECK:         rt.slice %[[WS]][%[[C0]]]
// CHECK:         rt.slice %[[WS]][%[[SLOT]]]
func.func @unordered(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) attributes {tessera.entry} {
  %S = tessera.symbol "S"
  %T = tessera.symbol "T"
  tessera.bind_shape %x[%S] : tensor<?x4xf32>
  tessera.bind_shape %y[%T] : tensor<?x4xf32>
  %s = tensor.empty(%S) : tensor<?x4xf32>
  %t = tensor.empty(%T) : tensor<?x4xf32>
  %0 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%s : tensor<?x4xf32>) sizes(%S) -> tensor<?x4xf32>
  %1 = rt.dispatch @copy ins(%0 : tensor<?x4xf32>) outs(%s : tensor<?x4xf32>) sizes(%S) -> tensor<?x4xf32>
  %2 = rt.dispatch @copy ins(%y : tensor<?x4xf32>) outs(%t : tensor<?x4xf32>) sizes(%T) -> tensor<?x4xf32>
  %3 = rt.dispatch @copy ins(%2 : tensor<?x4xf32>) outs(%t : tensor<?x4xf32>) sizes(%T) -> tensor<?x4xf32>
  return %1, %3 : tensor<?x4xf32>, tensor<?x4xf32>
}

// Half the size is ordered whatever B is, and so is a constant against a symbol's maximum: one slot
// is enough for 8 * B, 16 * B and 400 bytes.
// CHECK-LABEL: func.func @ordered(
// CHECK-SAME:    %[[WS:[^ ]+]]: !rt.buffer, %[[B:[^ ]+]]: index)
// CHECK-NEXT:    %[[C0:.+]] = arith.constant 0 : index
// CHECK-NEXT:    %[[T:.+]] = rt.slice %[[WS]][%[[C0]]]
// CHECK-NEXT:    rt.launch @narrow(%{{.+}}, %[[T]])
// CHECK-NEXT:    rt.launch @widen(%[[T]], %{{.+}})
// CHECK-NEXT:    rt.launch @copy(%{{.+}}, %[[T]])
// CHECK-NEXT:    rt.launch @copy(%[[T]], %{{.+}})
// CHECK-NEXT:    rt.launch @fixed(%{{.+}}, %[[T]])
// CHECK-NEXT:    rt.launch @fixed(%[[T]], %{{.+}})
// CHECK-LABEL: func.func @ordered.workspace(
// CHECK-NEXT:    %[[TOTAL:.+]] = arith.constant 448 : index
// CHECK-NEXT:    return %[[TOTAL]]
func.func @ordered(%x: tensor<?x4xf32>, %y: tensor<100xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<100xf32>) attributes {tessera.entry} {
  %B = tessera.symbol "B" {max = 25 : i64}
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %h = tensor.empty(%B) : tensor<?x4xbf16>
  %f = tensor.empty() : tensor<100xf32>
  %0 = rt.dispatch @narrow ins(%x : tensor<?x4xf32>) outs(%h : tensor<?x4xbf16>) sizes(%B) -> tensor<?x4xbf16>
  %1 = rt.dispatch @widen ins(%0 : tensor<?x4xbf16>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %2 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %3 = rt.dispatch @copy ins(%2 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %4 = rt.dispatch @fixed ins(%y : tensor<100xf32>) outs(%f : tensor<100xf32>) sizes() -> tensor<100xf32>
  %5 = rt.dispatch @fixed ins(%4 : tensor<100xf32>) outs(%f : tensor<100xf32>) sizes() -> tensor<100xf32>
  return %1, %3, %5 : tensor<?x4xf32>, tensor<?x4xf32>, tensor<100xf32>
}

// CHECK-LABEL: func.func @argument_returned(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %{{[^ ]+}}: !rt.buffer, %[[B:.+]]: index)
// CHECK:         %[[C16:.+]] = arith.constant 16 : index
// CHECK:         %[[BYTES:.+]] = arith.muli %[[B]], %[[C16]] : index
// CHECK-NEXT:    rt.copy %[[X]] to %[[OUT]] bytes %[[BYTES]]
// CHECK-NEXT:    return
// CHECK-LABEL: func.func @argument_returned.workspace(
// CHECK:         %[[C0:.+]] = arith.constant 0 : index
// CHECK-NEXT:    return %[[C0]] : index
func.func @argument_returned(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  return %x : tensor<?x4xf32>
}

// The first output is computed, the second is copied from it; a view of it lies in the same memory.
// CHECK-LABEL: func.func @returned_twice(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT0:.+]]: !rt.buffer, %[[OUT1:.+]]: !rt.buffer, %[[OUT2:.+]]: !rt.buffer, %[[WS:[^ ]+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         rt.launch @copy(%[[X]], %[[OUT0]]) sizes(%[[B]])
// CHECK-NEXT:    rt.copy %[[OUT0]] to %[[OUT1]] bytes %[[BYTES:.+]]
// CHECK-NEXT:    rt.copy %[[OUT0]] to %[[OUT2]] bytes %[[BYTES]]
// CHECK-NEXT:    return
func.func @returned_twice(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xf32>) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %c4 = arith.constant 4 : index
  %n = arith.muli %B, %c4 : index
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %0 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %1 = tessera.reshape %0[%n] : tensor<?x4xf32> -> tensor<?xf32>
  return %0, %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xf32>
}

// A view costs nothing, also on the way to an output.
// CHECK-LABEL: func.func @view(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         %[[N:.+]] = arith.muli
// CHECK:         rt.launch @flat(%[[X]], %[[OUT]]) sizes(%[[N]])
// CHECK-NEXT:    return
func.func @view(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %c4 = arith.constant 4 : index
  %n = arith.muli %B, %c4 : index
  %e = tensor.empty(%n) : tensor<?xf32>
  %0 = tessera.reshape %x[%n] : tensor<?x4xf32> -> tensor<?xf32>
  %1 = rt.dispatch @flat ins(%0 : tensor<?xf32>) outs(%e : tensor<?xf32>) sizes(%n) -> tensor<?xf32>
  %2 = tessera.reshape %1[%B] : tensor<?xf32> -> tensor<?x4xf32>
  return %2 : tensor<?x4xf32>
}

// Parts are written into the output one after another.
// CHECK-LABEL: func.func @concat(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK-NOT:     rt.copy
// CHECK:         rt.launch @pack(%[[X]], %[[OUT]])
// CHECK-NEXT:    rt.launch @pack(%[[X]], %[[OUT]])
// CHECK-NEXT:    return
func.func @concat(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %n = arith.addi %B, %B : index
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %0 = rt.dispatch @pack ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B, %n) -> tensor<?x4xf32>
  %1 = rt.dispatch @pack ins(%x : tensor<?x4xf32>) outs(%0 : tensor<?x4xf32>) sizes(%B, %n) -> tensor<?x4xf32>
  return %1 : tensor<?x4xf32>
}

// Neither an argument nor a tensor that is read later is changed in place.
// CHECK-LABEL: func.func @not_in_place(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT0:.+]]: !rt.buffer, %[[OUT1:.+]]: !rt.buffer, %[[WS:[^ ]+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         rt.copy %[[X]] to %[[OUT0]]
// CHECK-NEXT:    rt.launch @pack(%[[X]], %[[OUT0]])
// CHECK-NEXT:    rt.copy %[[OUT0]] to %[[OUT1]]
// CHECK-NEXT:    rt.launch @pack(%[[X]], %[[OUT1]])
// CHECK-NEXT:    return
func.func @not_in_place(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %0 = rt.dispatch @pack ins(%x : tensor<?x4xf32>) outs(%x : tensor<?x4xf32>) sizes(%B, %B) -> tensor<?x4xf32>
  %1 = rt.dispatch @pack ins(%x : tensor<?x4xf32>) outs(%0 : tensor<?x4xf32>) sizes(%B, %B) -> tensor<?x4xf32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}

// Carried tensors are exchanged through a temporary; carried numbers stay.
// CHECK-LABEL: func.func @swap(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[Y:.+]]: !rt.buffer, %[[OUT0:.+]]: !rt.buffer, %[[OUT1:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         rt.copy %[[X]] to %[[OUT0]]
// CHECK-NEXT:    rt.copy %[[Y]] to %[[OUT1]]
// CHECK-NEXT:    scf.for %[[I:.+]] = %{{.+}} to %[[B]] step %{{.+}} iter_args(%[[N:.+]] = %{{.+}}) -> (index)
// CHECK-NEXT:      %[[NEXT:.+]] = arith.addi %[[N]], %[[I]]
// CHECK-NEXT:      %[[T:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:      rt.copy %[[OUT1]] to %[[T]]
// CHECK-NEXT:      rt.copy %[[OUT0]] to %[[OUT1]]
// CHECK-NEXT:      rt.copy %[[T]] to %[[OUT0]]
// CHECK-NEXT:      scf.yield %[[NEXT]] : index
func.func @swap(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  tessera.bind_shape %y[%B] : tensor<?x4xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0:3 = scf.for %i = %c0 to %B step %c1 iter_args(%a = %x, %n = %c0, %b = %y) -> (tensor<?x4xf32>, index, tensor<?x4xf32>) {
    %m = arith.addi %n, %i : index
    scf.yield %b, %m, %a : tensor<?x4xf32>, index, tensor<?x4xf32>
  }
  return %0#0, %0#2 : tensor<?x4xf32>, tensor<?x4xf32>
}

// The loop begins in its initial value's memory, which is the output's, changes one tensor in place, and computes
// another straight into the memory of the old one, which only the first kernel reads. Buffers of one iteration share.
// CHECK-LABEL: func.func @loop_in_place(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT0:.+]]: !rt.buffer, %[[OUT1:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         rt.launch @copy(%[[X]], %[[OUT0]])
// CHECK-NEXT:    scf.for
// CHECK-NEXT:      %[[T0:.+]] = rt.slice %[[WS]][%[[S0:.+]]]
// CHECK-NEXT:      rt.launch @copy(%[[OUT0]], %[[T0]])
// CHECK-NEXT:      rt.launch @pack(%[[OUT0]], %[[OUT1]])
// CHECK-NEXT:      %[[T1:.+]] = rt.slice %[[WS]][%[[S1:.+]]]
// CHECK-NEXT:      rt.launch @copy(%[[T0]], %[[T1]])
// CHECK-NEXT:      rt.launch @copy(%[[T1]], %[[T0]])
// CHECK-NEXT:      rt.launch @copy(%[[T0]], %[[OUT0]])
// CHECK-NEXT:    }
// CHECK-NEXT:    return
func.func @loop_in_place(%x: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %0 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %1:2 = scf.for %i = %c0 to %B step %c1 iter_args(%a = %0, %b = %e) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
    %2 = rt.dispatch @copy ins(%a : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    %3 = rt.dispatch @pack ins(%a : tensor<?x4xf32>) outs(%b : tensor<?x4xf32>) sizes(%i, %B) -> tensor<?x4xf32>
    %4 = rt.dispatch @copy ins(%2 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    %5 = rt.dispatch @copy ins(%4 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    %6 = rt.dispatch @copy ins(%5 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    scf.yield %6, %3 : tensor<?x4xf32>, tensor<?x4xf32>
  }
  return %1#0, %1#1 : tensor<?x4xf32>, tensor<?x4xf32>
}

// What is read within a loop lives through all of it: the two tensors before the loop may not share with any in it.
// CHECK-LABEL: func.func @live_through_loop(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK-DAG:     %[[C0:.+]] = arith.constant 0 : index
// CHECK-DAG:     %[[SLOT:.+]] = arith.andi
// CHECK:         %[[W:.+]] = rt.slice %[[WS]][%[[C0]]]
// CHECK:         scf.for
// CHECK-NEXT:      %[[T:.+]] = rt.slice %[[WS]][%[[SLOT]]]
// CHECK-NEXT:      rt.launch @add(%[[W]], %[[OUT]], %[[T]])
// CHECK-NEXT:      rt.launch @copy(%[[T]], %[[OUT]])
func.func @live_through_loop(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty(%B) : tensor<?x4xf32>
  %w = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
  %0 = scf.for %i = %c0 to %B step %c1 iter_args(%a = %x) -> (tensor<?x4xf32>) {
    %1 = rt.dispatch @add ins(%w, %a : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    %2 = rt.dispatch @copy ins(%1 : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    scf.yield %2 : tensor<?x4xf32>
  }
  return %0 : tensor<?x4xf32>
}

// Each branch writes the result: by a copy of what is older, by its kernel otherwise.
// CHECK-LABEL: func.func @branch(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[P:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         %[[BYTE:.+]] = rt.load %[[P]] : i8
// CHECK-NEXT:    %[[TRUTH:.+]] = arith.trunci %[[BYTE]]
// CHECK-NEXT:    %[[N:.+]] = scf.if %[[TRUTH]] -> (index) {
// CHECK-NEXT:      rt.copy %[[X]] to %[[OUT]]
// CHECK-NEXT:      scf.yield %[[B]] : index
// CHECK-NEXT:    } else {
// CHECK-NEXT:      rt.launch @copy(%[[X]], %[[OUT]])
// CHECK-NEXT:      scf.yield
// CHECK-NEXT:    }
func.func @branch(%x: tensor<?x4xf32>, %p: tensor<i8>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %c0 = arith.constant 0 : index
  %byte = tensor.extract %p[] : tensor<i8>
  %truth = arith.trunci %byte : i8 to i1
  %0:2 = scf.if %truth -> (tensor<?x4xf32>, index) {
    scf.yield %x, %B : tensor<?x4xf32>, index
  } else {
    %e = tensor.empty(%B) : tensor<?x4xf32>
    %1 = rt.dispatch @copy ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    scf.yield %1, %c0 : tensor<?x4xf32>, index
  }
  return %0#0 : tensor<?x4xf32>
}

// The predicate's memory has the size of one byte, rounded up. The body reads the carried tensor while it computes the
// next one, so that is copied.
// CHECK-LABEL: func.func @repeat(
// CHECK-SAME:    %[[X:.+]]: !rt.buffer, %[[OUT:.+]]: !rt.buffer, %[[WS:.+]]: !rt.buffer, %[[B:.+]]: index)
// CHECK:         rt.copy %[[X]] to %[[OUT]]
// CHECK-NEXT:    scf.while : () -> () {
// CHECK-NEXT:      %[[P:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:      rt.launch @test(%[[OUT]], %[[P]]) sizes(%[[B]])
// CHECK-NEXT:      %[[BYTE:.+]] = rt.load %[[P]] : i8
// CHECK-NEXT:      %[[TRUTH:.+]] = arith.trunci %[[BYTE]]
// CHECK-NEXT:      scf.condition(%[[TRUTH]])
// CHECK-NEXT:    } do {
// CHECK-NEXT:      %[[T:.+]] = rt.slice %[[WS]]
// CHECK-NEXT:      rt.launch @copy(%[[OUT]], %[[T]])
// CHECK-NEXT:      rt.copy %[[T]] to %[[OUT]]
// CHECK-NEXT:      scf.yield
// CHECK-NEXT:    }
// CHECK-NEXT:    return
func.func @repeat(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?x4xf32>
  %0 = scf.while (%a = %x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
    %e = tensor.empty() : tensor<i8>
    %1 = rt.dispatch @test ins(%a : tensor<?x4xf32>) outs(%e : tensor<i8>) sizes(%B) -> tensor<i8>
    %byte = tensor.extract %1[] : tensor<i8>
    %truth = arith.trunci %byte : i8 to i1
    scf.condition(%truth) %a : tensor<?x4xf32>
  } do {
  ^bb0(%a: tensor<?x4xf32>):
    %e = tensor.empty(%B) : tensor<?x4xf32>
    %1 = rt.dispatch @copy ins(%a : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) sizes(%B) -> tensor<?x4xf32>
    scf.yield %1 : tensor<?x4xf32>
  }
  return %0 : tensor<?x4xf32>
}

// -----

func.func private @copy(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32> attributes {tessera.kind = "elementwise"}

// A size that the host computes from data isn't known when the workspace is made.
func.func @size_from_loop(%x: tensor<?xf32>) -> tensor<?xf32> attributes {tessera.entry} {
  %B = tessera.symbol "B"
  tessera.bind_shape %x[%B] : tensor<?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @below {{expected a size of memory to be made of symbols; got an argument of a region}}
  %0 = scf.for %i = %c0 to %B step %c1 iter_args(%a = %x) -> (tensor<?xf32>) {
    %e = tensor.empty(%i) : tensor<?xf32>
    %1 = rt.dispatch @copy ins(%a : tensor<?xf32>) outs(%e : tensor<?xf32>) sizes(%i) -> tensor<?xf32>
    %2 = rt.dispatch @copy ins(%1 : tensor<?xf32>) outs(%a : tensor<?xf32>) sizes(%B) -> tensor<?xf32>
    scf.yield %2 : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

// -----

// expected-error @below {{expected ranked tensors as arguments and results; got 'index'}}
func.func @number(%n: index) attributes {tessera.entry} {
  return
}

// -----

func.func @float_read(%x: tensor<f32>) -> tensor<f32> attributes {tessera.entry} {
  // expected-error @below {{expected the host to read only integers of rank 0; got 'tensor<f32>'}}
  %0 = tensor.extract %x[] : tensor<f32>
  return %x : tensor<f32>
}

// -----

func.func @computed_on_host(%x: tensor<4xf32>) -> tensor<4xf32> attributes {tessera.entry} {
  // expected-error @below {{expected only dispatches, collectives, views, reads of scalars, loops, branches and index arithmetic in a host function; got 'tessera.exp'}}
  %0 = tessera.exp %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func private @copy(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32>

// A donated argument is changed in place, and so is the result.
// CHECK-LABEL: func.func @donated(
// CHECK-SAME:    %[[X:[^ ]+]]: !rt.buffer {tessera.donated}, %[[Y:[^ ]+]]: !rt.buffer, %{{[^ ]+}}: !rt.buffer {tessera.alias = 0 : i64}
// CHECK-NEXT:    rt.launch @copy(%[[Y]], %[[X]])
// CHECK-NEXT:    return
func.func @donated(%x: tensor<?xf32> {tessera.donated}, %y: tensor<?xf32>) -> (tensor<?xf32> {tessera.alias = 0}) attributes {tessera.entry} {
  %N = tessera.symbol "N"
  tessera.bind_shape %x[%N] : tensor<?xf32>
  tessera.bind_shape %y[%N] : tensor<?xf32>
  %0 = rt.dispatch @copy ins(%y : tensor<?xf32>) outs(%x : tensor<?xf32>) sizes(%N) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----

func.func private @copy(tensor<?xf32>, tensor<?xf32>, index) -> tensor<?xf32>

func.func @donated_and_read_later(%x: tensor<?xf32> {tessera.donated}, %y: tensor<?xf32>) -> (tensor<?xf32> {tessera.alias = 0}, tensor<?xf32>) attributes {tessera.entry} {
  %N = tessera.symbol "N"
  tessera.bind_shape %x[%N] : tensor<?xf32>
  tessera.bind_shape %y[%N] : tensor<?xf32>
  %e = tensor.empty(%N) : tensor<?xf32>
  // expected-note @+2 {{the argument is used here}}
  // expected-error @+1 {{a donated argument is copied: expected result 0 to change it in place, got a use of the argument after the change}}
  %0 = rt.dispatch @copy ins(%y : tensor<?xf32>) outs(%x : tensor<?xf32>) sizes(%N) -> tensor<?xf32>
  // expected-note @+1 {{the argument is used here}}
  %1 = rt.dispatch @copy ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>) sizes(%N) -> tensor<?xf32>
  return %0, %1 : tensor<?xf32>, tensor<?xf32>
}

/* Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 * Opens an artifact and calls one of its entries, with no Python and no compiler around:
 *
 *     python -c "import tessera; print(tessera.__path__[0])"          # prints DIR
 *     cc run_artifact.c -IDIR/include -LDIR/lib -ltessera_runtime -Wl,-rpath,DIR/lib -o run_artifact
 *     ./run_artifact rms_norm.tsr rms_norm B=2 S=16 D=64
 *
 * Every argument is filled with 0, 1, 2, ...; the first elements of every result are printed. */
#include "tessera/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 16, MAX_SYMBOLS = 16, SHOWN = 8 };

/* The library never prints and never exits: what to do with an error is the caller's choice. */
static void check(int32_t status) {
  if (status != 0) {
    fprintf(stderr, "%s\n", tsr_last_error());
    exit(1);
  }
}

static const char *dtype_name(tsr_dtype dtype) {
  if (dtype.code == TSR_FLOAT)
    return dtype.bits == 32 ? "f32" : dtype.bits == 64 ? "f64" : "f16";
  if (dtype.code == TSR_INT)
    return dtype.bits == 64 ? "int64" : dtype.bits == 32 ? "int32" : dtype.bits == 16 ? "int16" : "int8";
  return "another dtype";
}

static double read_number(const tsr_tensor *tensor, int64_t index) {
  if (tensor->dtype.code == TSR_FLOAT && tensor->dtype.bits == 32)
    return ((const float *)tensor->data)[index];
  if (tensor->dtype.code == TSR_FLOAT && tensor->dtype.bits == 64)
    return ((const double *)tensor->data)[index];
  if (tensor->dtype.code == TSR_INT && tensor->dtype.bits == 32)
    return ((const int32_t *)tensor->data)[index];
  return 0;
}

static void write_number(tsr_tensor *tensor, int64_t index, int number) {
  if (tensor->dtype.code == TSR_FLOAT && tensor->dtype.bits == 32)
    ((float *)tensor->data)[index] = (float)number;
  else if (tensor->dtype.code == TSR_FLOAT && tensor->dtype.bits == 64)
    ((double *)tensor->data)[index] = number;
  else if (tensor->dtype.code == TSR_INT && tensor->dtype.bits == 32)
    ((int32_t *)tensor->data)[index] = number;
}

static int64_t count(const tsr_tensor *tensor) {
  int64_t elements = 1;
  for (int32_t i = 0; i < tensor->ndim; ++i)
    elements *= tensor->shape[i];
  return elements;
}

/* A tensor of zeros over pooled, aligned memory; `shape` stays the caller's. */
static tsr_tensor make_tensor(tsr_dtype dtype, int32_t ndim, int64_t *shape) {
  tsr_tensor tensor = {NULL, {TSR_CPU, 0}, ndim, dtype, shape, NULL, 0};
  int64_t bytes = count(&tensor) * dtype.bits / 8;
  tensor.data = tsr_allocate(bytes);
  if (!tensor.data)
    exit(1);
  memset(tensor.data, 0, (size_t)bytes);
  return tensor;
}

static void print_type(const tsr_tensor *tensor) {
  printf("%s[", dtype_name(tensor->dtype));
  for (int32_t i = 0; i < tensor->ndim; ++i)
    printf("%s%lld", i ? ", " : "", (long long)tensor->shape[i]);
  printf("]");
}

/* "B=2" into a name (in place) and a size. */
static tsr_dim parse_dim(char *text) {
  tsr_dim dim = {text, -1};
  char *equals = strchr(text, '=');
  if (equals) {
    *equals = '\0';
    dim.size = strtoll(equals + 1, NULL, 10);
  }
  return dim;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s ARTIFACT.tsr ENTRY [SYMBOL=SIZE ...]\n", argv[0]);
    return 2;
  }
  tsr_program *program;
  tsr_entry *entry;
  check(tsr_open(argv[1], NULL, &program));
  check(tsr_program_entry(program, argv[2], &entry));

  /* The sizes of the arguments are the caller's to choose; here they come from the command line. */
  tsr_dim dims[MAX_SYMBOLS];
  int32_t num_dims = 0;
  for (int i = 3; i < argc && num_dims < MAX_SYMBOLS; ++i)
    dims[num_dims++] = parse_dim(argv[i]);
  int64_t workspace;
  check(tsr_workspace_size(entry, dims, num_dims, &workspace));

  tsr_entry_info info = {0};
  info.struct_size = sizeof info;
  check(tsr_entry_get_info(entry, &info));
  tsr_tensor inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  const tsr_tensor *input_list[MAX_TENSORS], *output_list[MAX_TENSORS];
  int64_t shapes[2 * MAX_TENSORS][TSR_MAX_RANK], symbols[MAX_SYMBOLS];
  if (info.num_arguments > MAX_TENSORS || info.num_outputs > MAX_TENSORS || info.num_symbols > MAX_SYMBOLS)
    return 2;

  printf("%s(", info.name);
  for (int32_t i = 0; i < info.num_arguments; ++i) {
    tsr_value_info value = {0};
    value.struct_size = sizeof value;
    check(tsr_entry_argument(entry, i, &value));
    /* For brevity, the dynamic dims of each argument are the symbols in the order of the command line. */
    for (int32_t j = 0, next = 0; j < value.ndim; ++j)
      shapes[i][j] = value.shape[j] != TSR_DYNAMIC ? value.shape[j] : next < num_dims ? dims[next++].size : 1;
    inputs[i] = make_tensor(value.dtype, value.ndim, shapes[i]);
    for (int64_t j = 0; j < count(&inputs[i]); ++j)
      write_number(&inputs[i], j, (int)j);
    input_list[i] = &inputs[i];
    printf("%s%s: ", i ? ", " : "", value.name);
    print_type(&inputs[i]);
  }
  const char *target = tsr_entry_target(entry);
  printf(") on %s, %lld bytes of workspace\n", target ? target : "a GPU", (long long)workspace);

  /* Checks everything, and tells the sizes that the results' shapes are computed from. */
  check(tsr_entry_bind(entry, input_list, info.num_arguments, symbols));
  for (int32_t i = 0; i < info.num_outputs; ++i) {
    tsr_value_info value = {0};
    value.struct_size = sizeof value;
    check(tsr_entry_output(entry, i, &value));
    int64_t *shape = shapes[MAX_TENSORS + i];
    check(tsr_entry_output_shape(entry, i, symbols, shape));
    outputs[i] = make_tensor(value.dtype, value.ndim, shape);
    output_list[i] = &outputs[i];
  }

  tsr_call_args args = {0};
  args.struct_size = sizeof args;
  args.num_inputs = info.num_arguments;
  args.num_outputs = info.num_outputs;
  args.inputs = input_list;
  args.outputs = output_list;
  args.symbols = symbols;
  check(tsr_entry_call(entry, &args));

  for (int32_t i = 0; i < info.num_outputs; ++i) {
    printf("output %d: ", (int)i);
    print_type(&outputs[i]);
    printf(" =");
    for (int64_t j = 0; j < count(&outputs[i]) && j < SHOWN; ++j)
      printf(" %g", read_number(&outputs[i], j));
    printf(count(&outputs[i]) > SHOWN ? " ...\n" : "\n");
    tsr_free(outputs[i].data);
  }
  for (int32_t i = 0; i < info.num_arguments; ++i)
    tsr_free(inputs[i].data);
  tsr_program_release(program);
  return 0;
}

/* Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 * The C ABI of Tessera's runtime: open an artifact (.tsr), query it, call its entries.
 *
 * - Functions that can fail return int32_t: 0, or an error number (the table is runtime/errors.def); the thread's
 * message is tsr_last_error(). Nothing is printed, no exception crosses this boundary, the process is never ended (but
 * see tsr_mesh_leave).
 * - Structs that may grow start with struct_size, which the caller sets to sizeof; fields are only ever appended.
 * - Tensors are DLPack's, under names of our own, so that this header can stand beside any version of dlpack.h.
 *   A DLTensor * may be cast to tsr_tensor *, a DLManagedTensorVersioned * to tsr_managed_tensor *.
 * - Every function may be called from several threads at once, also on one entry. */
#ifndef TESSERA_RUNTIME_H
#define TESSERA_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#if defined(TESSERA_RUNTIME_BUILD)
#define TSR_EXPORT __attribute__((visibility("default")))
#else
#define TSR_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TSR_ABI_VERSION 1u
#define TSR_MAX_RANK 64

/* ---- Tensors: DLPack 1.x ---------------------------------------------------------------------------------------- */

/* DLDataTypeCode, as far as Tessera has dtypes for it. */
enum {
  TSR_INT = 0,
  TSR_UINT = 1,
  TSR_FLOAT = 2,
  TSR_BFLOAT = 4,
  TSR_BOOL = 6,
  TSR_FLOAT8_E4M3FN = 10,
  TSR_FLOAT8_E5M2 = 12
};

/* DLDeviceType, as far as the runtime knows what to do with it. */
enum { TSR_CPU = 1, TSR_CUDA = 2, TSR_CUDA_HOST = 3 };

typedef struct tsr_dtype {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} tsr_dtype;

typedef struct tsr_device {
  int32_t type;
  int32_t id;
} tsr_device;

typedef struct tsr_tensor {
  void *data;
  tsr_device device;
  int32_t ndim;
  tsr_dtype dtype;
  int64_t *shape;
  int64_t *strides; /* in elements; NULL: row-major contiguous */
  uint64_t byte_offset;
} tsr_tensor;

typedef struct tsr_managed_tensor {
  struct {
    uint32_t major, minor;
  } version;
  void *manager_ctx;
  void (*deleter)(struct tsr_managed_tensor *self);
  uint64_t flags; /* bit 0: read-only */
  tsr_tensor tensor;
} tsr_managed_tensor;

/* ---- Errors and versions ---------------------------------------------------------------------------------------- */

/* The message of this thread's latest failure, "[TSR2008] ...". Valid until the thread's next failure. */
TSR_EXPORT const char *tsr_last_error(void);
/* One line on what an error number means; NULL for a number that is not in the table. */
TSR_EXPORT const char *tsr_error_meaning(int32_t number);
TSR_EXPORT uint32_t tsr_abi_version(void);

/* ---- This machine ----------------------------------------------------------------------------------------------- */

/* CPU features that code may use here, in LLVM's names ("avx512f"), separated by commas. */
TSR_EXPORT const char *tsr_host_features(void);
/* The best CPU target for this machine: "cpu:avx512", "cpu:avx2" or "cpu". */
TSR_EXPORT const char *tsr_native_target(void);

typedef struct tsr_gpu_info {
  uint32_t struct_size;
  const char *name;   /* the driver's */
  const char *target; /* the best target for it, such as "sm_90a" */
  int64_t memory;     /* bytes */
} tsr_gpu_info;

/* GPUs that the CUDA driver finds; 0 where there is no driver, which is opened (libcuda.so.1, or the path in the
 * environment variable TESSERA_LIBCUDA) when a GPU is asked for first. */
TSR_EXPORT int32_t tsr_gpu_count(void);
TSR_EXPORT int32_t tsr_gpu(int32_t id, tsr_gpu_info *info);

/* ---- Programs: an opened artifact ------------------------------------------------------------------------------- */

typedef struct tsr_program tsr_program;
typedef struct tsr_entry tsr_entry;

enum { TSR_OPEN_VERIFY_WEIGHTS = 1 }; /* hash weights too: reads the whole file */

typedef struct tsr_open_options {
  uint32_t struct_size;
  uint32_t flags;
  const char *target; /* NULL, or the only target whose code is used */
} tsr_open_options;

/* Opens an artifact; code is loaded when an entry is prepared. The file stays mapped: replace it, don't rewrite it in
 * place. options may be NULL. */
TSR_EXPORT int32_t tsr_open(const char *path, const tsr_open_options *options, tsr_program **program);
/* The same from memory; the bytes are copied. */
TSR_EXPORT int32_t tsr_open_memory(const void *bytes, size_t size, const tsr_open_options *options,
                                   tsr_program **program);
/* A program starts with one reference, lives until the last is released, and owns its entries. NULL is ignored. */
TSR_EXPORT void tsr_program_retain(tsr_program *program);
TSR_EXPORT void tsr_program_release(tsr_program *program);

/* manifest.json as written; not NUL-terminated; lives as long as the program. */
TSR_EXPORT int32_t tsr_program_manifest(const tsr_program *program, const char **json, size_t *size);
TSR_EXPORT int32_t tsr_program_entry_count(const tsr_program *program);
/* NULL when index is out of range. */
TSR_EXPORT const char *tsr_program_entry_name(const tsr_program *program, int32_t index);
TSR_EXPORT int32_t tsr_program_entry(tsr_program *program, const char *name, tsr_entry **entry);

TSR_EXPORT int32_t tsr_program_weight_count(const tsr_program *program);
TSR_EXPORT const char *tsr_program_weight_name(const tsr_program *program, int32_t index);
/* A view of a weight's present value, which lives until it is set again or the program ends. */
TSR_EXPORT int32_t tsr_program_weight(tsr_program *program, const char *name, tsr_tensor *value);
/* Gives a weight a value; waits for calls in flight. On success the program owns the tensor and runs its deleter when
 * the value is replaced or the program ends; on failure it stays the caller's. A GPU gets a copy when a call there
 * first needs one. A tensor on a GPU is used in place by calls there, whose streams it must be ready for. */
TSR_EXPORT int32_t tsr_program_set_weight(tsr_program *program, const char *name, tsr_managed_tensor *tensor);

/* ---- Entries: signature ----------------------------------------------------------------------------------------- */

typedef struct tsr_entry_info {
  uint32_t struct_size;
  int32_t num_arguments; /* inputs that a call passes; weights are not among them */
  int32_t num_outputs;
  int32_t num_symbols;
  const char *name;
  int32_t num_ranks; /* of the mesh that it runs on; 0: on none */
} tsr_entry_info;

enum { TSR_DYNAMIC = -1 }; /* a dim that depends on symbols */

typedef struct tsr_value_info {
  uint32_t struct_size;
  int32_t ndim;
  tsr_dtype dtype;
  int32_t donated; /* an argument that the call changes in place, or may write results over */
  const char *name;
  const char *source;   /* "file.py:12", or "" */
  const int64_t *shape; /* static sizes, or TSR_DYNAMIC */
  int32_t alias;        /* of an output: the donated argument that it is, changed; -1: an array of its own */
} tsr_value_info;

typedef struct tsr_symbol_info {
  uint32_t struct_size;
  const char *name;
  int64_t min, max, multiple_of;
} tsr_symbol_info;

TSR_EXPORT int32_t tsr_entry_get_info(const tsr_entry *entry, tsr_entry_info *info);
TSR_EXPORT int32_t tsr_entry_argument(const tsr_entry *entry, int32_t index, tsr_value_info *info);
TSR_EXPORT int32_t tsr_entry_output(const tsr_entry *entry, int32_t index, tsr_value_info *info);
TSR_EXPORT int32_t tsr_entry_symbol(const tsr_entry *entry, int32_t index, tsr_symbol_info *info);

/* ---- Entries: calls --------------------------------------------------------------------------------------------- */

/* Where a call's workspace comes from, when not from the runtime's own cache. */
typedef struct tsr_allocator {
  uint32_t struct_size;
  void *context;
  void *(*allocate)(void *context, int64_t bytes, int64_t alignment, tsr_device device, void *stream);
  void (*release)(void *context, void *memory, int64_t bytes, tsr_device device, void *stream);
} tsr_allocator;

/* Who watches a call. Times are taken of calls alone that ask for them, which then wait for their stream. */
typedef struct tsr_observer {
  uint32_t struct_size;
  void *context;
  /* NULL, or called once for each kernel that ran on the call's GPU, in order, when the call is done. On a CPU, for
   * each kernel of a program for debugging; otherwise once for the whole call, under the entry's name. */
  void (*on_kernel)(void *context, const char *name, double microseconds);
  /* NULL, or called with each value that a kernel of a program for debugging computed, as soon as it is there: its
   * number among the manifest's `values` of the target, and the value in host memory, for the time of this call. Such a
   * call does not check values. Anything but 0 ends it. */
  int32_t (*on_value)(void *context, const char *target, int32_t index, const tsr_tensor *value);
} tsr_observer;

typedef struct tsr_call_args {
  uint32_t struct_size;
  int32_t num_inputs;
  int32_t num_outputs;
  /* Any strides; what is not contiguous or not aligned to its elements is copied first. */
  const tsr_tensor *const *inputs;
  /* Contiguous, writable, of exactly the result's dtype and shape, apart from the inputs (but for donated ones). One
   * that is an alias is that argument again, which then is contiguous, aligned and apart from all other inputs. */
  const tsr_tensor *const *outputs;
  /* NULL, or what tsr_entry_bind gave for these very inputs, which are then not checked again. */
  const int64_t *symbols;
  const tsr_allocator *allocator; /* NULL: the runtime's */
  void *stream;                   /* of a call on a GPU, a CUstream: NULL is the legacy default stream. NULL on a CPU */
  const tsr_observer *observer;   /* NULL: nobody */
} tsr_call_args;

/* Where a call runs is where its arrays lie: all inputs on one GPU, but for rank-0 ones in host memory, or all in host
 * memory. With rank-0 host inputs alone, or none, it is where the outputs lie if on a GPU; else the CPU if there is
 * code for it; else GPU 0. On a GPU, inputs are contiguous, and a call only queues its work on the stream, unless it
 * has to read a value back. */

/* Loads the entry's code for this machine's CPU now; otherwise the first call does. Does nothing for an entry that has
 * code for GPUs alone: that is loaded by the first call on each. */
TSR_EXPORT int32_t tsr_entry_prepare(tsr_entry *entry);
/* The target whose code was picked, such as "cpu:avx512", the CPU's before a GPU's; NULL before code is loaded. */
TSR_EXPORT const char *tsr_entry_target(const tsr_entry *entry);
/* Checks arguments against the signature and its guards and gives the symbols' sizes (num_symbols of them). */
TSR_EXPORT int32_t tsr_entry_bind(tsr_entry *entry, const tsr_tensor *const *inputs, int32_t num_inputs,
                                  int64_t *symbols);
/* The same as a question: 1 if the entry takes these arguments, else 0, with no message made. */
TSR_EXPORT int32_t tsr_entry_accepts(tsr_entry *entry, const tsr_tensor *const *inputs, int32_t num_inputs,
                                     int64_t *symbols);
/* Where a call with these inputs would run, and have its outputs. */
TSR_EXPORT int32_t tsr_entry_device(const tsr_entry *entry, const tsr_tensor *const *inputs, int32_t num_inputs,
                                    tsr_device *device);
/* The shape of one output for bound symbols; `shape` has room for the output's ndim. */
TSR_EXPORT int32_t tsr_entry_output_shape(const tsr_entry *entry, int32_t index, const int64_t *symbols,
                                          int64_t *shape);
TSR_EXPORT int32_t tsr_entry_call(tsr_entry *entry, const tsr_call_args *args);

typedef struct tsr_dim {
  const char *symbol;
  int64_t size;
} tsr_dim;

/* A call on a GPU captured in a CUDA graph: the given arrays are what replays read and write, with the weights that the
 * program has now. Nothing runs. args->stream is not used. */
typedef struct tsr_graph tsr_graph;
TSR_EXPORT int32_t tsr_entry_capture(tsr_entry *entry, const tsr_call_args *args, tsr_graph **graph);
TSR_EXPORT int32_t tsr_graph_launch(tsr_graph *graph, void *stream);
/* Waits for work in flight on the device. NULL is ignored. */
TSR_EXPORT void tsr_graph_destroy(tsr_graph *graph);

/* Bytes of workspace that a call takes when the entry's symbols have these sizes: of the CPU's code, or where there is
 * none, of the first GPU's. */
TSR_EXPORT int32_t tsr_workspace_size(tsr_entry *entry, const tsr_dim *dims, int32_t num_dims, int64_t *bytes);

/* ---- Threads and memory ----------------------------------------------------------------------------------------- */

/* Runs body over [0, n) in pieces of at least `grain` (a multiple of it, but for the last) on OpenMP's threads; inline
 * when n <= grain or within another parallel_for. */
TSR_EXPORT void tsr_parallel_for(int64_t n, int64_t grain, void (*body)(void *args, int64_t begin, int64_t end),
                                 void *args);
/* Memory aligned to 64 bytes from a pool that keeps a bounded amount for reuse; NULL when there is none. */
TSR_EXPORT void *tsr_allocate(int64_t bytes);
TSR_EXPORT void tsr_free(void *memory);
/* Gives the pools' (those of GPUs too) and the calling thread's unused memory back to the system. */
TSR_EXPORT void tsr_trim(void);

/* ---- Memory and streams of GPUs ---------------------------------------------------------------------------------- */

/* From the pool that workspaces come from, in the order of a stream. */
TSR_EXPORT int32_t tsr_device_allocate(tsr_device device, int64_t bytes, void *stream, void **memory);
TSR_EXPORT void tsr_device_free(tsr_device device, void *memory, void *stream);
/* Copies between host memory and a GPU's, and waits for the stream. */
TSR_EXPORT int32_t tsr_device_write(tsr_device device, void *target, const void *source, int64_t bytes, void *stream);
TSR_EXPORT int32_t tsr_device_read(tsr_device device, void *target, const void *source, int64_t bytes, void *stream);
/* The GPU that an address belongs to. */
TSR_EXPORT int32_t tsr_device_of(const void *memory, tsr_device *device);
/* Work queued on `stream` from now on waits for what `other` holds now. */
TSR_EXPORT int32_t tsr_stream_wait(tsr_device device, void *stream, void *other);

/* ---- Meshes: processes that run one artifact together ------------------------------------------------------------ */

/* An entry on a mesh is called by all of its ranks, which are processes that a launcher started; their calls wait for
 * each other. Each rank makes the same calls on meshes, in one order, with arrays of the same sizes: calls from several
 * threads exclude each other. Ranks that disagree, end or stay away make the others' calls fail within the deadline,
 * and after such a failure a process makes no more calls on meshes. */

typedef struct tsr_world_info {
  uint32_t struct_size;
  int32_t rank, size;
  int32_t local_rank; /* among the processes of this machine */
} tsr_world_info;

/* This process among those of its launcher, by the environment: TESSERA_RANK and TESSERA_WORLD_SIZE, or what torchrun,
 * mpiexec or srun set; rank 0 of 1 without. */
TSR_EXPORT int32_t tsr_world(tsr_world_info *info);
/* Seconds that a rank waits for the others: 300, or TESSERA_MESH_TIMEOUT, or what is set here, for waits to come. */
TSR_EXPORT int32_t tsr_mesh_timeout(double *seconds);
TSR_EXPORT int32_t tsr_mesh_set_timeout(double seconds);
/* A folder where libmpi_abi or libnccl may lie, beside those of the system's loader and the paths that TESSERA_LIBMPI
 * and TESSERA_LIBNCCL name: the lib folder of Python's installation, say. */
TSR_EXPORT int32_t tsr_mesh_add_library_folder(const char *folder);
/* Called on a thread of the runtime's with a failure that no call reports, as that of work on a GPU. NULL: nobody is.
 */
TSR_EXPORT void tsr_mesh_on_failure(void (*hook)(void *context, int32_t error, const char *message), void *context);
/* The process is about to end: if MPI was started and its end is not reached, as when a rank has died, the process is
 * ended with status 1, within the deadline, or seconds after a failure. Where the runtime itself started MPI, exit does
 * this. */
TSR_EXPORT void tsr_mesh_leave(void);

typedef struct tsr_traffic {
  uint32_t struct_size;
  int64_t calls;      /* how often the collective was started */
  int64_t given, got; /* bytes of the arrays that this rank gave to it, and got of it */
} tsr_traffic;

/* What an entry's calls have moved in this process, by a collective's place in the manifest's list. Replays of a graph
 * are not counted. */
TSR_EXPORT int32_t tsr_entry_traffic(const tsr_entry *entry, int32_t collective, tsr_traffic *traffic);

/* ---- Page tables: which pages of a paged KV cache belong to which sequence --------------------------------------- */

/* A cache's memory is the caller's: num_pages pages of page_size tokens each. The table says which of them hold the
 * tokens of each of max_batch slots, in order, at most max_pages to a slot. Slots start empty.
 *
 * Its two arrays are passed to calls as inputs. A table's functions exclude each other, but not those who read the
 * arrays: don't extend, truncate or free while a call that was given them is in flight. */
typedef struct tsr_page_table tsr_page_table;

/* All sizes are 1 or more; max_pages * page_size and max_batch * max_pages are less than 2^31. */
TSR_EXPORT int32_t tsr_page_table_create(int32_t num_pages, int32_t page_size, int32_t max_batch, int32_t max_pages,
                                         tsr_page_table **table);
/* Frees the table and its arrays. NULL is ignored. */
TSR_EXPORT void tsr_page_table_destroy(tsr_page_table *table);
/* Grows each slot's sequence by its count of tokens (max_batch counts, 0 or more) and takes the pages that this needs:
 * those freed last first, then those never used, lowest first. If a slot would exceed max_pages or the pool has too few
 * pages, nothing changes. */
TSR_EXPORT int32_t tsr_page_table_extend(tsr_page_table *table, const int32_t *counts);
/* Cuts a slot's sequence to `length` tokens, at most those that it has, and gives back the pages beyond. */
TSR_EXPORT int32_t tsr_page_table_truncate(tsr_page_table *table, int32_t slot, int32_t length);
/* Cuts to 0. */
TSR_EXPORT int32_t tsr_page_table_free(tsr_page_table *table, int32_t slot);
/* int32 [max_batch, max_pages], row-major: page numbers, and -1 beyond a sequence's pages. It stays at its place and
 * changes there, for as long as the table lives; NULL for NULL. */
TSR_EXPORT const int32_t *tsr_page_table_block_tables(const tsr_page_table *table);
/* int32 [max_batch]: tokens of each slot, likewise. */
TSR_EXPORT const int32_t *tsr_page_table_seq_lens(const tsr_page_table *table);
TSR_EXPORT int32_t tsr_page_table_free_pages(const tsr_page_table *table);

/* ---- Host objects: what compiled code and the loader agree on --------------------------------------------------- */

/* Tells whether the loader takes this relocatable object; the compiler asks before it writes an artifact. Runs nothing.
 */
TSR_EXPORT int32_t tsr_check_object(const void *bytes, size_t size);

/* Indices into tsr_api's math tables; functions of one argument ignore the second. */
enum {
  TSR_MATH_EXP,
  TSR_MATH_EXP2,
  TSR_MATH_EXPM1,
  TSR_MATH_LOG,
  TSR_MATH_LOG2,
  TSR_MATH_LOG1P,
  TSR_MATH_SIN,
  TSR_MATH_COS,
  TSR_MATH_TANH,
  TSR_MATH_ERF,
  TSR_MATH_POW,
  TSR_MATH_FMOD,
  TSR_MATH_COUNT
};

/* The functions that compiled code may call. Compiled code reads fields by offset: append only. */
typedef struct tsr_api {
  uint32_t struct_size;
  uint32_t abi_version;
  void (*parallel_for)(int64_t n, int64_t grain, void (*body)(void *args, int64_t begin, int64_t end), void *args);
  /* Records the call's error ("%0" and "%1" in message stand for the values) and returns code; the first one counts. */
  int32_t (*fail)(int32_t code, const char *message, int64_t value0, int64_t value1);
  float (*const *math_f32)(float, float);
  double (*const *math_f64)(double, double);
  void *(*alloc)(int64_t bytes); /* 64-byte aligned scratch, cached per thread; NULL when there is none */
  void (*free)(void *memory);
  /* The rest is for calls on a GPU: on their device and stream, in order. What returns a code returns 0 or that of the
   * error which it recorded; compiled code returns it at once. */
  /* Launches a kernel of the module that the running variant names, by index, in a row of blocks (none: nothing
   * happens), with bytes of dynamic shared memory; arguments as cuLaunchKernel takes them. */
  int32_t (*launch)(int32_t kernel, int64_t blocks, int64_t shared, void *const *arguments);
  int32_t (*copy)(void *target, const void *source, int64_t bytes); /* from device memory to device memory */
  int32_t (*read)(void *target, const void *source, int64_t bytes); /* to host memory: waits for the stream */
  void *(*device_alloc)(int64_t bytes); /* 256-byte aligned device scratch; NULL when there is none */
  void (*device_free)(void *memory);
  /* For entries on a mesh, on any device. `index` is a collective's place in the entry's list. Start queues it, after
   * what came before on the call's stream; wait makes its result usable, and does not wait on the host for a GPU's. In
   * between, source and target belong to it, and others may be started; after the wait, the same again. `count` is of
   * one rank's elements: the whole array of all_reduce, broadcast (which, as one array, may be both) and shift; of
   * all_gather's source; of reduce_scatter's target; of each of all_to_all's chunks, which are by place in the group.
   */
  int32_t (*collective_start)(int32_t index, const void *source, void *target, int64_t count);
  int32_t (*collective_wait)(int32_t index);
  int64_t (*axis_index)(int32_t axis); /* this rank's coordinate along an axis of the entry's mesh */
  /* In programs for debugging, on any device, after each kernel: a value that it computed, of the running variant's
   * `values` in the manifest, and its sizes. Returns 0, or the code of the error that it recorded. */
  int32_t (*observe)(int32_t index, const void *memory, const int64_t *shape);
  /* Starts a collective and waits for it, where nothing comes between: a GPU's then runs on the call's own stream. */
  int32_t (*collective_run)(int32_t index, const void *source, void *target, int64_t count);
} tsr_api;

/* The table, for host programs that link an object statically and fill its tsr_runtime themselves. */
TSR_EXPORT const tsr_api *tsr_get_api(void);

/* A host object exports, as C symbols:
 *   tsr_entry_fn      <entry>            buffers: inputs (weights among them), then outputs, in the manifest's order;
 *                                        0, or the code given to tsr_api.fail
 *   tsr_workspace_fn  <entry>.workspace  bytes that the call's workspace needs; its base is 64-byte aligned
 *   const tsr_api *   tsr_runtime        zero in the file; the loader fills it, then makes its page read-only */
typedef int32_t (*tsr_entry_fn)(void *const *buffers, const int64_t *symbols, void *workspace);
typedef int64_t (*tsr_workspace_fn)(const int64_t *symbols);

#ifdef __cplusplus
}
#endif

#endif /* TESSERA_RUNTIME_H */

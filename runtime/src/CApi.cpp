// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C ABI: handles and structs are checked here, errors become numbers here, and nothing else happens here.
#include "Inline.h"
#include "PageTable.h"
#include "Program.h"

using namespace tsr;

namespace {

/// What the caller's version of the struct has, and nothing else.
tsr_open_options optionsOf(const tsr_open_options *options) {
  constexpr size_t firstSize = offsetof(tsr_open_options, target);
  tsr_open_options result{sizeof result, 0, nullptr};
  if (!options)
    return result;
  requireStruct(options, "tsr_open_options", firstSize);
  if (options->flags & ~uint32_t(TSR_OPEN_VERIFY_WEIGHTS))
    refuse(Code::bad_handle, "tsr_open_options: unknown flags ", options->flags);
  std::memcpy(&result, options, std::min<size_t>(options->struct_size, sizeof result));
  return result;
}

/// Copies what the caller's version of the struct has room for; struct_size says how much that is.
template <class Struct> void fill(Struct *target, const char *what, Struct value) {
  requireStruct(target, what);
  value.struct_size = target->struct_size;
  *target = value;
}

void describe(const Value &value, tsr_value_info *info) {
  fill(info, "tsr_value_info",
       {0, static_cast<int32_t>(value.shape.size()), value.dtype, value.isDonated, value.name.c_str(),
        value.source.c_str(), value.staticShape.data(), value.alias});
}

template <class Items> auto &checkedIndex(Items &items, int32_t index, const char *what) {
  if (index < 0 || static_cast<size_t>(index) >= items.size())
    refuse(Code::bad_handle, what, " index ", index, " is out of range: there are ", items.size());
  return items[static_cast<size_t>(index)];
}

} // namespace

namespace tsr {

void requireTensors(const tsr_tensor *const *tensors, int32_t count, const char *what) {
  if (count < 0)
    refuse(Code::bad_handle, what, ": a negative count");
  if (count > 0)
    requireHandle(tensors, what);
  for (int32_t i = 0; i < count; ++i) {
    requireHandle(tensors[i], what);
    const tsr_tensor &tensor = *tensors[i];
    if (tensor.ndim < 0 || tensor.ndim > TSR_MAX_RANK || (tensor.ndim > 0 && !tensor.shape))
      refuse(Code::bad_handle, what, " ", i, ": a malformed tensor of rank ", tensor.ndim);
  }
}

void requireCall(const tsr_entry *entry, const tsr_call_args *args) {
  requireHandle(entry, "entry");
  requireStruct(args, "tsr_call_args", offsetof(tsr_call_args, observer));
  requireTensors(args->inputs, args->num_inputs, "inputs");
  requireTensors(args->outputs, args->num_outputs, "outputs");
  if (const tsr_observer *observer = observerOf(*args))
    requireStruct(observer, "tsr_observer");
  if (!args->allocator)
    return;
  requireStruct(args->allocator, "tsr_allocator");
  requireHandle(reinterpret_cast<const void *>(args->allocator->allocate), "tsr_allocator.allocate");
  requireHandle(reinterpret_cast<const void *>(args->allocator->release), "tsr_allocator.release");
}

} // namespace tsr

extern "C" {

int32_t tsr_open(const char *path, const tsr_open_options *options, tsr_program **program) {
  return guarded([&] {
    requireHandle(path, "path");
    requireHandle(program, "program");
    *program = new tsr_program(Mapping::ofFile(path), optionsOf(options));
  });
}

int32_t tsr_open_memory(const void *bytes, size_t size, const tsr_open_options *options, tsr_program **program) {
  return guarded([&] {
    if (size)
      requireHandle(bytes, "bytes");
    requireHandle(program, "program");
    *program = new tsr_program(Mapping::ofCopy(bytes, size), optionsOf(options));
  });
}

void tsr_program_retain(tsr_program *program) {
  if (program)
    program->references.fetch_add(1, std::memory_order_relaxed);
}

void tsr_program_release(tsr_program *program) {
  if (program && program->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    delete program;
}

int32_t tsr_program_manifest(const tsr_program *program, const char **json, size_t *size) {
  return guarded([&] {
    requireHandle(program, "program");
    requireHandle(json, "json");
    requireHandle(size, "size");
    *json = reinterpret_cast<const char *>(program->manifestJson.data);
    *size = program->manifestJson.size;
  });
}

int32_t tsr_program_entry_count(const tsr_program *program) {
  return program ? static_cast<int32_t>(program->entries.size()) : 0;
}

const char *tsr_program_entry_name(const tsr_program *program, int32_t index) {
  bool known = program && index >= 0 && static_cast<size_t>(index) < program->entries.size();
  return known ? program->entries[static_cast<size_t>(index)]->signature.entry.c_str() : nullptr;
}

int32_t tsr_program_entry(tsr_program *program, const char *name, tsr_entry **entry) {
  return guarded([&] {
    requireHandle(program, "program");
    requireHandle(name, "name");
    requireHandle(entry, "entry");
    *entry = &program->entry(name);
  });
}

int32_t tsr_program_weight_count(const tsr_program *program) {
  return program ? static_cast<int32_t>(program->weights.size()) : 0;
}

const char *tsr_program_weight_name(const tsr_program *program, int32_t index) {
  bool known = program && index >= 0 && static_cast<size_t>(index) < program->weights.size();
  return known ? program->weights[static_cast<size_t>(index)].name.c_str() : nullptr;
}

int32_t tsr_program_weight(tsr_program *program, const char *name, tsr_tensor *value) {
  return guarded([&] {
    requireHandle(program, "program");
    requireHandle(name, "name");
    requireHandle(value, "value");
    std::shared_lock<std::shared_mutex> lock(program->weightsMutex);
    const Weight &weight = program->weight(name);
    if (!weight.isSet())
      refuse(Code::weight_unset, "weight '", name, "' has no value");
    *value = weight.tensor();
  });
}

int32_t tsr_program_set_weight(tsr_program *program, const char *name, tsr_managed_tensor *tensor) {
  return guarded([&] {
    requireHandle(program, "program");
    requireHandle(name, "name");
    requireHandle(tensor, "tensor");
    const tsr_tensor *view = &tensor->tensor;
    requireTensors(&view, 1, "tensor");
    program->setWeight(name, tensor);
  });
}

int32_t tsr_entry_get_info(const tsr_entry *entry, tsr_entry_info *info) {
  return guarded([&] {
    requireHandle(entry, "entry");
    const Signature &signature = entry->signature;
    fill(info, "tsr_entry_info",
         {0, static_cast<int32_t>(signature.arguments.size()), static_cast<int32_t>(signature.outputs.size()),
          static_cast<int32_t>(signature.symbols.size()), signature.entry.c_str(),
          entry->mesh ? static_cast<int32_t>(entry->mesh->layout.size()) : 0});
  });
}

int32_t tsr_entry_argument(const tsr_entry *entry, int32_t index, tsr_value_info *info) {
  return guarded([&] {
    requireHandle(entry, "entry");
    int32_t input = checkedIndex(entry->signature.arguments, index, "argument");
    describe(entry->signature.inputs[static_cast<size_t>(input)], info);
  });
}

int32_t tsr_entry_output(const tsr_entry *entry, int32_t index, tsr_value_info *info) {
  return guarded([&] {
    requireHandle(entry, "entry");
    describe(checkedIndex(entry->signature.outputs, index, "output"), info);
  });
}

int32_t tsr_entry_symbol(const tsr_entry *entry, int32_t index, tsr_symbol_info *info) {
  return guarded([&] {
    requireHandle(entry, "entry");
    const Symbol &symbol = checkedIndex(entry->signature.symbols, index, "symbol");
    fill(info, "tsr_symbol_info", {0, symbol.name.c_str(), symbol.min, symbol.max, symbol.multipleOf});
  });
}

int32_t tsr_entry_traffic(const tsr_entry *entry, int32_t collective, tsr_traffic *traffic) {
  return guarded([&] {
    requireHandle(entry, "entry");
    requireStruct(traffic, "tsr_traffic");
    static const std::vector<mesh::Traffic> none;
    const mesh::Traffic &counted = checkedIndex(entry->mesh ? entry->mesh->traffic : none, collective, "collective");
    traffic->calls = counted.calls.load(std::memory_order_relaxed);
    traffic->given = counted.given.load(std::memory_order_relaxed);
    traffic->got = counted.got.load(std::memory_order_relaxed);
  });
}

int32_t tsr_entry_prepare(tsr_entry *entry) {
  return guarded([&] {
    requireHandle(entry, "entry");
    entry->prepare();
  });
}

const char *tsr_entry_target(const tsr_entry *entry) { return entry ? entry->target() : nullptr; }

int32_t tsr_entry_bind(tsr_entry *entry, const tsr_tensor *const *inputs, int32_t count, int64_t *symbols) {
  return guarded([&] {
    requireHandle(entry, "entry");
    // A wrong count is refused below, before any tensor is looked at.
    if (count == static_cast<int32_t>(entry->signature.arguments.size()))
      requireTensors(inputs, count, "inputs");
    entry->require(inputs, count, symbols);
  });
}

int32_t tsr_entry_accepts(tsr_entry *entry, const tsr_tensor *const *inputs, int32_t count, int64_t *symbols) {
  return entry && entry->bind(inputs, count, symbols, nullptr);
}

int32_t tsr_entry_output_shape(const tsr_entry *entry, int32_t index, const int64_t *symbols, int64_t *shape) {
  return guarded([&] {
    requireHandle(entry, "entry");
    checkedIndex(entry->signature.outputs, index, "output");
    Error error;
    if (!entry->signature.outputShape(static_cast<size_t>(index), symbols, shape, &error))
      throw error;
  });
}

int32_t tsr_entry_call(tsr_entry *entry, const tsr_call_args *args) {
  return guarded([&] {
    requireCall(entry, args);
    entry->call(*args);
  });
}

int32_t tsr_workspace_size(tsr_entry *entry, const tsr_dim *dims, int32_t count, int64_t *bytes) {
  return guarded([&] {
    requireHandle(entry, "entry");
    requireHandle(bytes, "bytes");
    if (count > 0)
      requireHandle(dims, "dims");
    const Signature &signature = entry->signature;
    std::vector<int64_t> sizes(signature.symbols.size(), -1);
    for (int32_t i = 0; i < count; ++i) {
      requireHandle(dims[i].symbol, "dims: a symbol");
      size_t at = 0;
      while (at < sizes.size() && signature.symbols[at].name != dims[i].symbol)
        ++at;
      if (at == sizes.size())
        refuse(Code::unknown_symbol, "no symbol '", dims[i].symbol, "'", signature.where(""));
      sizes[at] = dims[i].size;
    }
    for (size_t i = 0; i < sizes.size(); ++i)
      if (sizes[i] < 0)
        refuse(Code::unknown_symbol, "expected a size of 0 or more for symbol '", signature.symbols[i].name,
               "', got none", signature.where(""));
    *bytes = entry->workspaceSize(sizes.data());
  });
}

int32_t tsr_page_table_create(int32_t numPages, int32_t pageSize, int32_t maxBatch, int32_t maxPages,
                              tsr_page_table **table) {
  return guarded([&] {
    requireHandle(table, "table");
    *table = new tsr_page_table(numPages, pageSize, maxBatch, maxPages);
  });
}

void tsr_page_table_destroy(tsr_page_table *table) { delete table; }

int32_t tsr_page_table_extend(tsr_page_table *table, const int32_t *counts) {
  return guarded([&] {
    requireHandle(table, "table");
    requireHandle(counts, "counts");
    table->extend(counts);
  });
}

int32_t tsr_page_table_truncate(tsr_page_table *table, int32_t slot, int32_t length) {
  return guarded([&] {
    requireHandle(table, "table");
    table->truncate(slot, length);
  });
}

int32_t tsr_page_table_free(tsr_page_table *table, int32_t slot) { return tsr_page_table_truncate(table, slot, 0); }

const int32_t *tsr_page_table_block_tables(const tsr_page_table *table) {
  return table ? table->blockTables() : nullptr;
}

const int32_t *tsr_page_table_seq_lens(const tsr_page_table *table) { return table ? table->seqLens() : nullptr; }

int32_t tsr_page_table_free_pages(const tsr_page_table *table) { return table ? table->freePages() : 0; }

int32_t tsr_check_object(const void *bytes, size_t size) {
  return guarded([&] {
    if (size)
      requireHandle(bytes, "bytes");
    HostObject::load({static_cast<const uint8_t *>(bytes), size}, nullptr);
  });
}

} // extern "C"

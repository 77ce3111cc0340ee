// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PageTable.h"

#include "Arrays.h"

#include <limits>
#include <vector>

using namespace nanobind::literals;

namespace tsr::python {

namespace {

class PageTable {
public:
  PageTable(int32_t numPages, int32_t pageSize, int32_t maxBatch, int32_t maxPages) : shape{maxBatch, maxPages} {
    check(tsr_page_table_create(numPages, pageSize, maxBatch, maxPages, &handle));
  }
  PageTable(const PageTable &) = delete;
  PageTable &operator=(const PageTable &) = delete;
  ~PageTable() { tsr_page_table_destroy(handle); }

  void extend(nb::object counts) { check(tsr_page_table_extend(handle, readCounts(counts).data())); }
  void truncate(int32_t slot, int32_t length) { check(tsr_page_table_truncate(handle, slot, length)); }
  void free(int32_t slot) { check(tsr_page_table_free(handle, slot)); }
  int32_t freePages() const { return tsr_page_table_free_pages(handle); }

  static nb::object blockTables(nb::handle_t<PageTable> self) {
    return view(self, tsr_page_table_block_tables(nb::cast<PageTable &>(self).handle), 2);
  }
  static nb::object seqLens(nb::handle_t<PageTable> self) {
    return view(self, tsr_page_table_seq_lens(nb::cast<PageTable &>(self).handle), 1);
  }

private:
  std::vector<int32_t> readCounts(nb::object counts) const;

  /// Read-only: what is written to these arrays would give one page to two sequences.
  static nb::object view(nb::handle_t<PageTable> self, const int32_t *data, int32_t rank) {
    auto &table = nb::cast<PageTable &>(self);
    return viewArray({const_cast<int32_t *>(data), {TSR_CPU, 0}, rank, {TSR_INT, 32, 1}, table.shape, nullptr, 0},
                     self);
  }

  tsr_page_table *handle = nullptr;
  int64_t shape[2];
};

/// Python's or NumPy's integers, one for each slot.
std::vector<int32_t> PageTable::readCounts(nb::object counts) const {
  std::vector<int32_t> values;
  for (nb::handle count : counts) {
    nb::object index = nb::steal(PyNumber_Index(count.ptr()));
    if (!index)
      throw nb::python_error();
    int overflow = 0;
    const int64_t value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow || value != static_cast<int32_t>(value))
      raise(Code::sequence_length, "page table: slot " + std::to_string(values.size()) +
                                       ": expected to grow by less than 2^31 tokens, got " + nb::str(index).c_str());
    values.push_back(static_cast<int32_t>(value));
  }
  if (static_cast<int64_t>(values.size()) != shape[0])
    raise(Code::slot, "page table: expected " + std::to_string(shape[0]) + " counts, one for each slot, got " +
                          std::to_string(values.size()));
  return values;
}

} // namespace

void bindPageTable(nb::module_ &module) {
  nb::class_<PageTable>(
      module, "PageTable",
      "Which pages of a paged KV cache hold the tokens of which sequence."
      "\n\nThe cache's memory is the caller's: ``num_pages`` pages of ``page_size`` tokens each. The table gives them"
      "\nto ``max_batch`` slots, each for one sequence of at most ``max_pages`` pages. Calls take ``block_tables`` and"
      "\n``seq_lens`` as inputs: change the table only when no call that was given them is in flight."
      "\n\nRaises"
      "\n------"
      "\nShapeError"
      "\n    If a size is not positive, or a slot's tokens or the table's entries are 2^31 or more.")
      .def(nb::init<int32_t, int32_t, int32_t, int32_t>(), "num_pages"_a, "page_size"_a, "max_batch"_a, "max_pages"_a)
      .def_prop_ro(
          "block_tables", &PageTable::blockTables,
          nb::sig("def block_tables(self) -> numpy.typing.NDArray[numpy.int32]"),
          "int32 [max_batch, max_pages]: each slot's page numbers, then -1. A read-only view that changes with it.")
      .def_prop_ro("seq_lens", &PageTable::seqLens, nb::sig("def seq_lens(self) -> numpy.typing.NDArray[numpy.int32]"),
                   "int32 [max_batch]: the tokens in each slot. A read-only view that changes with it.")
      .def_prop_ro("free_pages", &PageTable::freePages, "How many pages no slot has.")
      .def("extend", &PageTable::extend, "counts"_a,
           nb::sig("def extend(self, counts: collections.abc.Iterable[typing.SupportsIndex]) -> None"),
           "Grow each slot's sequence by its count of tokens, and take the pages that this needs."
           "\n\nPages freed last are taken first, then those never used, lowest first."
           "\n\nParameters"
           "\n----------"
           "\ncounts"
           "\n    ``max_batch`` integers of 0 or more: a list, or an array of an integer dtype."
           "\n\nRaises"
           "\n------"
           "\nCapacityError"
           "\n    If the pool has too few free pages, or a slot would outgrow ``max_pages``. Nothing is changed."
           "\nArgumentError"
           "\n    If a count is negative or too large, or there is not one for each slot. Nothing is changed.")
      .def("truncate", &PageTable::truncate, "slot"_a, "length"_a,
           "Cut a slot's sequence to ``length`` tokens and give back the pages beyond."
           "\n\nRaises"
           "\n------"
           "\nArgumentError"
           "\n    If there is no such slot, or it has fewer tokens.")
      .def("free", &PageTable::free, "slot"_a,
           "Cut a slot's sequence to nothing and give back its pages."
           "\n\nRaises"
           "\n------"
           "\nArgumentError"
           "\n    If there is no such slot.");
}

} // namespace tsr::python

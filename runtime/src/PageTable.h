// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which pages of a paged KV cache belong to which sequence. Only numbers: the pages' memory is the caller's.
#pragma once

#include "Status.h"

#include <mutex>
#include <vector>

struct tsr_page_table {
  /// Throws Error (page_table_size) unless all are positive and 32 bits count a slot's tokens and the table's entries.
  tsr_page_table(int32_t numPages, int32_t pageSize, int32_t maxBatch, int32_t maxPages);

  /// All or nothing. Throws Error (sequence_length, slot_full, pages_exhausted).
  void extend(const int32_t *counts);
  /// Throws Error (slot, sequence_length).
  void truncate(int32_t slot, int32_t length);

  const int32_t *blockTables() const { return tables.data(); }
  const int32_t *seqLens() const { return lengths.data(); }
  int32_t freePages() const;

private:
  int64_t pagesOf(int64_t tokens) const { return (tokens + pageSize - 1) / pageSize; }
  int64_t pagesMissing(const int32_t *counts) const;
  int32_t *tableOf(size_t slot) { return tables.data() + slot * static_cast<size_t>(maxPages); }

  const int32_t numPages, pageSize, maxPages;
  mutable std::mutex mutex; // guards all below
  std::vector<int32_t> tables, lengths;
  std::vector<int32_t> unused; // a stack: the page that is taken next is the last
};

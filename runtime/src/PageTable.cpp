// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PageTable.h"

#include <limits>

using namespace tsr;

static constexpr int32_t noPage = -1;

/// How many entries the block tables have; called before any member is made.
static size_t checkedEntries(int32_t numPages, int32_t pageSize, int32_t maxBatch, int32_t maxPages) {
  const int64_t most = std::numeric_limits<int32_t>::max();
  auto require = [&](bool holds, const char *what, const char *expected, int64_t got) {
    if (!holds)
      refuse(Code::page_table_size, "page table: ", what, ": expected ", expected, ", got ", got);
  };
  require(numPages > 0, "num_pages", "1 or more", numPages);
  require(pageSize > 0, "page_size", "1 or more", pageSize);
  require(maxBatch > 0, "max_batch", "1 or more", maxBatch);
  require(maxPages > 0, "max_pages", "1 or more", maxPages);
  const int64_t tokens = int64_t(maxPages) * pageSize, entries = int64_t(maxBatch) * maxPages;
  require(tokens <= most, "max_pages * page_size", "less than 2^31", tokens);
  require(entries <= most, "max_batch * max_pages", "less than 2^31", entries);
  return static_cast<size_t>(entries);
}

tsr_page_table::tsr_page_table(int32_t numPages, int32_t pageSize, int32_t maxBatch, int32_t maxPages)
    : numPages(numPages), pageSize(pageSize), maxPages(maxPages),
      tables(checkedEntries(numPages, pageSize, maxBatch, maxPages), noPage), lengths(static_cast<size_t>(maxBatch)),
      unused(static_cast<size_t>(numPages)) {
  for (size_t i = 0; i < unused.size(); ++i) // page 0 is taken first
    unused[i] = static_cast<int32_t>(unused.size() - 1 - i);
}

/// Checks that each slot can hold its tokens, and counts the pages that this takes.
int64_t tsr_page_table::pagesMissing(const int32_t *counts) const {
  const int64_t limit = int64_t(maxPages) * pageSize;
  int64_t missing = 0;
  for (size_t slot = 0; slot < lengths.size(); ++slot) {
    if (counts[slot] < 0)
      refuse(Code::sequence_length, "page table: slot ", slot, ": expected to grow by 0 tokens or more, got ",
             counts[slot]);
    const int64_t length = int64_t(lengths[slot]) + counts[slot];
    if (length > limit)
      refuse(Code::slot_full, "page table: slot ", slot, " is full: expected at most ", limit, " tokens (", maxPages,
             " pages of ", pageSize, "), got ", lengths[slot], " and ", counts[slot], " more");
    missing += pagesOf(length) - pagesOf(lengths[slot]);
  }
  return missing;
}

void tsr_page_table::extend(const int32_t *counts) {
  std::lock_guard<std::mutex> lock(mutex);
  const int64_t missing = pagesMissing(counts);
  if (missing > static_cast<int64_t>(unused.size()))
    refuse(Code::pages_exhausted, "page table: the pool is full: expected ", missing, " free pages, got ",
           unused.size(), " of ", numPages);
  for (size_t slot = 0; slot < lengths.size(); ++slot) {
    const int64_t before = pagesOf(lengths[slot]);
    lengths[slot] += counts[slot];
    for (int64_t page = before; page < pagesOf(lengths[slot]); ++page) {
      tableOf(slot)[page] = unused.back();
      unused.pop_back();
    }
  }
}

void tsr_page_table::truncate(int32_t slot, int32_t length) {
  std::lock_guard<std::mutex> lock(mutex);
  if (slot < 0 || static_cast<size_t>(slot) >= lengths.size())
    refuse(Code::slot, "page table: slot: expected 0 to ", lengths.size() - 1, ", got ", slot);
  int32_t &present = lengths[static_cast<size_t>(slot)];
  if (length < 0 || length > present)
    refuse(Code::sequence_length, "page table: slot ", slot, ": expected a length of 0 to ", present, ", got ", length);
  int32_t *table = tableOf(static_cast<size_t>(slot));
  // The last page first, so that a sequence which is cut and grows again gets its pages in the same order. The stack
  // has had every page and so has room for it: nothing here can fail halfway.
  for (int64_t page = pagesOf(present); page-- > pagesOf(length);) {
    unused.push_back(table[page]);
    table[page] = noPage;
  }
  present = length;
}

int32_t tsr_page_table::freePages() const {
  std::lock_guard<std::mutex> lock(mutex);
  return static_cast<int32_t>(unused.size());
}

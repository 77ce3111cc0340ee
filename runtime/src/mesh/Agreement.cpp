// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Agreement.h"

#include <algorithm>
#include <cstring>

namespace tsr::mesh {

namespace {

/// What is sent, the same size for all ranks.
struct Record {
  char artifact[64];
  char entry[64]; // as much of its name as fits, for messages
  uint64_t entryHash, collectives, sizes;
  uint8_t onGpu;
};

/// FNV-1a: all ranks must get the same number, whatever library they were built with.
uint64_t hashOf(const std::string &bytes, uint64_t hash = 0xcbf29ce484222325) {
  for (unsigned char byte : bytes)
    hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}

std::string pack(const Notes &notes, const std::vector<Collective> &collectives) {
  Record record;
  std::memset(&record, 0, sizeof record); // padding too, as bytes are compared
  std::memcpy(record.artifact, notes.artifact.data(), std::min(notes.artifact.size(), sizeof record.artifact));
  std::strncpy(record.entry, notes.entry.c_str(), sizeof record.entry - 1);
  record.entryHash = hashOf(notes.entry);
  record.sizes = hashOf(notes.sizes);
  record.collectives = hashOf("");
  for (const Collective &collective : collectives)
    record.collectives = hashOf(text(collective.label, " ", dtypeName(collective.dtype), " ", collective.root, " ",
                                     collective.offset, " ", collective.isPeriodic, "\n"),
                                record.collectives);
  record.onGpu = notes.onGpu;
  return {reinterpret_cast<const char *>(&record), sizeof record};
}

Record unpack(const std::string &bytes) {
  Record record;
  std::memcpy(&record, bytes.data(), sizeof record);
  return record;
}

std::string difference(const Record &of, const Record &usual) {
  if (of.entryHash != usual.entryHash)
    return text("calls '", of.entry, "', the others '", usual.entry, "'");
  if (std::memcmp(of.artifact, usual.artifact, sizeof of.artifact))
    return text("runs another artifact", of.collectives != usual.collectives ? ", with other collectives" : "");
  return of.onGpu != usual.onGpu ? text("calls it with arrays ", of.onGpu ? "on a GPU" : "in host memory")
                                 : "calls it with arrays of other sizes";
}

} // namespace

void compareNotes(Control &control, const Notes &notes, const std::vector<Collective> &collectives) {
  const std::vector<std::string> all = control.exchange(pack(notes, collectives));
  // What most ranks run is taken for right; among as many, what the lowest rank does.
  auto votes = [&](const std::string &record) { return std::count(all.begin(), all.end(), record); };
  const std::string &usual = *std::max_element(
      all.begin(), all.end(), [&](const std::string &a, const std::string &b) { return votes(a) < votes(b); });
  std::string differing;
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (all[rank] != usual)
      differing +=
          text(differing.empty() ? "" : "; ", "rank ", rank, " ", difference(unpack(all[rank]), unpack(usual)));
  if (!differing.empty())
    refuse(Code::rank_mismatch, "the ranks disagree: ", differing);
}

} // namespace tsr::mesh

// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Zip.h"

namespace tsr {

namespace {

constexpr uint32_t endSignature = 0x06054b50, end64Signature = 0x06064b50, locator64Signature = 0x07064b50;
constexpr uint32_t centralSignature = 0x02014b50, localSignature = 0x04034b50;
constexpr uint64_t endSize = 22, end64Size = 56, locator64Size = 20, centralSize = 46, localSize = 30;

struct Directory {
  uint64_t offset, size, count;
};

/// The end record is the last 22 bytes, before a comment whose length it states.
uint64_t findEnd(Bytes file) {
  uint64_t latest = file.size < endSize ? 0 : file.size - endSize;
  for (uint64_t comment = 0; file.size >= endSize && comment <= 0xffff && comment <= latest; ++comment)
    if (file.read<uint32_t>(latest - comment) == endSignature && file.read<uint16_t>(latest - comment + 20) == comment)
      return latest - comment;
  refuse(Code::zip, "not a .tsr artifact, or truncated: no zip directory at its end");
}

Directory readEnd(Bytes file) {
  uint64_t end = findEnd(file);
  Bytes record = file.slice(end, endSize);
  if (record.read<uint16_t>(4) != 0 || record.read<uint16_t>(6) != 0)
    refuse(Code::zip_feature, "archive spans several disks: expected one file");
  Directory directory{record.read<uint32_t>(16), record.read<uint32_t>(12), record.read<uint16_t>(10)};
  bool is64 = directory.offset == 0xffffffff || directory.size == 0xffffffff || directory.count == 0xffff;
  uint64_t limit = end;
  if (is64 && end >= locator64Size && file.read<uint32_t>(end - locator64Size) == locator64Signature) {
    limit = file.read<uint64_t>(end - locator64Size + 8);
    Bytes record64 = file.slice(limit, end64Size);
    if (record64.read<uint32_t>(0) != end64Signature)
      refuse(Code::zip, "zip64 end record is damaged");
    directory = {record64.read<uint64_t>(48), record64.read<uint64_t>(40), record64.read<uint64_t>(32)};
  }
  if (directory.offset > limit || directory.size != limit - directory.offset)
    refuse(Code::zip, "zip directory is damaged: expected it to end at ", limit, ", got ", directory.size, " bytes at ",
           directory.offset);
  return directory;
}

struct CentralEntry {
  std::string name;
  uint64_t size, stored, local;
  uint32_t crc;
};

/// ZIP64 keeps what does not fit 32 bits in extra field 1, in a fixed order and only those.
void readZip64(Bytes extra, CentralEntry &entry) {
  for (uint64_t at = 0; extra.size - at >= 4;) {
    Bytes field = extra.slice(at + 4, extra.read<uint16_t>(at + 2));
    uint64_t next = 0;
    if (extra.read<uint16_t>(at) == 1)
      for (uint64_t *value : {&entry.size, &entry.stored, &entry.local})
        if (*value == 0xffffffff) {
          *value = field.read<uint64_t>(next);
          next += 8;
        }
    at += 4 + field.size;
  }
}

Bytes memberBytes(Bytes file, const CentralEntry &entry, uint64_t directory) {
  Bytes local = file.slice(entry.local, localSize);
  if (local.read<uint32_t>(0) != localSignature)
    refuse(Code::zip, "member '", entry.name, "' is damaged: no local header at ", entry.local);
  uint64_t name = local.read<uint16_t>(26), extra = local.read<uint16_t>(28);
  if (file.slice(entry.local + localSize, name).string() != entry.name)
    refuse(Code::zip, "member '", entry.name, "' is damaged: its local header has another name");
  // Members lie before the directory: one that claims more is damaged, even if the file is long enough.
  return file.slice(0, directory).slice(entry.local + localSize + name + extra, entry.size);
}

} // namespace

std::map<std::string, ZipMember, std::less<>> readZip(Bytes file) {
  Directory directory = readEnd(file);
  Bytes central = file.slice(directory.offset, directory.size);
  std::map<std::string, ZipMember, std::less<>> members;
  uint64_t at = 0;
  for (uint64_t i = 0; i < directory.count; ++i) {
    Bytes header = central.slice(at, centralSize);
    if (header.read<uint32_t>(0) != centralSignature)
      refuse(Code::zip, "zip directory is damaged: entry ", i, " has a wrong signature");
    uint64_t name = header.read<uint16_t>(28), extra = header.read<uint16_t>(30), comment = header.read<uint16_t>(32);
    CentralEntry entry{std::string(central.slice(at + centralSize, name).string()), header.read<uint32_t>(24),
                       header.read<uint32_t>(20), header.read<uint32_t>(42), header.read<uint32_t>(16)};
    readZip64(central.slice(at + centralSize + name, extra), entry);
    if (header.read<uint16_t>(10) != 0 || header.read<uint16_t>(8) & 1 || entry.size != entry.stored)
      refuse(Code::zip_feature, "member '", entry.name, "' is compressed or encrypted: expected it stored");
    ZipMember member{memberBytes(file, entry, directory.offset), entry.crc};
    if (!members.emplace(entry.name, member).second)
      refuse(Code::zip, "member '", entry.name, "' occurs twice");
    at += centralSize + name + extra + comment;
  }
  if (at != central.size)
    refuse(Code::zip, "zip directory is damaged: ", central.size - at, " bytes after its last entry");
  return members;
}

} // namespace tsr

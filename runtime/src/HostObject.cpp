// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HostObject.h"

#include <algorithm>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

namespace tsr {

namespace {
constexpr uint64_t notLoaded = ~0ull;
constexpr uint64_t maxAlignment = 256, maxNameLength = 4096;
constexpr const char *slotName = "tsr_runtime";

uint64_t alignUp(uint64_t value, uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }
bool startsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }
} // namespace

class ObjectLoader {
public:
  ObjectLoader(Bytes file, const tsr_api *api) : file(file.as(Code::object_header, "host object")), api(api) {}

  std::unique_ptr<HostObject> load() {
    readHeader();
    readSymbols();
    findSlot();
    collectGotSlots();
    placeSections();
    mapAndCopy();
    exportFunctions();
    relocate();
    seal();
    return std::move(object);
  }

private:
  void readHeader();
  void readSymbols();
  void findSlot();
  void collectGotSlots();
  void placeSections();
  void mapAndCopy();
  void exportFunctions();
  void relocate();
  void applyRelocation(const Elf64_Shdr &target, uint64_t targetAt, const Elf64_Rela &relocation);
  void seal();

  std::string name(const Elf64_Shdr &section) const { return readName(sectionNames, section.sh_name); }
  std::string name(const Elf64_Sym &symbol) const { return readName(symbolNames, symbol.st_name); }
  std::string readName(Bytes table, uint32_t at) const;
  void checkSection(const Elf64_Shdr &section, size_t index) const;
  bool isLoaded(size_t section) const { return section < sections.size() && placed[section] != notLoaded; }
  /// Where a symbol lies, as an offset in the memory.
  uint64_t locate(uint32_t index) const;
  template <class Each> void forEachRelocation(Each &&each) const;

  uint8_t *base() const { return static_cast<uint8_t *>(object->memory); }

  Bytes file;
  const tsr_api *api;
  std::vector<Elf64_Shdr> sections;
  std::vector<Elf64_Sym> symbols;
  Bytes sectionNames, symbolNames;
  size_t slotSection = 0;                          // 0: the object has no tsr_runtime
  std::vector<uint64_t> placed;                    // each section's offset in memory
  std::unordered_map<uint32_t, uint64_t> gotSlots; // symbol -> offset of the slot that holds its address
  uint64_t textSize = 0;
  std::unique_ptr<HostObject> object;
};

std::string ObjectLoader::readName(Bytes table, uint32_t at) const {
  Bytes rest = table.slice(at, at <= table.size ? table.size - at : 0);
  std::string_view text = rest.string().substr(0, maxNameLength);
  size_t end = text.find('\0');
  if (end == std::string_view::npos)
    refuse(Code::object_header, "host object is damaged: a name has no end");
  return std::string(text.substr(0, end));
}

void ObjectLoader::readHeader() {
  auto header = file.read<Elf64_Ehdr>(0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    refuse(Code::object_header, "host object is not an ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_REL ||
      header.e_machine != EM_X86_64 || header.e_version != EV_CURRENT)
    refuse(Code::object_header, "host object: expected a relocatable x86-64 ELF file, got class ",
           int(header.e_ident[EI_CLASS]), ", type ", header.e_type, ", machine ", header.e_machine);
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 || header.e_shstrndx >= header.e_shnum)
    refuse(Code::object_header, "host object is damaged: its section table is malformed");
  Bytes table = file.slice(header.e_shoff, uint64_t(header.e_shnum) * sizeof(Elf64_Shdr));
  for (uint64_t i = 0; i < header.e_shnum; ++i)
    sections.push_back(table.read<Elf64_Shdr>(i * sizeof(Elf64_Shdr)));
  const Elf64_Shdr &names = sections[header.e_shstrndx];
  sectionNames = file.slice(names.sh_offset, names.sh_size);
}

void ObjectLoader::readSymbols() {
  for (const Elf64_Shdr &section : sections) {
    if (section.sh_type != SHT_SYMTAB)
      continue;
    if (!symbols.empty())
      refuse(Code::object_header, "host object is damaged: it has two symbol tables");
    Bytes table = file.slice(section.sh_offset, section.sh_size);
    if (section.sh_link >= sections.size() || section.sh_entsize != sizeof(Elf64_Sym))
      refuse(Code::object_header, "host object is damaged: its symbol table is malformed");
    const Elf64_Shdr &names = sections[section.sh_link];
    symbolNames = file.slice(names.sh_offset, names.sh_size);
    for (uint64_t i = 0; i < table.size / sizeof(Elf64_Sym); ++i)
      symbols.push_back(table.read<Elf64_Sym>(i * sizeof(Elf64_Sym)));
  }
  std::string undefined;
  for (size_t i = 1; i < symbols.size() && undefined.size() < 200; ++i)
    // Assemblers name the table of GOT slots even where nothing refers to it; a relocation that does is refused.
    if (symbols[i].st_shndx == SHN_UNDEF && name(symbols[i]) != "_GLOBAL_OFFSET_TABLE_")
      undefined += (undefined.empty() ? "'" : ", '") + name(symbols[i]) + "'";
  if (!undefined.empty())
    refuse(Code::object_undefined, "host object needs symbols from outside: ", undefined);
}

/// `const tsr_api *tsr_runtime`: the one writable word of an object.
void ObjectLoader::findSlot() {
  for (uint32_t i = 1; i < symbols.size(); ++i) {
    const Elf64_Sym &symbol = symbols[i];
    if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || symbol.st_shndx >= sections.size() || name(symbol) != slotName)
      continue;
    const Elf64_Shdr &section = sections[symbol.st_shndx];
    if (slotSection || section.sh_size != sizeof(void *) || symbol.st_value != 0 || section.sh_addralign % 8 != 0 ||
        !(section.sh_flags & SHF_WRITE) || !(section.sh_flags & SHF_ALLOC) ||
        (section.sh_type != SHT_NOBITS && section.sh_type != SHT_PROGBITS))
      refuse(Code::object_symbol,
             "host object: expected one 'tsr_runtime', an aligned writable word alone in its section: "
             "compiled code keeps no state beside it");
    slotSection = symbol.st_shndx;
  }
}

void ObjectLoader::checkSection(const Elf64_Shdr &section, size_t index) const {
  auto bad = [&](const char *why) { refuse(Code::object_section, "host object: section '", name(section), "' ", why); };
  if (section.sh_flags & (SHF_TLS | SHF_COMPRESSED))
    bad("is thread-local or compressed");
  if (section.sh_type != SHT_PROGBITS && section.sh_type != SHT_NOBITS && section.sh_type != SHT_NOTE &&
      section.sh_type != SHT_X86_64_UNWIND)
    bad("has a type that is not loaded (constructors have no one to run them)");
  if ((section.sh_flags & SHF_WRITE) && (section.sh_flags & SHF_EXECINSTR))
    bad("is writable and executable");
  if ((section.sh_flags & SHF_WRITE) && index != slotSection && !startsWith(name(section), ".data.rel.ro"))
    bad("is writable: compiled code keeps no state beside tsr_runtime");
  if (section.sh_type == SHT_NOBITS && index != slotSection)
    bad("has no bytes in the file");
  if (section.sh_addralign > maxAlignment || (section.sh_addralign & (section.sh_addralign - 1)))
    bad("has an alignment that is no power of two up to 256");
  if (section.sh_type != SHT_NOBITS)
    file.slice(section.sh_offset, section.sh_size);
}

template <class Each> void ObjectLoader::forEachRelocation(Each &&each) const {
  uint64_t total = 0;
  for (const Elf64_Shdr &section : sections) {
    if (section.sh_type != SHT_RELA && section.sh_type != SHT_REL)
      continue;
    if (section.sh_info >= sections.size())
      refuse(Code::object_header, "host object is damaged: relocations of a section that is not there");
    // Section 0 is never placed, whatever its header says; what is not allocated is debug information.
    const Elf64_Shdr &target = sections[section.sh_info];
    if (section.sh_info == 0 || !(target.sh_flags & SHF_ALLOC) || target.sh_size == 0)
      continue;
    if (section.sh_type != SHT_RELA || section.sh_entsize != sizeof(Elf64_Rela))
      refuse(Code::object_relocation, "host object: expected relocations with addends");
    Bytes table = file.slice(section.sh_offset, section.sh_size);
    if ((total += table.size) > file.size)
      refuse(Code::object_header, "host object is damaged: its relocation sections overlap");
    for (uint64_t i = 0; i < table.size / sizeof(Elf64_Rela); ++i)
      each(section.sh_info, table.read<Elf64_Rela>(i * sizeof(Elf64_Rela)));
  }
}

static bool usesGot(uint32_t kind) {
  return kind == R_X86_64_GOTPCREL || kind == R_X86_64_GOTPCRELX || kind == R_X86_64_REX_GOTPCRELX;
}

void ObjectLoader::collectGotSlots() {
  forEachRelocation([&](size_t, const Elf64_Rela &relocation) {
    if (usesGot(static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info))))
      gotSlots.emplace(static_cast<uint32_t>(ELF64_R_SYM(relocation.r_info)), 0);
  });
}

/// Text first, then on the next page all the rest with the GOT at its end.
void ObjectLoader::placeSections() {
  object.reset(new HostObject);
  placed.assign(sections.size(), notLoaded);
  uint64_t at = 0, bytes = 0;
  auto place = [&](bool text) {
    for (size_t i = 1; i < sections.size(); ++i) {
      const Elf64_Shdr &section = sections[i];
      if (!(section.sh_flags & SHF_ALLOC) || section.sh_size == 0 || bool(section.sh_flags & SHF_EXECINSTR) != text)
        continue;
      checkSection(section, i);
      // Sections that share file bytes could ask for far more memory than the file has.
      bytes += section.sh_type == SHT_NOBITS ? 0 : section.sh_size;
      if (bytes > file.size)
        refuse(Code::object_header, "host object is damaged: its sections overlap");
      at = alignUp(at, section.sh_addralign ? section.sh_addralign : 1);
      placed[i] = at;
      at += section.sh_size;
    }
  };
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  place(true);
  textSize = at = alignUp(at, page);
  place(false);
  at = alignUp(at, sizeof(void *));
  for (auto &slot : gotSlots) {
    slot.second = at;
    at += sizeof(void *);
  }
  object->size = alignUp(at, page);
  if (textSize == 0)
    refuse(Code::object_section, "host object holds no code");
}

void ObjectLoader::mapAndCopy() {
  void *memory = mmap(nullptr, object->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    refuse(Code::object_memory, "cannot map ", object->size, " bytes for code");
  object->memory = memory;
  for (size_t i = 0; i < sections.size(); ++i)
    if (isLoaded(i) && sections[i].sh_type != SHT_NOBITS)
      std::memcpy(base() + placed[i], file.data + sections[i].sh_offset, sections[i].sh_size);
  if (slotSection) {
    uint8_t *slot = base() + placed[slotSection];
    if (std::any_of(slot, slot + sizeof(void *), [](uint8_t byte) { return byte != 0; }))
      refuse(Code::object_symbol, "host object: expected 'tsr_runtime' to be zero in the file");
    std::memcpy(slot, &api, sizeof api);
  }
}

uint64_t ObjectLoader::locate(uint32_t index) const {
  if (index == 0 || index >= symbols.size())
    refuse(Code::object_relocation, "host object: a relocation refers to symbol ", index, " of ", symbols.size());
  const Elf64_Sym &symbol = symbols[index];
  auto type = ELF64_ST_TYPE(symbol.st_info);
  if (!isLoaded(symbol.st_shndx) || type == STT_TLS || type == STT_GNU_IFUNC)
    refuse(Code::object_symbol, "host object: symbol '", name(symbol),
           "' is not plain code or data of a loaded section");
  if (symbol.st_value > sections[symbol.st_shndx].sh_size)
    refuse(Code::object_symbol, "host object: symbol '", name(symbol), "' lies outside its section");
  return placed[symbol.st_shndx] + symbol.st_value;
}

void ObjectLoader::exportFunctions() {
  uint64_t nameBytes = 0;
  for (uint32_t i = 1; i < symbols.size(); ++i) {
    const Elf64_Sym &symbol = symbols[i];
    if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || !isLoaded(symbol.st_shndx))
      continue;
    const Elf64_Shdr &section = sections[symbol.st_shndx];
    if (!(section.sh_flags & SHF_EXECINSTR) || symbol.st_value >= section.sh_size)
      continue;
    std::string exported = name(symbol);
    if ((nameBytes += exported.size()) > file.size) // names that share bytes, as no assembler writes them
      refuse(Code::object_header, "host object is damaged: its symbols' names overlap");
    if (!object->functions.emplace(exported, base() + locate(i)).second)
      refuse(Code::object_symbol, "host object: symbol '", exported, "' is defined twice");
  }
}

void ObjectLoader::applyRelocation(const Elf64_Shdr &target, uint64_t targetAt, const Elf64_Rela &relocation) {
  const uint32_t kind = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
  const uint32_t symbol = static_cast<uint32_t>(ELF64_R_SYM(relocation.r_info));
  const bool relative = kind == R_X86_64_PC32 || kind == R_X86_64_PLT32 || usesGot(kind);
  if (!relative && kind != R_X86_64_64)
    refuse(Code::object_relocation, "host object: relocation kind ", kind, " in section '", name(target),
           "' is not supported; expected position-independent code of the small model");
  const uint64_t width = relative ? 4 : 8;
  if (relocation.r_offset > target.sh_size || width > target.sh_size - relocation.r_offset)
    refuse(Code::object_relocation, "host object: a relocation points outside section '", name(target), "'");
  const uint64_t place = reinterpret_cast<uint64_t>(base()) + targetAt + relocation.r_offset;
  uint64_t address = reinterpret_cast<uint64_t>(base()) + (usesGot(kind) ? gotSlots.at(symbol) : locate(symbol));
  address += static_cast<uint64_t>(relocation.r_addend); // modulo 2^64, as the ELF specification has it
  if (relative) {
    int64_t distance = static_cast<int64_t>(address - place);
    if (distance != static_cast<int32_t>(distance))
      refuse(Code::object_relocation, "host object: a relocation in section '", name(target), "' does not fit 32 bits");
    int32_t narrow = static_cast<int32_t>(distance);
    std::memcpy(reinterpret_cast<void *>(place), &narrow, sizeof narrow);
  } else {
    std::memcpy(reinterpret_cast<void *>(place), &address, sizeof address);
  }
}

void ObjectLoader::relocate() {
  for (auto [symbol, slot] : gotSlots) {
    uint8_t *target = base() + locate(symbol);
    std::memcpy(base() + slot, &target, sizeof target);
  }
  forEachRelocation([&](size_t section, const Elf64_Rela &relocation) {
    if (section == slotSection)
      refuse(Code::object_relocation, "host object: 'tsr_runtime' may not be relocated");
    applyRelocation(sections[section], placed[section], relocation);
  });
}

void ObjectLoader::seal() {
  if (mprotect(base(), textSize, PROT_READ | PROT_EXEC) != 0 ||
      (object->size > textSize && mprotect(base() + textSize, object->size - textSize, PROT_READ) != 0))
    refuse(Code::object_memory, "cannot make code executable: the system forbids it to this process");
}

std::unique_ptr<HostObject> HostObject::load(Bytes file, const tsr_api *api) { return ObjectLoader(file, api).load(); }

HostObject::~HostObject() {
  if (memory)
    munmap(memory, size);
}

void *HostObject::function(const std::string &name) const {
  auto found = functions.find(name);
  if (found == functions.end())
    refuse(Code::object_symbol, "host object has no function '", name, "'");
  return found->second;
}

} // namespace tsr

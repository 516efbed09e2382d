/* SPDX-License-Identifier: Apache-2.0 */
/* The linker of blobs.
 *
 *     objects --index--> sections to keep --layout--> offsets in the blob --copy--> bytes
 *                        symbols ----------resolve--> offsets --relocate--> patched bytes
 *
 * Code of all objects comes first, then the constants of all objects, so that the pages of one kind
 * lie together. */
#include "codegen/cpu/link.h"

#include <elf.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/diag.h"
#include "base/map.h"

#define NO_OFFSET UINT64_MAX
#define BLOB_MAX                                                                                   \
  (UINT64_C(1) << 30) /* 32-bit displacements reach everywhere with room to spare                  \
                       */

enum section_class { SECTION_IGNORED, SECTION_TEXT, SECTION_RODATA, SECTION_REFUSED };

struct object {
  const uint8_t *data;
  size_t size;
  const char *name;
  const Elf64_Shdr *sections;
  uint32_t section_count;
  uint64_t *offsets; /* per section: where it lies in the blob, or NO_OFFSET */
  const char *section_names;
  size_t section_names_size;
  const Elf64_Sym *symbols;
  uint32_t symbol_count;
  const char *strings;
  size_t strings_size;
};

struct linker {
  struct diags *diags;
  struct arena *arena;
  struct object *objects;
  uint32_t count;
  struct strmap globals; /* name -> offset in the blob */
  struct code_blob *blob;
};

/* ---- Reading objects ---- */

static status malformed(struct linker *l, const struct object *o, const char *what) {
  return diag_report(l->diags, DIAG_E0406, NULL, NULL, "%s: %s", o->name, what);
}

/* `size` bytes at `offset`, aligned for a struct of `alignment`; NULL if they are not all there. */
static const void *bytes_at(const struct object *o, uint64_t offset, uint64_t size,
                            size_t alignment) {
  if (offset > o->size || size > o->size - offset)
    return NULL;
  const uint8_t *at = o->data + offset;
  return (uintptr_t)at % alignment == 0 ? at : NULL;
}

/* The string at `offset` of a table whose last byte is known to be NUL. */
static const char *string_at(const char *table, size_t size, uint64_t offset) {
  return offset < size ? table + offset : NULL;
}

static status string_table(struct linker *l, const struct object *o, uint32_t index,
                           const char **out_table, size_t *out_size) {
  if (index >= o->section_count || o->sections[index].sh_type != SHT_STRTAB)
    return malformed(l, o, "a string table is missing");
  const Elf64_Shdr *section = &o->sections[index];
  const char *table = bytes_at(o, section->sh_offset, section->sh_size, 1);
  if (!table || section->sh_size == 0 || table[section->sh_size - 1] != '\0')
    return malformed(l, o, "a string table is damaged");
  *out_table = table;
  *out_size = section->sh_size;
  return STATUS_OK;
}

static status read_symbols(struct linker *l, struct object *o) {
  for (uint32_t i = 0; i < o->section_count; i++) {
    const Elf64_Shdr *section = &o->sections[i];
    if (section->sh_type != SHT_SYMTAB)
      continue;
    uint64_t count = section->sh_size / sizeof(Elf64_Sym);
    o->symbols = bytes_at(o, section->sh_offset, section->sh_size, _Alignof(Elf64_Sym));
    if (!o->symbols || count > UINT32_MAX)
      return malformed(l, o, "the symbol table is damaged");
    o->symbol_count = (uint32_t)count;
    return string_table(l, o, section->sh_link, &o->strings, &o->strings_size);
  }
  return STATUS_OK;
}

static status read_object(struct linker *l, struct object *o) {
  const Elf64_Ehdr *header = bytes_at(o, 0, sizeof *header, _Alignof(Elf64_Ehdr));
  if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64 || header->e_type != ET_REL)
    return malformed(l, o, "not an x86-64 relocatable object");
  if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shnum == 0)
    return malformed(l, o, "the section table is missing");
  o->section_count = header->e_shnum;
  o->sections = bytes_at(o, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr),
                         _Alignof(Elf64_Shdr));
  if (!o->sections)
    return malformed(l, o, "the section table is damaged");
  status s = string_table(l, o, header->e_shstrndx, &o->section_names, &o->section_names_size);
  if (s != STATUS_OK)
    return s;
  o->offsets = ARENA_ARRAY(l->arena, uint64_t, o->section_count);
  for (uint32_t i = 0; i < o->section_count; i++)
    o->offsets[i] = NO_OFFSET;
  return read_symbols(l, o);
}

/* ---- Layout ---- */

static const char *section_name(const struct object *o, const Elf64_Shdr *section) {
  const char *name = string_at(o->section_names, o->section_names_size, section->sh_name);
  return name ? name : "?";
}

static enum section_class classify(const Elf64_Shdr *section) {
  if (!(section->sh_flags & SHF_ALLOC) || section->sh_size == 0)
    return SECTION_IGNORED;
  if (section->sh_type != SHT_PROGBITS || section->sh_flags & (SHF_WRITE | SHF_TLS))
    return SECTION_REFUSED;
  return section->sh_flags & SHF_EXECINSTR ? SECTION_TEXT : SECTION_RODATA;
}

static status place(struct linker *l, struct object *o, uint32_t index, uint64_t *end) {
  const Elf64_Shdr *section = &o->sections[index];
  uint64_t alignment = section->sh_addralign ? section->sh_addralign : 1;
  if (alignment & (alignment - 1) || alignment > CODE_BLOB_ALIGN)
    return malformed(l, o, "a section has an impossible alignment");
  if (!bytes_at(o, section->sh_offset, section->sh_size, 1))
    return malformed(l, o, "a section lies outside the object");
  uint64_t start = (*end + alignment - 1) & ~(alignment - 1);
  if (section->sh_size > BLOB_MAX - start)
    return diag_report(l->diags, DIAG_E0407, NULL, NULL, "the code is larger than 1 GiB");
  o->offsets[index] = start;
  *end = start + section->sh_size;
  return STATUS_OK;
}

static status place_class(struct linker *l, enum section_class class, uint64_t *end) {
  status first = STATUS_OK;
  for (uint32_t k = 0; k < l->count; k++) {
    struct object *o = &l->objects[k];
    for (uint32_t i = 0; i < o->section_count; i++) {
      if (classify(&o->sections[i]) != class)
        continue;
      status s = class == SECTION_REFUSED
                     ? diag_report(l->diags, DIAG_E0407, NULL, NULL,
                                   "%s: section '%s' cannot be part of a position-independent, "
                                   "read-only blob",
                                   o->name, section_name(o, &o->sections[i]))
                     : place(l, o, i, end);
      first = first ? first : s;
    }
  }
  return first;
}

static status lay_out(struct linker *l) {
  uint64_t end = 0;
  status s = place_class(l, SECTION_REFUSED, &end);
  if (s == STATUS_OK)
    s = place_class(l, SECTION_TEXT, &end);
  uint64_t text_end = end = (end + 63) & ~UINT64_C(63);
  if (s == STATUS_OK)
    s = place_class(l, SECTION_RODATA, &end);
  if (s != STATUS_OK)
    return s;
  uint64_t size = (end + CODE_BLOB_ALIGN - 1) & ~(uint64_t)(CODE_BLOB_ALIGN - 1);
  l->blob->data = arena_alloc(l->arena, size);
  l->blob->size = size;
  memset(l->blob->data, 0xCC, text_end); /* int3 between functions */
  for (uint32_t k = 0; k < l->count; k++) {
    const struct object *o = &l->objects[k];
    for (uint32_t i = 0; i < o->section_count; i++)
      if (o->offsets[i] != NO_OFFSET)
        memcpy(l->blob->data + o->offsets[i], o->data + o->sections[i].sh_offset,
               o->sections[i].sh_size);
  }
  return STATUS_OK;
}

/* ---- Symbols ---- */

static const char *symbol_name(const struct object *o, const Elf64_Sym *symbol) {
  const char *name = string_at(o->strings, o->strings_size, symbol->st_name);
  return name ? name : "?";
}

/* Where a symbol that this object defines lies in the blob; NO_OFFSET for the others. A symbol may
 * point at a section's end. */
static uint64_t defined_offset(const struct object *o, const Elf64_Sym *symbol) {
  uint32_t index = symbol->st_shndx;
  if (index == SHN_UNDEF || index >= o->section_count || o->offsets[index] == NO_OFFSET ||
      symbol->st_value > o->sections[index].sh_size)
    return NO_OFFSET;
  return o->offsets[index] + symbol->st_value;
}

static bool is_kept_function(const struct object *o, const Elf64_Sym *symbol) {
  return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && defined_offset(o, symbol) != NO_OFFSET;
}

static status index_globals(struct linker *l, const struct object *o) {
  status first = STATUS_OK;
  for (uint32_t i = 0; i < o->symbol_count; i++) {
    const Elf64_Sym *symbol = &o->symbols[i];
    uint64_t offset = defined_offset(o, symbol), other;
    if (ELF64_ST_BIND(symbol->st_info) == STB_LOCAL || offset == NO_OFFSET)
      continue;
    const char *name = symbol_name(o, symbol);
    if (strmap_get(&l->globals, name, strlen(name), &other))
      first =
          diag_report(l->diags, DIAG_E0408, NULL, NULL, "%s: '%s' is defined twice", o->name, name);
    else
      strmap_put(&l->globals, name, strlen(name), offset);
  }
  return first;
}

static void insert_symbol(struct code_symbol *symbols, uint32_t begin, uint32_t count,
                          struct code_symbol added) {
  uint32_t at = count;
  for (; at > begin && symbols[at - 1].offset > added.offset; at--)
    symbols[at] = symbols[at - 1];
  symbols[at] = added;
}

static void list_functions(struct linker *l) {
  struct code_blob *blob = l->blob;
  uint64_t total = 0;
  for (uint32_t k = 0; k < l->count; k++)
    for (uint32_t i = 0; i < l->objects[k].symbol_count; i++)
      total += is_kept_function(&l->objects[k], &l->objects[k].symbols[i]);
  blob->symbols = ARENA_ARRAY(l->arena, struct code_symbol, total);
  for (uint32_t k = 0; k < l->count; k++) {
    const struct object *o = &l->objects[k];
    uint32_t begin = blob->symbol_count;
    for (uint32_t i = 0; i < o->symbol_count; i++) {
      const Elf64_Sym *symbol = &o->symbols[i];
      if (!is_kept_function(o, symbol))
        continue;
      struct code_symbol added = {.name = arena_strdup(l->arena, symbol_name(o, symbol)),
                                  .offset = defined_offset(o, symbol),
                                  .size = symbol->st_size,
                                  .global = ELF64_ST_BIND(symbol->st_info) != STB_LOCAL};
      insert_symbol(blob->symbols, begin, blob->symbol_count++, added);
    }
  }
}

static status resolve(struct linker *l, const struct object *o, uint64_t index,
                      uint64_t *out_offset) {
  if (index >= o->symbol_count)
    return malformed(l, o, "a relocation names no symbol");
  const Elf64_Sym *symbol = &o->symbols[index];
  *out_offset = defined_offset(o, symbol);
  if (*out_offset != NO_OFFSET)
    return STATUS_OK;
  const char *name = symbol_name(o, symbol);
  if (symbol->st_shndx == SHN_UNDEF && strmap_get(&l->globals, name, strlen(name), out_offset))
    return STATUS_OK;
  if (symbol->st_shndx != SHN_UNDEF)
    return malformed(l, o, "a relocation points outside the kept sections");
  return diag_report(l->diags, DIAG_E0405, NULL,
                     "generated code must not call out; this is an error in the compiler",
                     "%s: undefined symbol '%s'", o->name, name);
}

/* ---- Relocation ---- */

/* Turns the load of an address from the global offset table into the address itself; `field` is the
 * 32-bit displacement after the opcode and its operand byte. Forms: x86-64 psABI, "Optimize
 * GOTPCRELX Relocations". */
static bool relax_got(uint8_t *field) {
  uint8_t *opcode = field - 2, *operand = field - 1;
  if (*opcode == 0x8B) { /* mov foo@GOTPCREL(%rip), reg -> lea foo(%rip), reg */
    *opcode = 0x8D;
    return true;
  }
  if (*opcode == 0xFF && *operand == 0x15) { /* call *foo@GOTPCREL(%rip) -> addr32 call foo */
    *opcode = 0x67;
    *operand = 0xE8;
    return true;
  }
  if (*opcode == 0xFF && *operand == 0x25) { /* jmp *foo@GOTPCREL(%rip) -> nop; jmp foo */
    *opcode = 0x90;
    *operand = 0xE9;
    return true;
  }
  return false;
}

static status patch(struct linker *l, const struct object *o, const Elf64_Rela *rela,
                    uint64_t section_start, uint64_t section_size) {
  uint64_t type = ELF64_R_TYPE(rela->r_info), target;
  uint64_t width = type == R_X86_64_PC64 ? 8 : 4;
  if (type == R_X86_64_NONE)
    return STATUS_OK;
  if (rela->r_offset > section_size || width > section_size - rela->r_offset)
    return malformed(l, o, "a relocation lies outside its section");
  status s = resolve(l, o, ELF64_R_SYM(rela->r_info), &target);
  if (s != STATUS_OK)
    return s;
  uint8_t *field = l->blob->data + section_start + rela->r_offset;
  switch (type) {
  case R_X86_64_PC32:
  case R_X86_64_PLT32:
  case R_X86_64_PC64: break;
  case R_X86_64_GOTPCREL:
  case R_X86_64_GOTPCRELX:
  case R_X86_64_REX_GOTPCRELX:
    if (rela->r_offset >= 2 && rela->r_addend == -4 && relax_got(field))
      break;
    return diag_report(l->diags, DIAG_E0407, NULL, NULL,
                       "%s: an access through the global offset table cannot be relaxed", o->name);
  default:
    return diag_report(l->diags, DIAG_E0407, NULL, NULL,
                       "%s: relocation type %u is not position-independent", o->name,
                       (unsigned)type);
  }
  uint64_t value = target + (uint64_t)rela->r_addend - (section_start + rela->r_offset);
  if (width == 4 && (int64_t)value != (int32_t)value)
    return malformed(l, o, "a relocation does not fit 32 bits");
  memcpy(field, &value, width); /* little endian, as the machine is */
  return STATUS_OK;
}

static status relocate_section(struct linker *l, const struct object *o,
                               const Elf64_Shdr *section) {
  if (section->sh_info >= o->section_count || o->offsets[section->sh_info] == NO_OFFSET)
    return STATUS_OK;
  if (section->sh_type == SHT_REL || section->sh_entsize != sizeof(Elf64_Rela))
    return malformed(l, o, "relocations have an unknown form");
  const Elf64_Rela *relas = bytes_at(o, section->sh_offset, section->sh_size, _Alignof(Elf64_Rela));
  if (!relas)
    return malformed(l, o, "relocations lie outside the object");
  status first = STATUS_OK;
  for (uint64_t i = 0; i < section->sh_size / sizeof(Elf64_Rela); i++) {
    status s =
        patch(l, o, &relas[i], o->offsets[section->sh_info], o->sections[section->sh_info].sh_size);
    first = first ? first : s;
  }
  return first;
}

static status relocate(struct linker *l) {
  status first = STATUS_OK;
  for (uint32_t k = 0; k < l->count; k++) {
    const struct object *o = &l->objects[k];
    for (uint32_t i = 0; i < o->section_count; i++) {
      uint32_t type = o->sections[i].sh_type;
      status s =
          type == SHT_RELA || type == SHT_REL ? relocate_section(l, o, &o->sections[i]) : STATUS_OK;
      first = first ? first : s;
    }
  }
  return first;
}

static status link_all(struct linker *l, const struct cpu_object *objects) {
  status s = STATUS_OK;
  for (uint32_t k = 0; k < l->count && s == STATUS_OK; k++) {
    l->objects[k] =
        (struct object){.data = objects[k].data, .size = objects[k].size, .name = objects[k].name};
    s = read_object(l, &l->objects[k]);
  }
  if (s == STATUS_OK)
    s = lay_out(l);
  for (uint32_t k = 0; k < l->count && s == STATUS_OK; k++)
    s = index_globals(l, &l->objects[k]);
  if (s != STATUS_OK)
    return s;
  list_functions(l);
  return relocate(l);
}

status cpu_link(struct diags *diags, struct arena *arena, const struct cpu_object *objects,
                uint32_t count, struct code_blob *out_blob) {
  *out_blob = (struct code_blob){0};
  struct linker l = {.diags = diags, .arena = arena, .count = count, .blob = out_blob};
  l.objects = ARENA_ARRAY(arena, struct object, count);
  status s = link_all(&l, objects);
  strmap_deinit(&l.globals);
  return s;
}

const struct code_symbol *code_blob_find(const struct code_blob *blob, const char *name) {
  for (uint32_t i = 0; i < blob->symbol_count; i++)
    if (blob->symbols[i].global && strcmp(blob->symbols[i].name, name) == 0)
      return &blob->symbols[i];
  return NULL;
}

#include "dynamic/shared_library.hpp"

#include <asyncvm/error.hpp>

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace asyncvm {

namespace {

[[noreturn]] void fail() {
    const char* const why = ::dlerror();
    throw Error(ErrorKind::host, why != nullptr ? std::string(why) : "the dynamic linker does not say why");
}

/// What an ELF file says of the functions that it takes from other libraries (System V ABI, AMD64 supplement).
struct ImportTables {
    const ElfW(Sym) * symbols = nullptr;
    const char* names = nullptr;
    std::span<const ElfW(Rela)> calls;  ///< DT_JMPREL
    std::span<const ElfW(Rela)> data;   ///< DT_RELA: pointers to functions, and calls without a PLT
};

ImportTables tables_of(const link_map& map) {
    ImportTables tables;
    const ElfW(Rela)* calls = nullptr;
    const ElfW(Rela)* data = nullptr;
    std::size_t calls_size = 0;
    std::size_t data_size = 0;
    // The GNU dynamic linker has made addresses of these; others leave offsets.
    const auto address = [&map](const ElfW(Dyn) & entry) {
        const auto value = entry.d_un.d_ptr;
        return value < map.l_addr ? value + map.l_addr : value;
    };
    for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
        switch (entry->d_tag) {
            case DT_SYMTAB:
                tables.symbols = reinterpret_cast<const ElfW(Sym)*>(address(*entry));
                break;
            case DT_STRTAB:
                tables.names = reinterpret_cast<const char*>(address(*entry));
                break;
            case DT_JMPREL:
                calls = reinterpret_cast<const ElfW(Rela)*>(address(*entry));
                break;
            case DT_PLTRELSZ:
                calls_size = entry->d_un.d_val;
                break;
            case DT_RELA:
                data = reinterpret_cast<const ElfW(Rela)*>(address(*entry));
                break;
            case DT_RELASZ:
                data_size = entry->d_un.d_val;
                break;
            default:
                break;
        }
    }
    if (tables.symbols == nullptr || tables.names == nullptr) return tables;
    if (calls != nullptr) tables.calls = {calls, calls_size / sizeof *calls};
    if (data != nullptr) tables.data = {data, data_size / sizeof *data};
    return tables;
}

struct Protected {
    const link_map* map;
    std::uintptr_t place;
    bool found;
};

int look_for_relro(dl_phdr_info* info, std::size_t, void* data) {
    auto& wanted = *static_cast<Protected*>(data);
    if (info->dlpi_addr != wanted.map->l_addr) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& header = info->dlpi_phdr[i];
        const std::uintptr_t offset = wanted.place - (info->dlpi_addr + header.p_vaddr);
        if (header.p_type == PT_GNU_RELRO && offset < header.p_memsz) wanted.found = true;
    }
    return 1;
}

/// Whether the dynamic linker has made this place of the library read-only.
bool is_read_only(const link_map& map, std::uintptr_t place) {
    Protected wanted{&map, place, false};
    ::dl_iterate_phdr(look_for_relro, &wanted);
    return wanted.found;
}

void overwrite(const link_map& map, std::uintptr_t place, void* value) {
    const auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    auto* const page = reinterpret_cast<void*>(place & ~(page_size - 1));
    const bool read_only = is_read_only(map, place);
    if (read_only && ::mprotect(page, page_size, PROT_READ | PROT_WRITE) != 0) return;
    std::memcpy(reinterpret_cast<void*>(place), &value, sizeof value);
    if (read_only) ::mprotect(page, page_size, PROT_READ);
}

}  // namespace

SharedLibrary::SharedLibrary(const char* file, Binding binding)
    : handle_(::dlopen(file, (binding == Binding::now ? RTLD_NOW : RTLD_LAZY) | RTLD_LOCAL)) {
    if (handle_ == nullptr) fail();
}

std::size_t SharedLibrary::replace_imports(std::span<const Import> imports) const {
    link_map* map = nullptr;
    if (::dlinfo(handle_, RTLD_DI_LINKMAP, static_cast<void*>(&map)) != 0 || map == nullptr) return 0;
    const ImportTables tables = tables_of(*map);
    std::vector<bool> found(imports.size());
    for (const auto& relocations : {tables.calls, tables.data}) {
        for (const auto& relocation : relocations) {
            const auto type = ELF64_R_TYPE(relocation.r_info);
            if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
            const auto& symbol = tables.symbols[ELF64_R_SYM(relocation.r_info)];
            if (symbol.st_shndx != SHN_UNDEF) continue;
            const char* const name = tables.names + symbol.st_name;
            for (std::size_t i = 0; i < imports.size(); ++i) {
                if (std::strcmp(name, imports[i].name) != 0) continue;
                overwrite(*map, map->l_addr + relocation.r_offset, imports[i].replacement);
                found[i] = true;
            }
        }
    }
    return static_cast<std::size_t>(std::count(found.begin(), found.end(), true));
}

void* SharedLibrary::symbol(const char* name) const {
    void* const found = ::dlsym(handle_, name);
    if (found == nullptr) fail();
    return found;
}

}  // namespace asyncvm

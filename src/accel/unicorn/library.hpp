/// Unicorn's functions, from a library that is loaded when the first guest needs it.
#pragma once

#include <unicorn/unicorn.h>

/// The functions of Unicorn that asyncvm calls.
#define ASYNCVM_UNICORN_FUNCTIONS(F) \
    F(uc_close)                      \
    F(uc_ctl)                        \
    F(uc_emu_start)                  \
    F(uc_emu_stop)                   \
    F(uc_hook_add)                   \
    F(uc_hook_del)                   \
    F(uc_mem_map_ptr)                \
    F(uc_mem_protect)                \
    F(uc_mem_unmap)                  \
    F(uc_mem_write)                  \
    F(uc_mmio_map)                   \
    F(uc_open)                       \
    F(uc_reg_read)                   \
    F(uc_reg_write)                  \
    F(uc_strerror)

namespace asyncvm::unicorn {

/// Linked in the ordinary way, Unicorn would cost each start of the program 6 ms for its relocations, also where
/// KVM runs the guest. So the names of its functions, and the macros of its header, mean pointers in this namespace.
#define ASYNCVM_DECLARE(name) extern decltype(&::name) name;
ASYNCVM_UNICORN_FUNCTIONS(ASYNCVM_DECLARE)
#undef ASYNCVM_DECLARE

/// Fills the pointers in. Once; any thread. Throws Error(host), and tries again when it is called again.
void load_library();

}  // namespace asyncvm::unicorn

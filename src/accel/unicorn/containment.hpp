/// Keeps what ends Unicorn from ending the process.
#pragma once

#include <cstddef>
#include <span>

#include "dynamic/shared_library.hpp"

namespace asyncvm::unicorn {

/// Unicorn aborts when it can't translate an instruction, and calls exit() when it gets no memory. All of its code runs on
/// fibers, and a fiber can be left for good: the code that resumed it goes on. Unicorn's unfinished work
/// and its memory stay.
///
/// Two nets. The first is Unicorn's own calls of abort() and exit(): load_library() leads them here; nothing else in the
/// process notices. The second, for faults and what the C library aborts for, is contain_faults().

/// What load_library() replaces in Unicorn.
[[nodiscard]] std::span<const SharedLibrary::Import> contained_imports() noexcept;

/// Handles SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT, process-wide and for good: a fault on a fiber leaves it, any other
/// goes to the handler that was there before. Any thread; once.
void contain_faults();

/// Before the calling thread resumes a fiber in which Unicorn runs. Cheap but for the first time.
void prepare_thread();

/// The memory for translated code that an engine has got on the calling thread since forget_code_buffer(); empty if none
/// has.
[[nodiscard]] std::span<const std::byte> last_code_buffer() noexcept;
void forget_code_buffer() noexcept;

/// The bytes for translated code that an engine has not got on the calling thread since forget_code_buffer(); 0 if none was
/// refused.
[[nodiscard]] std::size_t refused_code_buffer() noexcept;

}  // namespace asyncvm::unicorn

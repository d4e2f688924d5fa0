/// What gdb asks for, taken out of a packet's text. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::gdb {

/// What a thread is to do. gdb's threads are the vCPUs, counted from 1.
struct ThreadAction {
    static constexpr int all = -1;
    bool step = false;        ///< otherwise it goes on
    std::uint64_t from = 0;   ///< a step goes on as long as it ends in front of an instruction in [from, until) ...
    std::uint64_t until = 0;  ///< ... which is nothing if it is one instruction
    int thread = all;         ///< 0: any, which is the one that gdb talks of
};

struct Command {
    enum class Kind {
        unknown,    ///< an empty reply says so
        malformed,  ///< a known one whose parameters are wrong
        extended,
        why_stopped,
        read_registers,
        write_registers,  ///< `data`
        read_register,    ///< `number`
        write_register,   ///< `number`, `data`
        read_memory,      ///< `address`, `length`; the reply is in hexadecimal
        read_bytes,       ///< the same, the reply is binary
        write_memory,     ///< `address`, `data`
        insert,           ///< a breakpoint: `number` is its type, `address`, `length`, `conditions`, `commands`
        remove,
        resume,     ///< `actions`
        can_vcont,  ///< which actions there are
        detach,
        kill,
        kill_and_tell,  ///< lldb wants to hear how the guest has ended; gdb wants nothing
        select_thread,  ///< `thread`, for what follows
        thread_alive,   ///< `thread`
        features,       ///< `data`: those of gdb
        no_acks,
        read_object,    ///< `text` of kind `data`; `address` is the offset, `length`
        first_threads,  ///< all of them
        more_threads,   ///< none left
        current_thread,
        attached,
        thread_words,  ///< `thread`, for a person
        monitor,       ///< `data`: what the person has typed
        physical_mode,
        set_physical_mode,  ///< `number`: 0 or 1
        accept,             ///< something that needs nothing but OK
    };

    Kind kind = Kind::unknown;
    int thread = 0;
    unsigned number = 0;
    std::uint64_t address = 0;
    std::uint64_t length = 0;
    std::string text;
    std::string data;  ///< bytes
    std::vector<ThreadAction> actions;
    std::vector<std::string> conditions;  ///< bytecode; one that holds is enough
    std::vector<std::string> commands;    ///< bytecode; of dprintfs
    bool persist = false;                 ///< `commands` stay when gdb is gone
};

/// Any bytes.
[[nodiscard]] Command parse_command(std::string_view packet);

}  // namespace asyncvm::gdb

/// A guest's processor on Unicorn, as something that runs until it needs its monitor.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "accel/unicorn/engine.hpp"
#include "accel/unicorn/fiber.hpp"
#include "accel/unicorn/host_writes.hpp"
#include "accel/unicorn/joiner.hpp"
#include "accel/unicorn/state.hpp"
#include "accel/unicorn/stub.hpp"

namespace asyncvm::unicorn {

/// uc_emu_start runs on a fiber; where the guest needs a device, the hook inside it switches out and run() returns. A hook
/// before each instruction makes every stop exact: Unicorn's own ways to stop leave a stale instruction pointer, or run on
/// to the end of a block. Unicorn 2.0 ignores where page tables lead to, so once the guest turns paging on, each page that
/// it touches is checked to be mapped to itself; a guest that needs more is refused. One thread at a time.
class Emulation {
public:
    enum class Stop : std::uint8_t {
        access,  ///< transaction() waits for an answer
        halted,
        shut_down,
        failed,     ///< failure() says why
        attention,  ///< `kicked` is set, or the slice is over
        boundary,   ///< complete() has finished the instruction
        debug,      ///< debug_stop() says why; the guest is in front of an instruction
    };

    /// Instructions after which run() returns Stop::attention so that another vCPU can have its turn.
    static constexpr int slice = 20'000;
    static constexpr unsigned breakpoint_exception = 3;

    /// Sets the engine up with the memory and the state. Throws Error(host), also if Unicorn gives up. `memory`, if
    /// there is any, `kicked` and `host_writes` outlive the object.
    Emulation(std::unique_ptr<Engine> engine, unsigned index, const GuestMemory* memory, const Registers& start,
              const std::atomic<bool>& kicked, HostWrites& host_writes);
    /// Unwinds the fiber; the guest runs no further instruction, but finishes the one in which it is suspended.
    ~Emulation();
    Emulation(const Emulation&) = delete;
    Emulation& operator=(const Emulation&) = delete;

    [[nodiscard]] Stop run();

    /// After Stop::access: finishes the instruction. Further accesses of it stop here too. Stop::boundary when it is done.
    [[nodiscard]] Stop complete();

    /// From the next run() on. Breakpoints stop in front of instructions; there are none for data.
    void set_debug(const GuestDebug& debug);
    [[nodiscard]] const Debug& debug_stop() const noexcept { return debug_stop_; }

    /// The access of the last stop; its data is read back when the guest goes on.
    [[nodiscard]] const Transaction& transaction() const noexcept { return transaction_; }
    [[nodiscard]] const Failure& failure() const noexcept { return *failure_; }

    /// Exact at every stop but Stop::access, where it may be that of the middle of an instruction.
    [[nodiscard]] Registers registers() const;

    /// At a stop that is not Stop::access.
    [[nodiscard]] ExtendedState extended() const { return read_extended(*engine_); }
    void set_extended(const ExtendedState& state) { write_extended(*engine_, state); }
    [[nodiscard]] bool access_pending() const noexcept { return stop_ == Stop::access; }

    /// Of the instruction that made the last stop.
    [[nodiscard]] std::uint64_t rip() const noexcept { return inside_ ? linear_ - cs_base_ : rip_; }

private:
    // Hooks: called by Unicorn, on the fiber. None throws.
    static void on_instruction(uc_engine*, std::uint64_t address, std::uint32_t size, void* self) noexcept;
    static void on_block(uc_engine*, std::uint64_t address, std::uint32_t size, void* self) noexcept;
    static std::uint32_t on_in(uc_engine*, std::uint32_t port, int size, void* self) noexcept;
    static void on_out(uc_engine*, std::uint32_t port, int size, std::uint32_t value, void* self) noexcept;
    static std::uint64_t on_mmio_read(uc_engine*, std::uint64_t offset, unsigned size, void* self) noexcept;
    static void on_mmio_write(uc_engine*, std::uint64_t offset, unsigned size, std::uint64_t value, void* self) noexcept;
    static bool on_device_memory(uc_engine*, uc_mem_type type, std::uint64_t address, int size, std::int64_t value,
                                 void* self) noexcept;
    static bool on_unmapped(uc_engine*, uc_mem_type type, std::uint64_t address, int size, std::int64_t value,
                            void* self) noexcept;
    static void on_memory(uc_engine*, uc_mem_type type, std::uint64_t address, int size, std::int64_t value,
                          void* self) noexcept;
    static void on_exception(uc_engine*, std::uint32_t vector, void* self) noexcept;
    static bool on_invalid(uc_engine*, void* self) noexcept;
    static int on_cpuid(uc_engine*, void* self) noexcept;
    static void on_syscall(uc_engine*, void* self) noexcept;

    /// A range without RAM: Unicorn's callbacks get it, because they get only offsets.
    struct DeviceRange {
        Emulation* emulation;
        std::uint64_t base;
        std::uint64_t size;
    };

    void map_memory();
    void map_device_range(DeviceRange& range);
    template <typename Callback>
    uc_hook add_hook(int type, Callback* callback);
    template <typename Callback>
    void hook_instruction(uc_x86_insn instruction, Callback* callback);
    void add_hooks();
    void switch_page_checks();
    void load_start_state(const Registers& start);
    void run_stub(std::uint64_t rip);

    void set_up();
    void body();
    void resume();
    void give_up();
    void emulate_once();
    void after_emulation(uc_err error);
    void deliver_exception();
    void drop_stale_code();
    void suspend(Stop stop);
    void fail();

    void stop_for_debugger(std::uint64_t address);
    void stop_at_int3();
    void slow_instruction_check(std::uint64_t address, std::uint32_t size);
    void mode_changed(std::uint64_t address);
    [[nodiscard]] bool is_string_input() const;
    [[nodiscard]] bool page_is_identity(std::uint64_t address);
    void check_code(std::uint64_t address, std::uint32_t size);
    void access(Space space, Direction direction, std::uint64_t address, unsigned size, std::byte* data);
    void raise_unmapped(std::uint64_t address, unsigned vector, bool fetch) noexcept;
    void refuse(std::string_view reason) noexcept;
    void stop_engine() noexcept;

    std::unique_ptr<Engine> engine_;
    const unsigned index_;
    const GuestMemory* const memory_;
    const Registers started_;
    const std::atomic<bool>& kicked_;
    HostWrites& host_writes_;

    struct alignas(4096) StubPages {
        std::array<std::byte, stub_size> bytes{};
    };
    std::unique_ptr<StubPages> stub_ = std::make_unique<StubPages>();
    DeviceRange stub_range_{this, stub_base, stub_size};
    bool stub_range_mapped_ = false;
    std::vector<std::unique_ptr<DeviceRange>> device_ranges_;
    uc_hook instruction_hook_ = 0;
    uc_hook page_check_hook_ = 0;
    bool page_checks_ = false;

    // Where the guest is.
    std::uint64_t linear_ = 0;  ///< of the current instruction, while inside_
    std::uint64_t cs_base_ = 0;
    std::uint64_t rip_ = 0;  ///< where it goes on, while not inside_
    bool inside_ = false;    ///< suspended, or running, inside uc_emu_start
    bool entering_ = false;  ///< the next instruction is the first of an uc_emu_start
    bool in_stub_ = false;
    std::uint64_t cr0_ = 0;
    std::uint64_t cs_ = 0;
    Registers paging_;  ///< the control registers of the current block, for page walks

    // Pages that were found to be mapped to themselves, in the current block: their address plus the block's number.
    std::array<std::uint64_t, 64> identity_pages_{};
    std::uint64_t block_ = 1;                     ///< below 4096
    std::uint64_t code_low_ = 1, code_high_ = 0;  ///< instructions in [code_low_, code_high_) need no check

    // Why uc_emu_start is to end.
    int budget_ = slice;
    bool completing_ = false;
    bool quitting_ = false;
    bool reconfigure_ = false;
    bool code_full_ = false;       ///< the buffer for translated code is to be emptied then, too
    bool code_stale_ = false;      ///< translations are to be dropped in front of the next instruction
    bool at_instruction_ = false;  ///< it ends in front of the instruction at linear_, whatever Unicorn's RIP says
    std::optional<unsigned> exception_{};
    std::optional<Failure> failure_{};
    std::exception_ptr setup_failure_{};

    GuestDebug debug_;
    bool debugging_ = false;  ///< steps, or breakpoints of debug registers
    bool pass_ = true;        ///< the instruction in front of which run() was called is for the debugger behind it
    Debug debug_stop_;

    Joiner joiner_;
    bool input_read_ = false;  ///< INS has read its port: what it writes now is meant
    Transaction transaction_;
    std::array<std::byte, 8> port_data_{};
    Stop stop_ = Stop::attention;
    Fiber fiber_;
};

}  // namespace asyncvm::unicorn

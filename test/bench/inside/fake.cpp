#include "fake.hpp"

#include "accel/kvm/conversion.hpp"
#include "devices.hpp"

#include <array>
#include <cstddef>

namespace asyncvm::bench {

namespace {

constexpr std::uint64_t behind_the_ram = 0x100000;

class FakeCpu final : public Cpu {
public:
    FakeCpu(Kind kind, std::uint32_t count, std::uint16_t port) : kind_(kind), count_(count), port_(port) {}

    Exit run() override {
        kvm_run& run = page_.run;
        const std::uint64_t step = step_++;
        if (step == 0 || step == count_ + 1) {
            port_exit(KVM_EXIT_IO_OUT, Marks::port);
        } else if (step > count_ + 1) {
            run.exit_reason = KVM_EXIT_HLT;
        } else if (kind_ == Kind::out || kind_ == Kind::in) {
            port_exit(kind_ == Kind::out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN, port_);
        } else {
            run.exit_reason = KVM_EXIT_MMIO;
            run.mmio.phys_addr = behind_the_ram;
            run.mmio.len = 1;
            run.mmio.is_write = kind_ == Kind::mmio_write;
        }
        return kvm::decode_exit(run);
    }
    void complete_exit() override {}
    void kick() noexcept override {}
    Registers registers() override { return registers_; }
    void set_registers(const Registers& registers) override { registers_ = registers; }
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override { return page_.run.s.regs.regs.rip; }

private:
    void port_exit(std::uint8_t direction, std::uint64_t port) noexcept {
        kvm_run& run = page_.run;
        run.exit_reason = KVM_EXIT_IO;
        run.io.direction = direction;
        run.io.size = 1;
        run.io.count = 1;
        run.io.port = static_cast<std::uint16_t>(port);
        run.io.data_offset = offsetof(Page, data);
    }

    struct Page {
        kvm_run run;
        std::array<std::byte, 8> data;
    };
    Page page_{};
    Kind kind_;
    std::uint32_t count_;
    std::uint16_t port_;
    std::uint64_t step_ = 0;
    Registers registers_;
};

class FakeAccelerator final : public Accelerator {
public:
    FakeAccelerator(Kind kind, std::uint32_t count, std::uint16_t port) : kind_(kind), count_(count), port_(port) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "fake"; }
    void map(const GuestMemory&) override {}
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned) override {
        return std::make_unique<FakeCpu>(kind_, count_, port_);
    }

private:
    Kind kind_;
    std::uint32_t count_;
    std::uint16_t port_;
};

}  // namespace

std::unique_ptr<Accelerator> make_fake_accelerator(Kind kind, std::uint32_t count, std::uint16_t port) {
    return std::make_unique<FakeAccelerator>(kind, count, port);
}

}  // namespace asyncvm::bench

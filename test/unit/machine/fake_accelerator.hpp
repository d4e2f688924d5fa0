/// Machines without a guest: vCPUs that halt at once, made by a function that waits until the test lets it go on.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/coalesced_ring.hpp>
#include <asyncvm/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string_view>

namespace asyncvm::test {

/// What the fakes of a test do and did. Any thread.
struct Fakes {
    enum class Failing { nothing, maker, create_cpu, set_registers, map };
    Failing failing = Failing::nothing;
    std::atomic<int> made = 0;
    std::atomic<int> alive = 0;
    std::atomic<int> mapped = 0;
    std::atomic<std::size_t> mapped_regions = 0;
    std::atomic<int> entered = 0;  ///< by run()
    std::atomic<std::uint64_t> rax_at_entry = 0;

    void fail_if(Failing here) const {
        if (failing == here) throw Error(ErrorKind::host, "fake failure");
    }
};

class FakeCpu : public Cpu {
public:
    explicit FakeCpu(Fakes& fakes) : fakes_(fakes) {}
    Exit run() override {
        fakes_.rax_at_entry = registers_.rax;
        ++fakes_.entered;
        return Halted{};
    }
    void complete_exit() override {}
    void kick() noexcept override {}
    Registers registers() override { return registers_; }
    void set_registers(const Registers& registers) override {
        fakes_.fail_if(Fakes::Failing::set_registers);
        registers_ = registers;
    }
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override { return 0; }

private:
    Fakes& fakes_;
    Registers registers_;
};

/// Collects nothing.
class FakeWrites : public CoalescedRing {
public:
    bool collect(const CoalescedZone&) noexcept override { return false; }
    void leave(const CoalescedZone&) noexcept override {}
    [[nodiscard]] bool pending() const noexcept override { return false; }
    std::size_t peek(std::span<CoalescedWrite>) const noexcept override { return 0; }
    void release(std::size_t) noexcept override {}
};

class FakeAccelerator : public Accelerator {
public:
    explicit FakeAccelerator(Fakes& fakes) : fakes_(fakes) {
        ++fakes_.made;
        ++fakes_.alive;
    }
    ~FakeAccelerator() override { --fakes_.alive; }
    [[nodiscard]] std::string_view name() const noexcept override { return "fake"; }
    void map(const GuestMemory& memory) override {
        fakes_.fail_if(Fakes::Failing::map);
        fakes_.mapped_regions = memory.regions().size();
        ++fakes_.mapped;
    }
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        if (index == 1) fakes_.fail_if(Fakes::Failing::create_cpu);
        return std::make_unique<FakeCpu>(fakes_);
    }
    [[nodiscard]] CoalescedRing* posted_writes() noexcept override { return &writes_; }

private:
    FakeWrites writes_;
    Fakes& fakes_;
};

/// Where a maker waits.
class Gate {
public:
    /// For the maker: tells that it is there, and waits.
    void pass() {
        reached_.set_value();
        opened_.get_future().wait();
    }
    void wait_until_reached() { reached_.get_future().wait(); }
    void open() { opened_.set_value(); }

private:
    std::promise<void> reached_;
    std::promise<void> opened_;
};

/// `fakes`, and the gate, must outlive the machine.
[[nodiscard]] inline AcceleratorMaker fake_maker(Fakes& fakes, Gate* gate = nullptr) {
    return [&fakes, gate]() -> std::unique_ptr<Accelerator> {
        if (gate != nullptr) gate->pass();
        fakes.fail_if(Fakes::Failing::maker);
        return std::make_unique<FakeAccelerator>(fakes);
    };
}

}  // namespace asyncvm::test

// The observer: what each hook writes down.
#include <asyncvm/trace.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "trace/recording.hpp"
#include "trace/trace_file.hpp"

namespace asyncvm {

namespace trace {

namespace {

/// Where bytes of a chardev move, they are told no more often than this, in nanoseconds.
constexpr std::uint64_t counter_pause = 1'000'000;

std::uint64_t first_element(const Transaction& transaction) noexcept {
    std::uint64_t value = 0;
    // The loop of a short copy whose size nobody knows is a call.
    switch (transaction.size) {
        case 1:
            std::memcpy(&value, transaction.data.data(), 1);
            break;
        case 2:
            std::memcpy(&value, transaction.data.data(), 2);
            break;
        case 4:
            std::memcpy(&value, transaction.data.data(), 4);
            break;
        default:
            std::memcpy(&value, transaction.data.data(), std::min<std::size_t>(transaction.size, sizeof value));
            break;
    }
    return value;
}

}  // namespace

class Recorder final : public TraceRecorder {
public:
    explicit Recorder(const TraceConfig& config)
        : cpus_(config.cpus),
          file_(make_file(config)),
          counts_(file_->counts()),
          recording_(std::move(file_), config.cpus, [this] { tell_rest(); }) {}

    TraceEnd finish() override {
        recording_.finish();
        return {
            .records = counts_->records, .lost = recording_.dropped(), .bytes = counts_->bytes, .failed = counts_->failed};
    }

    void run_begins(const MachineLayout& layout) noexcept override {
        ports_ = layout.port_bus;
        memory_ = layout.mmio_bus;
        push(Kind::run_begins);
    }
    void run_ended() noexcept override { push(Kind::run_ended); }

    void entering(unsigned cpu) noexcept override {
        Record record;
        record.kind = Kind::entered;
        Cpu& of = cpus_[cpu];
        record.answered = std::exchange(of.has_read, false);
        record.value = of.read;
        // Before the time is taken: an arrow does not go back in time.
        if (interrupt_.load(std::memory_order_relaxed) != 0) [[unlikely]]
            record.address = interrupt_.exchange(0);
        push_on(cpu, record);
    }

    void exited(unsigned cpu, const Exit& exit, std::uint64_t /*rip*/) noexcept override {
        Record record;
        record.subject = static_cast<std::uint16_t>(exit.index());
        record.kind = Kind::exited;
        const Transaction* transaction = std::get_if<PortAccess>(&exit);
        if (transaction == nullptr) transaction = std::get_if<MmioAccess>(&exit);
        if (transaction != nullptr) describe(*transaction, cpus_[cpu].last_device, record);
        push_on(cpu, record);
    }

    void suspended(unsigned cpu) noexcept override { push_on(cpu, of(Kind::suspended)); }
    void resumed(unsigned cpu) noexcept override { push_on(cpu, of(Kind::resumed)); }
    void answered(unsigned cpu, const Transaction& transaction) noexcept override {
        if (transaction.direction == Direction::write) return;
        cpus_[cpu].read = first_element(transaction);
        cpus_[cpu].has_read = true;
    }
    void cpu_ended(unsigned cpu) noexcept override { push_on(cpu, of(Kind::ended)); }

    void posted(const Transaction& writes) noexcept override {
        Record record;
        Cpu::Device none;
        describe(writes, none, record);
        record.kind = Kind::posted;
        push(record);
    }

    void interrupt(unsigned gsi, bool level) noexcept override {
        Record record = of(Kind::interrupt);
        record.address = gsi;
        record.write = level;
        if (level) {
            push_flow(record);
        } else {
            push(record);
        }
    }
    void message(const MsiMessage& message) noexcept override {
        Record record = of(Kind::message);
        record.address = message.address;
        record.count = static_cast<std::uint16_t>(message.data);
        push_flow(record);
    }

    void paused() noexcept override { push(Kind::paused); }
    void unpaused() noexcept override { push(Kind::unpaused); }
    void was_reset() noexcept override { push(Kind::reset); }

    void chardev(std::string_view label, ChardevEvent event) noexcept override {
        push(event == ChardevEvent::connected ? Kind::client_came : Kind::client_left, names_.number(label));
    }
    void chardev_full(std::string_view label, bool full) noexcept override {
        push(full ? Kind::full : Kind::has_room, names_.number(label));
    }
    void chardev_changed(std::string_view label, std::string_view to) noexcept override {
        push(about(Kind::elsewhere, label, to));
    }
    void chardev_moved(std::string_view label, Direction direction, std::size_t bytes) noexcept override {
        const std::size_t which = find_chardev(label);
        if (which == most_chardevs) return;
        Chardev& of = chardevs_[which];
        Counter& counter = direction == Direction::write ? of.output : of.input;
        const auto time = now();
        counter.moved_at.store(time, std::memory_order_relaxed);
        counter.bytes.fetch_add(bytes, std::memory_order_release);
        if (time - counter.told_at.load(std::memory_order_relaxed) >= counter_pause) tell(of, counter, time);
    }

    void loop_access(std::string_view device, bool begins) noexcept override {
        push(begins ? Kind::loop_begins : Kind::loop_ends, names_.number(device));
    }
    void doorbell(std::string_view device, std::uint64_t times) noexcept override {
        Record record = of(Kind::rung);
        record.subject = names_.number(device);
        record.value = times;
        push(record);
    }
    void device_tells(std::string_view device, std::string_view what) noexcept override {
        push(about(Kind::told, device, what));
    }

    void disk_changed(std::string_view disk, std::string_view image, std::uint64_t size) noexcept override {
        Record record = about(Kind::disk_changed, disk, image);
        record.value = size;
        push(record);
    }
    void disk_resized(std::string_view disk, std::uint64_t size) noexcept override {
        Record record = about(Kind::disk_resized, disk);
        record.value = size;
        push(record);
    }
    void debugger_stopped(const DebuggerStop& stop) noexcept override {
        Record record = about(Kind::debugger_stopped, stop.why);
        if (stop.cpu) record.count = static_cast<std::uint16_t>(*stop.cpu + 1);
        record.address = stop.address;
        push(record);
    }
    void debugger_goes_on() noexcept override { push(Kind::debugger_goes_on); }

private:
    /// What a vCPU's thread keeps from hook to hook.
    struct alignas(64) Cpu {
        struct Device {
            const char* name = nullptr;  ///< names of devices stay where they are
            std::uint16_t number = 0;
        };
        bool has_read = false;
        std::uint64_t read = 0;
        Device last_device;
    };
    struct Counter {
        Kind kind;
        std::atomic<std::uint64_t> bytes = 0;
        std::atomic<std::uint64_t> moved_at = 0;
        std::atomic<std::uint64_t> told = 0;
        std::atomic<std::uint64_t> told_at = 0;
    };
    struct Chardev {
        std::atomic<std::uint16_t> number = 0;  ///< of its label; 0: none yet
        Counter output{Kind::output};
        Counter input{Kind::input};
    };
    static constexpr std::size_t most_chardevs = 64;

    std::unique_ptr<TraceFile> make_file(const TraceConfig& config) {
        return std::make_unique<TraceFile>(config.path, config.format, config.process, names_, config.log);
    }

    static Record of(Kind kind) noexcept {
        Record record;
        record.kind = kind;
        return record;
    }
    void push_on(unsigned cpu, Record record) noexcept {
        record.time = now();
        recording_.push(cpu, record);
    }
    void push(Kind kind, std::uint16_t subject = 0) noexcept {
        Record record = of(kind);
        record.subject = subject;
        push(record);
    }
    void push(Record record) noexcept {
        record.time = now();
        recording_.push(record);
    }
    /// With two names.
    Record about(Kind kind, std::string_view subject, std::string_view other = {}) noexcept {
        Record record = of(kind);
        record.subject = names_.number(subject);
        record.count = names_.number(other);
        return record;
    }

    /// An interrupt, whose arrow ends at the next entry of a vCPU; only if it has begun.
    void push_flow(Record record) noexcept {
        record.value = next_flow_.fetch_add(1, std::memory_order_relaxed);
        record.time = now();
        if (recording_.push(record)) interrupt_.store(record.value);
    }

    void describe(const Transaction& transaction, Cpu::Device& last, Record& record) noexcept {
        record.kind = Kind::exited_for;
        record.address = transaction.address;
        record.size = transaction.size;
        record.write = transaction.direction == Direction::write;
        record.memory = transaction.space == Space::memory;
        const bool single = transaction.data.size() == transaction.size;
        const auto count = single ? 1 : transaction.data.size() / std::max<std::size_t>(transaction.size, 1);
        record.count = static_cast<std::uint16_t>(std::min<std::size_t>(count, std::numeric_limits<std::uint16_t>::max()));
        if (record.write) record.value = first_element(transaction);
        const Bus* const bus = record.memory ? memory_ : ports_;
        const auto name = bus == nullptr ? std::string_view() : bus->device_name(transaction.address);
        if (name.data() != last.name) last = {name.data(), names_.number(name)};
        record.subject = last.number;
    }

    /// The place of a chardev, which is taken at its first byte; most_chardevs if there is none left.
    std::size_t find_chardev(std::string_view label) noexcept {
        const auto number = names_.number(label);
        for (std::size_t i = 0; i < most_chardevs && number != 0; ++i) {
            std::uint16_t known = chardevs_[i].number.load(std::memory_order_relaxed);
            if (known == 0 && chardevs_[i].number.compare_exchange_strong(known, number)) return i;
            if (known == number) return i;
        }
        return most_chardevs;
    }

    /// The bytes that nobody has told yet. On the recording's thread, from time to time and at its end.
    void tell_rest() noexcept {
        for (Chardev& chardev : chardevs_) {
            for (Counter* const counter : {&chardev.output, &chardev.input}) {
                if (counter->bytes.load(std::memory_order_acquire) != counter->told.load(std::memory_order_relaxed))
                    tell(chardev, *counter, counter->moved_at.load(std::memory_order_relaxed));
            }
        }
    }
    void tell(Chardev& chardev, Counter& counter, std::uint64_t time) noexcept {
        Record record = of(counter.kind);
        record.subject = chardev.number.load(std::memory_order_acquire);
        record.value = counter.bytes.load(std::memory_order_relaxed);
        record.time = time;
        counter.told_at.store(time, std::memory_order_relaxed);
        counter.told.store(record.value, std::memory_order_relaxed);
        recording_.push(record);
    }

    Names names_;
    std::vector<Cpu> cpus_;
    std::array<Chardev, most_chardevs> chardevs_;
    const Bus* ports_ = nullptr;  ///< while the machine runs
    const Bus* memory_ = nullptr;
    std::atomic<std::uint64_t> next_flow_ = 1;
    std::atomic<std::uint64_t> interrupt_ = 0;  ///< the flow of one that no vCPU has been entered for yet; 0: none
    std::unique_ptr<TraceFile> file_;           ///< until the recording has it
    const std::shared_ptr<const TraceFile::Counts> counts_;
    Recording recording_;
};

}  // namespace trace

std::shared_ptr<TraceRecorder> record_trace(TraceConfig config) { return std::make_shared<trace::Recorder>(config); }

TraceFormat trace_format_of(std::string_view path) noexcept {
    return path.ends_with(".json") ? TraceFormat::json : TraceFormat::perfetto;
}

}  // namespace asyncvm

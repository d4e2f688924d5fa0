#include "record/recorder.hpp"

#include <asyncvm/device_context.hpp>
#include <asyncvm/error.hpp>

#include "bus/watched_messages.hpp"
#include "record/journal.hpp"

#include <fmt/format.h>

#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

namespace asyncvm::record {

namespace {

/// The interrupt lines between a device and the machine.
class RecordedLines {
public:
    RecordedLines(std::shared_ptr<Journal> journal, std::function<IrqLine(unsigned)> machine)
        : journal_(std::move(journal)), machine_(std::move(machine)) {}

    /// A driver of a line that is written down. Lines of one number are one driver for the machine.
    IrqLine line(unsigned number) {
        const std::lock_guard lock(mutex_);
        auto& pin = pins_[number];
        if (!pin) {
            const auto onward = std::make_shared<IrqLine>(machine_ ? machine_(number) : IrqLine());
            pin = std::make_unique<IrqPin>([journal = journal_, number, onward](bool level) {
                Event event;
                event.kind = Event::Kind::irq;
                event.number = number;
                event.level = level;
                journal->add(std::move(event));
                onward->set(level);
            });
        }
        return IrqLine(*pin);
    }

private:
    const std::shared_ptr<Journal> journal_;
    const std::function<IrqLine(unsigned)> machine_;
    std::mutex mutex_;
    std::map<unsigned, std::unique_ptr<IrqPin>> pins_;
};

class Recorder final : public Device {
public:
    Recorder(std::shared_ptr<Device> device, std::string path, std::vector<Place> places)
        : journal_(std::make_shared<Journal>(std::move(path))), places_(std::move(places)), device_(std::move(device)) {}

    /// Before it has a machine.
    void add_place(const Place& place) { places_.push_back(place); }

    /// The device's last words, as it falls apart, are not of the recording.
    ~Recorder() override { journal_->close(); }

    [[nodiscard]] std::string_view name() const noexcept override { return device_->name(); }
    [[nodiscard]] Affinity affinity() const noexcept override { return device_->affinity(); }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return device_->max_access_size(); }
    [[nodiscard]] bool posts(std::uint64_t offset) const noexcept override { return device_->posts(offset); }
    [[nodiscard]] std::vector<Doorbell> doorbells() const override { return device_->doorbells(); }

    void attached(const DeviceContext& context) override {
        Header header{.device = std::string(device_->name()),
                      .max_access_size = device_->max_access_size(),
                      .places = places_,
                      .doorbells = device_->doorbells()};
        journal_->open(header, context.clock, context.log);
        lines_ = std::make_shared<RecordedLines>(journal_, context.irq);
        if (context.interrupts != nullptr) {
            messages_ =
                std::make_unique<WatchedMessages>(*context.interrupts, [journal = journal_](const MsiMessage& message) {
                    Event event;
                    event.kind = Event::Kind::msi;
                    event.address = message.address;
                    event.value = message.data;
                    journal->add(std::move(event));
                });
        }
        DeviceContext for_device = context;
        for_device.irq = [lines = lines_](unsigned number) { return lines->line(number); };
        for_device.interrupts = messages_.get();
        device_->attached(for_device);
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        journal_->add(event_of(access, true));
        std::exception_ptr failure;
        try {
            co_await device_->write(access);
        } catch (...) {
            failure = std::current_exception();
        }
        ended(failure, Event::Kind::done);
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        journal_->add(event_of(access, false));
        std::exception_ptr failure;
        try {
            co_await device_->read(access);
        } catch (...) {
            failure = std::current_exception();
        }
        ended(failure, Event::Kind::done, access.size, access.data & all_ones(access.size));
    }

    [[nodiscard]] awaitable<void> rung(std::size_t index) override {
        Event event;
        event.kind = Event::Kind::ring;
        event.number = static_cast<unsigned>(index);
        journal_->add(std::move(event));
        return device_->rung(index);
    }

    [[nodiscard]] awaitable<void> run() override { return device_->run(); }
    [[nodiscard]] awaitable<void> before_reset() override { return device_->before_reset(); }

    void reset() override {
        Event event;
        event.kind = Event::Kind::reset;
        journal_->add(std::move(event));
        device_->reset();
    }

    void save(StateWriter& writer) override { device_->save(writer); }
    void restore(StateReader& reader) override { device_->restore(reader); }

private:
    /// Rethrows what the device threw.
    void ended(const std::exception_ptr& failure, Event::Kind kind, std::uint8_t size = 0, std::uint64_t value = 0) {
        Event event;
        event.kind = kind;
        event.size = size;
        event.value = value;
        if (failure) describe_failure(failure, event);
        journal_->add(std::move(event));
        if (failure) std::rethrow_exception(failure);
    }

    static void describe_failure(const std::exception_ptr& failure, Event& event) {
        event.kind = Event::Kind::failed;
        try {
            std::rethrow_exception(failure);
        } catch (const std::system_error& error) {
            if (error.code() == asio::error::operation_aborted) event.kind = Event::Kind::cancelled;
            event.text = error.what();
        } catch (const std::exception& error) {
            event.text = error.what();
        } catch (...) {
            event.text = "something that is no exception";
        }
    }

    const std::shared_ptr<Journal> journal_;
    std::vector<Place> places_;
    std::shared_ptr<RecordedLines> lines_;
    std::unique_ptr<WatchedMessages> messages_;
    const std::shared_ptr<Device> device_;  // goes first: it uses the ones above
};

}  // namespace

std::shared_ptr<Device> make_recorder(std::shared_ptr<Device> device, std::string path, std::vector<Place> places) {
    return std::make_shared<Recorder>(std::move(device), std::move(path), std::move(places));
}

/// The device that is recorded.
struct RecordedHost::Recorded {
    std::shared_ptr<Device> at(const std::shared_ptr<Device>& another, const Place& place) {
        if (!recorder) {
            device = another;
            recorder = std::make_shared<Recorder>(device, path, std::vector<Place>());
        }
        if (device != another) {
            throw Error(ErrorKind::usage, fmt::format("device {}: it has another device, {}, and can't be recorded",
                                                      device->name(), another->name()));
        }
        recorder->add_place(place);
        return recorder;
    }

    std::string path;
    std::shared_ptr<Device> device{};
    std::shared_ptr<Recorder> recorder{};
};

class RecordedHost::RecordedBus final : public Bus {
public:
    RecordedBus(Bus& bus, Space space, std::shared_ptr<Recorded> recorded)
        : bus_(bus), space_(space), recorded_(std::move(recorded)) {}

    void attach(AddressRange range, std::shared_ptr<Device> device) override {
        bus_.attach(range, recorded_->at(device, {.space = space_, .range = range}));
    }

    [[nodiscard]] std::shared_ptr<MovableRange> attach_movable(std::uint64_t, std::shared_ptr<Device> device) override {
        throw Error(ErrorKind::usage, fmt::format("device {}: its place moves, and it can't be recorded", device->name()));
    }

    [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override { return bus_.devices(); }
    [[nodiscard]] std::vector<AttachedRange> ranges() const override { return bus_.ranges(); }
    [[nodiscard]] std::string_view device_name(std::uint64_t address) const noexcept override {
        return bus_.device_name(address);
    }
    [[nodiscard]] std::uint64_t unclaimed() const noexcept override { return bus_.unclaimed(); }
    [[nodiscard]] std::vector<UnclaimedAddress> unclaimed_addresses() const override { return bus_.unclaimed_addresses(); }

private:
    Bus& bus_;
    const Space space_;
    const std::shared_ptr<Recorded> recorded_;
};

RecordedHost::RecordedHost(const DeviceHost& host, std::string path)
    : recorded_(std::make_shared<Recorded>(Recorded{.path = std::move(path)})),
      ports_(std::make_unique<RecordedBus>(host.ports, Space::port, recorded_)),
      mmio_(std::make_unique<RecordedBus>(host.mmio, Space::memory, recorded_)),
      host_{.ports = *ports_,
            .mmio = *mmio_,
            .finish = host.finish,
            .open_chardev = host.open_chardev,
            .log = host.log,
            .occupant = host.occupant,
            .power_off = host.power_off,
            .reset = host.reset,
            .before_guest = host.before_guest} {}

RecordedHost::~RecordedHost() = default;

}  // namespace asyncvm::record

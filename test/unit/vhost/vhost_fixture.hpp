/// A driver of a device that a fake back end serves.
#pragma once

#include <asyncvm/error.hpp>
#include <asyncvm/vhost_user.hpp>

#include <stdlib.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../virtio/mmio_driver.hpp"
#include "fake_back_end.hpp"

namespace asyncvm::vhost {

using R = virtio::MmioRegisters;
using virtio::RingDriver;

/// A socket's path in a directory that goes with the object.
class Place {
public:
    Place() { BOOST_REQUIRE(::mkdtemp(directory_.data()) != nullptr); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
        ::unlink(path().c_str());
        ::rmdir(directory_.c_str());
    }
    [[nodiscard]] std::string path() const { return directory_ + "/s"; }

private:
    std::string directory_ = "/tmp/asyncvm-vhost-XXXXXX";
};

struct VhostFixture {
    explicit VhostFixture(VhostUserSpec::Kind of = VhostUserSpec::Kind::file_system) {
        spec.kind = of;
        spec.path = place.path();
        spec.tag = "home";
        spec.queues = 2;
        environment.log = [this](std::string_view line) { lines.emplace_back(line); };
        environment.label = "fs0";
        environment.pause = std::chrono::milliseconds(2);
    }

    void live(Conduct conduct = {}) {
        back_end = std::make_unique<FakeBackEnd>(place.path(), std::move(conduct), [this] {
            const std::lock_guard lock(mutex);
            if (driver) asio::post(driver->loop, [] {});
        });
    }
    /// The back end's socket goes first, so that nobody connects to one that ends.
    void die() {
        ::unlink(place.path().c_str());
        back_end.reset();
    }

    void connect() {
        auto made = std::make_unique<virtio::MmioDriver>(
            [this](asio::io_context&) { return connect_vhost_user(spec, environment); }, MemoryOptions{.shared = true});
        const std::lock_guard lock(mutex);
        driver = std::move(made);
    }
    /// A back end, a device, and a driver with two rings.
    void begin(Conduct conduct = {}) {
        live(std::move(conduct));
        connect();
        driver->start(virtio::feature_version_1, 2);
        until([this] { return back_end->enabled(0) && back_end->enabled(1); });
    }

    /// Turns the loop until then; both sides wake it.
    template <typename Condition>
    void until(Condition condition) {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!condition()) {
            BOOST_REQUIRE(std::chrono::steady_clock::now() < limit);
            driver->loop.restart();
            driver->loop.run_one_until(limit);
        }
    }

    /// Makes a text available in chain `head` and the one behind it.
    void offer(std::uint16_t head, std::string_view text, unsigned ring = 0) {
        const std::uint64_t place_of = 0x8000 + 0x1000 * ring + 0x100 * head;
        driver->ring(ring).put_text(place_of, text);
        driver->ring(ring).offer(head, {{place_of, static_cast<std::uint32_t>(text.size())},
                                        {place_of + 0x80, static_cast<std::uint32_t>(text.size()), RingDriver::writes}});
    }
    void kick(unsigned ring = 0) {
        const std::uint64_t once = 1;
        const int event = driver->device->doorbells().at(ring).eventfd;
        BOOST_REQUIRE(::write(event, &once, sizeof once) == sizeof once);
    }
    [[nodiscard]] RingDriver::Used wait_for_used(unsigned ring = 0) {
        std::optional<RingDriver::Used> used;
        until([&] { return (used = driver->ring(ring).take_used()).has_value(); });
        return *used;
    }
    [[nodiscard]] std::string answer(std::uint16_t head, std::size_t size, unsigned ring = 0) const {
        return driver->ring(ring).text_at(0x8080 + 0x1000 * ring + 0x100 * head, size);
    }
    /// The driver writes 0 to the status register.
    void reset() {
        driver->begin_write(R::status, 0);
        until([this] { return driver->write_done; });
    }
    [[nodiscard]] bool has_line(std::string_view part) const {
        return std::ranges::any_of(lines, [part](const auto& line) { return line.find(part) != line.npos; });
    }

    Place place;
    VhostUserSpec spec;
    VhostUserEnvironment environment;
    std::vector<std::string> lines;
    std::unique_ptr<FakeBackEnd> back_end;
    std::mutex mutex;
    std::unique_ptr<virtio::MmioDriver> driver;

    ~VhostFixture() {
        back_end.reset();
        const std::lock_guard lock(mutex);
        driver.reset();
    }
    VhostFixture(const VhostFixture&) = delete;
    VhostFixture& operator=(const VhostFixture&) = delete;
};

}  // namespace asyncvm::vhost

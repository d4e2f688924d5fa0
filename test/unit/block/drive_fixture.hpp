/// A drive on a device loop, and what is asked of it while other things are under way.
#pragma once

#include <boost/test/unit_test.hpp>

#include "../virtio/fake_disk.hpp"
#include "block_fixture.hpp"

#include <asyncvm/drive.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace asyncvm::test {

using namespace std::chrono_literals;

inline constexpr std::size_t image_size = 64 << 10;

struct DriveFixture : BlockFixture {
    std::unique_ptr<Drive> open(const std::string& options = "", const char* name = "disk.img") {
        return std::make_unique<Drive>(parse_disk_spec(path(name) + options), loop, log());
    }
    /// One with `disk` in it.
    std::unique_ptr<Drive> with_fake(std::chrono::steady_clock::duration patience = 30s) {
        return std::make_unique<Drive>(parse_disk_spec("fake"), disk, loop, log(), patience);
    }

    /// What has become of something that was begun.
    struct Begun {
        bool ended = false;
        std::error_code error;
        std::string refused;  ///< what it has thrown
    };
    std::shared_ptr<Begun> begin(awaitable<std::error_code> request) {
        auto begun = std::make_shared<Begun>();
        asio::co_spawn(loop, std::move(request), [begun](const std::exception_ptr&, std::error_code error) {
            begun->ended = true;
            begun->error = error;
        });
        poll();
        return begun;
    }
    std::shared_ptr<Begun> begin(awaitable<void> change) {
        auto begun = std::make_shared<Begun>();
        asio::co_spawn(loop, std::move(change), [begun](const std::exception_ptr& failure) {
            begun->ended = true;
            if (failure) begun->refused = test::refused([&failure] { std::rethrow_exception(failure); });
        });
        poll();
        return begun;
    }
    std::shared_ptr<Begun> begin_write(Drive& drive, std::uint64_t offset) { return begin(drive.write(offset, from_page)); }
    void poll() {
        loop.restart();
        loop.poll();
    }
    /// Runs the loop until `begun` has ended.
    void finish(const std::shared_ptr<Begun>& begun) {
        loop.restart();
        while (!begun->ended && loop.run_one() != 0) continue;
        BOOST_TEST_REQUIRE(begun->ended);
    }
    /// Why `change` is refused; empty if it is not.
    std::string why_not(awaitable<void> change) {
        const auto begun = begin(std::move(change));
        finish(begun);
        return begun->refused;
    }
    std::string resize(Drive& drive, std::uint64_t size) { return why_not(drive.resize(size)); }
    std::string change(Drive& drive, const std::string& source, bool force = false) {
        return why_not(drive.change(with_source(drive.spec(), source), force));
    }

    const Bytes page = pattern(4096, 7);
    const std::array<std::span<const std::byte>, 1> from_page{std::span(page)};
    std::shared_ptr<FakeDisk> disk = std::make_shared<FakeDisk>(image_size);
};

}  // namespace asyncvm::test

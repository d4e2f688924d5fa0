// Streams of nonsense, and of sense with mistakes: the monitor's side never reads past them, and what it hands on is within
// what was agreed.
#include <boost/test/unit_test.hpp>

#include <random>

#include "stream.hpp"

using namespace asyncvm::remote;
using namespace asyncvm::remote::test;

namespace {

using Random = std::mt19937;

/// Reads everything that is there. Returns false when the connection has ended.
bool drain(Monitor& monitor, Random& random) {
    for (;;) {
        const Said said = monitor.next(random() % 4 == 0);
        const Agreement& agreed = monitor.session.agreement();
        switch (said.kind) {
            case Said::Kind::interrupt:
                BOOST_REQUIRE(said.line < 2 && said.level <= 1);
                break;
            case Said::Kind::memory_read:
                BOOST_REQUIRE((agreed.capabilities & memory_read) != 0);
                BOOST_REQUIRE(said.count >= 1 && said.count <= agreed.max_data && said.data.empty());
                break;
            case Said::Kind::memory_write:
                BOOST_REQUIRE((agreed.capabilities & memory_write) != 0);
                BOOST_REQUIRE(said.count <= agreed.max_data && said.data.size() == said.count);
                break;
            case Said::Kind::log:
                BOOST_REQUIRE(said.data.size() <= longest_text && said.level <= 2);
                break;
            case Said::Kind::reply:
                BOOST_REQUIRE(said.command != Command::region_read || said.error != 0 || said.data.size() == 1);
                break;
            case Said::Kind::held:
                break;
            case Said::Kind::nothing:
                return monitor.session.broken().empty();
        }
        // Each byte can be read: sanitizers see to it.
        unsigned sum = 0;
        for (const std::byte byte : said.data) sum += std::to_integer<unsigned>(byte);
        BOOST_REQUIRE(sum <= 255 * said.data.size());
        if (monitor.out.size() > 100'000) monitor.out.clear();
    }
}

Bytes random_frame(Monitor& monitor, Random& random) {
    constexpr RegionAccess access{.offset = 1, .width = 1, .count = 1};
    const auto id = static_cast<std::uint16_t>(random() % 20);
    switch (random() % 8) {
        case 0:
            return set_irq(id, random() % 3, random() % 3, random() % 2 * flag_no_reply);
        case 1:
            return dma(id, Command::dma_read, random(), random() % 5000);
        case 2: {
            const std::size_t size = random() % 40;
            return dma(id, Command::dma_write, random(), size, size + (random() % 8 == 0 ? 1 : 0));
        }
        case 3:
            return frame(id, Command::log, type_command, [&](Bytes& to) {
                append(to, static_cast<std::uint32_t>(random() % 4));
                to.resize(to.size() + random() % 200, std::byte{0xc3});
            });
        case 4:
            if (monitor.session.may_ask()) {
                const auto asked = monitor.session.read(monitor.out, access);
                if (random() % 4 == 0) monitor.session.forget(asked, random() % 2 == 0);
                return access_reply(asked, Command::region_read, access, "x");
            }
            return {};
        case 5:
            if (!monitor.session.may_ask()) return {};
            return frame(monitor.session.reset(monitor.out), Command::device_reset, type_reply);
        case 6:
            return frame(id, static_cast<Command>(random()), type_command);
        default:
            return frame(id, Command::region_read, random() % 64);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(random_bytes) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        Random random(seed);
        Monitor monitor;
        if (seed % 2 == 0) monitor.agree({.capabilities = memory_read | memory_write});
        if (seed % 2 != 0) (void)monitor.session.greet(monitor.out);
        Bytes bytes(1 + random() % 4000);
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % (seed % 3 == 0 ? 256 : 24));
        monitor.give(bytes);
        (void)drain(monitor, random);
    }
}

BOOST_AUTO_TEST_CASE(a_device_that_makes_mistakes) {
    std::size_t whole = 0;
    for (unsigned seed = 0; seed < 400; ++seed) {
        Random random(seed);
        Monitor monitor;
        monitor.agree({.capabilities = static_cast<std::uint32_t>(random() % 16), .max_requests = 4});
        for (unsigned count = 0; count < 200; ++count) {
            Bytes bytes = random_frame(monitor, random);
            if (!bytes.empty() && random() % 50 == 0)
                bytes[random() % bytes.size()] ^= std::byte{static_cast<unsigned char>(1 << random() % 8)};
            if (!bytes.empty() && random() % 200 == 0) bytes.resize(random() % bytes.size());
            monitor.give(bytes);
            if (!drain(monitor, random)) break;
            whole += 1;
        }
    }
    BOOST_TEST(whole > 2000u);  // it does not end at the first frame
}

// The conversation that docs/remote-devices.md shows is what this program says and understands.
#define BOOST_TEST_MODULE remote_protocol
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "stream.hpp"

using namespace asyncvm::remote;
using namespace asyncvm::remote::test;

namespace {

/// As the page has it.
class Page {
public:
    void add(const std::string& who, std::span<const std::byte> bytes) {
        text_ += who + ", " + name_of(static_cast<Command>(load<std::uint16_t>(bytes, 2)));
        text_ += (load<std::uint32_t>(bytes, 8) & type_mask) == type_reply ? "'s reply:" : ":";
        const std::string digits = hex(bytes);
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            text_ += at % 16 == 0 ? "\n  " : " ";
            text_ += digits.substr(2 * at, 2);
        }
        text_ += "\n";
    }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

std::string shown() {
    const char* const path = std::getenv("REMOTE_PAGE");
    BOOST_REQUIRE(path != nullptr);
    std::ifstream file(path);
    std::stringstream all;
    all << file.rdbuf();
    const std::string page = all.str();
    const auto begin = page.find("```\nmonitor, VERSION:") + 4;
    return page.substr(begin, page.find("```", begin) - begin);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_page_shows_a_conversation_as_it_is) {
    Page page;
    Session session({.capabilities = memory_read | posted_writes, .irqs = 1, .regions = {{.address = 0x300, .size = 8}}});
    Bytes out;
    const auto said_by_monitor = [&] {
        page.add("monitor", out);
        out.clear();
    };
    const auto said_by_device = [&](const Bytes& bytes) {
        page.add("device", bytes);
        const auto room = session.reader().room();
        std::copy(bytes.begin(), bytes.end(), room.begin());
        session.reader().took(bytes.size());
        return session.next(false, out);
    };
    const RegionAccess access{.offset = 3, .region = 0, .width = 1, .count = 1};

    const auto version = session.greet(out);
    said_by_monitor();
    (void)said_by_device(
        Device{.capabilities = memory_read, .max_data = 4096, .max_requests = 1, .name = "fifo"}.version_reply(version));
    const Bytes letter{std::byte{0x41}};
    const auto write = session.write(out, access, letter, false);
    said_by_monitor();
    const Said asks = said_by_device(dma(0, Command::dma_read, 0x1000, 2));
    BOOST_TEST((asks.kind == Said::Kind::memory_read));
    const Bytes memory{std::byte{0x0d}, std::byte{0xf0}};
    Session::answer(out, asks, memory);
    said_by_monitor();
    BOOST_TEST((said_by_device(set_irq(1, 0, 1)).kind == Said::Kind::interrupt));
    BOOST_TEST(said_by_device(access_reply(write, Command::region_write, access)).id == write);
    const auto read = session.read(out, access);
    said_by_monitor();
    const Said last = said_by_device(access_reply(read, Command::region_read, access, "B"));
    BOOST_TEST(hex(last.data) == "42");
    BOOST_TEST(session.broken() == "");
    BOOST_TEST(shown() == page.text());
}

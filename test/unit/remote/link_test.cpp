// A connection to a device, turn by turn, with a scripted device at the other end of the socket.
#define BOOST_TEST_MODULE remote_link
#include <boost/test/unit_test.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "remote/link.hpp"
#include "stream.hpp"

using namespace asyncvm;
using namespace asyncvm::remote;
using namespace asyncvm::remote::test;
using namespace std::chrono_literals;

namespace {

constexpr RegionAccess an_access{.offset = 4, .region = 1, .width = 1, .count = 1};

struct Conversation {
    /// A tick of the clock of replies is 1 ms, if a turn comes after each.
    explicit Conversation(std::chrono::milliseconds timeout = 8ms, const MemoryOptions& options = {})
        : memory(1 << 20, options) {
        std::array<int, 2> pair{};
        BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) == 0);
        theirs = UniqueFd(pair[1]);
        const Offer offer{.capabilities = memory_read | memory_write | memory_map | posted_writes,
                          .max_data = 4096,
                          .irqs = 2,
                          .regions = {{.address = 0x300, .size = 8}, {.address = 0xd000'0000, .size = 16, .memory = true}}};
        link = std::make_shared<Link>(UniqueFd(pair[0]), offer, timeout, set, changed);
        link->greet();
        static_cast<void>(taken());
    }
    /// Until accesses can be made.
    void go_online(const Device& device = {}) {
        give(device.version_reply());
        static_cast<void>(link->turn());
        BOOST_TEST_REQUIRE((link->stage() == Link::Stage::agreed));
        open(false);
    }
    void open(bool reset) {
        link->open({.memory = &memory,
                    .gate = gate,
                    .interrupt = [this](std::uint32_t line, bool level) { lines.emplace_back(line, level); },
                    .log = [this](const std::string& text) { log.push_back(text); }},
                   reset);
    }
    void give(const Bytes& bytes) const {
        BOOST_REQUIRE(::send(theirs.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    /// What the device has got since the last call.
    [[nodiscard]] Bytes taken() const {
        Bytes all;
        std::array<std::byte, 65536> piece{};
        for (ssize_t got = 0; (got = ::recv(theirs.get(), piece.data(), piece.size(), 0)) > 0;) {
            all.insert(all.end(), piece.begin(), piece.begin() + got);
        }
        return all;
    }
    /// Whether there is something to do, as the device loop would hear.
    [[nodiscard]] bool ready() const {
        asio::io_context loop;
        PollSet::Waiter waiter(loop, *set);
        bool is_ready = false;
        asio::co_spawn(loop, waiter.wait(), [&is_ready](const std::exception_ptr&) { is_ready = true; });
        loop.poll();
        return is_ready;
    }
    /// `count` turns, each after at least a tick.
    void pass(unsigned count) const {
        for (; count > 0; --count) {
            std::this_thread::sleep_for(2ms);
            static_cast<void>(link->turn());
        }
    }
    void start(Ask& ask) const {
        bool in_place = false;
        BOOST_TEST_REQUIRE((link->start(ask, in_place) == Link::Start::begun));
    }
    /// Its state; waiting: it has no answer yet.
    [[nodiscard]] Ask::State state(Ask& ask) const {
        asio::io_context loop;
        Ask::State state = Ask::State::waiting;
        asio::co_spawn(loop, link->finish(ask), [&state](const std::exception_ptr&, Ask::State now) { state = now; });
        loop.poll();
        return state;
    }

    std::shared_ptr<const PollSet> set = std::make_shared<PollSet>();
    std::shared_ptr<Event> changed = std::make_shared<Event>();
    std::shared_ptr<PauseGate> gate = std::make_shared<PauseGate>();
    GuestMemory memory;
    UniqueFd theirs;
    std::shared_ptr<Link> link;
    std::vector<std::pair<std::uint32_t, bool>> lines;
    std::vector<std::string> log;
};

Bytes log_line(std::uint32_t level, std::string_view text, std::uint32_t flags = flag_no_reply) {
    return frame(5, Command::log, flags, [&](Bytes& to) {
        append(to, level);
        for (const char letter : text) to.push_back(static_cast<std::byte>(letter));
    });
}

Bytes times(unsigned count, const Bytes& one) {
    Bytes all;
    for (; count > 0; --count) all.insert(all.end(), one.begin(), one.end());
    return all;
}

struct Reading {
    std::array<std::byte, 1> data{};
    Ask ask{an_access, false, data};
};

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_is_read_between_version_and_the_machine) {
    Conversation talk;
    auto both = Device{}.version_reply();
    const auto line = log_line(2, "early");
    both.insert(both.end(), line.begin(), line.end());
    talk.give(both);
    BOOST_TEST((talk.link->turn() == Link::Turn::idle));
    BOOST_TEST((talk.link->stage() == Link::Stage::agreed));
    talk.open(false);
    static_cast<void>(talk.link->turn());
    BOOST_TEST(talk.log == std::vector<std::string>{"says: early"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_device_says_is_answered_in_the_same_turn) {
    Conversation talk;
    talk.go_online({.capabilities = memory_read | memory_write});
    talk.give(log_line(0, "a", type_command));
    talk.give(log_line(1, "b"));
    talk.give(log_line(2, "c"));
    talk.give(set_irq(6, 1, 1, type_command));
    talk.give(dma(7, Command::dma_write, 0xffff'0000, 4, 4));
    static_cast<void>(talk.link->turn());
    const std::vector<std::string> said{"says (error): a", "says (warning): b", "says: c"};
    BOOST_TEST(talk.log == said, boost::test_tools::per_element());
    BOOST_TEST((talk.lines == std::vector<std::pair<std::uint32_t, bool>>{{1, true}}));
    Bytes replies;
    append_header(replies, 5, Command::log, 0, type_reply);
    append_header(replies, 6, Command::set_irq, 0, type_reply);
    append_header(replies, 7, Command::dma_write, 0, type_reply | flag_error, EFAULT);
    BOOST_TEST(hex(talk.taken()) == hex(replies));
}

BOOST_AUTO_TEST_CASE(a_talkative_device_leaves_the_loop_to_others) {
    Conversation talk;
    talk.go_online({.capabilities = memory_read});
    talk.give(times(500, set_irq(1, 0, 1)));
    BOOST_TEST((talk.link->turn() == Link::Turn::more));
    BOOST_TEST(talk.lines.size() <= 128u);
    while (talk.link->turn() == Link::Turn::more) continue;
    BOOST_TEST(talk.lines.size() == 500u);
    talk.give(times(100, dma(1, Command::dma_read, 0x1000, 4096)));
    BOOST_TEST((talk.link->turn() == Link::Turn::more));
}

BOOST_AUTO_TEST_CASE(lines_that_are_left_out_are_counted) {
    Conversation talk;
    talk.go_online();
    talk.give(times(30, log_line(2, "x")));
    static_cast<void>(talk.link->turn());
    BOOST_TEST(talk.log.size() < 30u);
    const auto told = [&] { return talk.log.back() == "says: y"; };
    for (unsigned round = 0; round < 1000 && !told(); ++round) {
        talk.give(log_line(2, "y"));
        talk.pass(1);
    }
    BOOST_TEST_REQUIRE(told());
    BOOST_TEST(talk.log[talk.log.size() - 2].ends_with("more lines, which were left out"));
}

BOOST_AUTO_TEST_CASE(a_device_that_does_not_read_is_not_read_and_its_writes_wait_for_room) {
    Conversation talk(30s);
    talk.go_online({.capabilities = posted_writes});
    BOOST_TEST(talk.link->posts());
    const Bytes data(4096);
    const RegionAccess string{.offset = 0, .region = 0, .width = 1, .count = 4096};
    unsigned posted = 0;
    while (posted < 1000 && talk.link->post(string, data) == Link::Start::begun) ++posted;
    BOOST_TEST_REQUIRE(posted < 1000u);
    talk.give(log_line(2, "unheard"));
    BOOST_TEST((talk.link->turn() == Link::Turn::idle));
    BOOST_TEST(talk.log.empty());
    BOOST_TEST(!talk.ready());
    const auto seen = talk.changed->generation();
    std::size_t got = 0;
    for (unsigned round = 0; round < 1000 && talk.log.empty(); ++round) {
        got += talk.taken().size();
        BOOST_TEST(talk.ready());
        static_cast<void>(talk.link->turn());
    }
    BOOST_TEST(talk.changed->generation() != seen);
    BOOST_TEST(talk.log.size() == 1u);
    BOOST_TEST((talk.link->post(string, data) == Link::Start::begun));
    got += talk.taken().size();
    static_cast<void>(talk.link->turn());
    got += talk.taken().size();
    BOOST_TEST(got == (posted + 1) * (header_size + access_size + 4096));
}

BOOST_AUTO_TEST_CASE(what_is_refused_is_named) {
    Conversation talk(30s);
    talk.go_online();
    Reading reading;
    talk.start(reading.ask);
    Bytes refusal;
    append_header(refusal, 1, Command::region_read, 0, type_reply | flag_error, EIO);
    talk.give(refusal);
    static_cast<void>(talk.link->turn());
    BOOST_TEST((talk.state(reading.ask) == Ask::State::refused));
    BOOST_TEST_REQUIRE(talk.log.size() == 1u);
    BOOST_TEST(talk.log[0].starts_with("refuses REGION_READ at memory 0xd0000004: "), talk.log[0]);
}

BOOST_AUTO_TEST_CASE(one_thread_reads_in_place_at_a_time) {
    Conversation talk(30s);
    talk.go_online();
    Reading first;
    Reading second;
    bool in_place = true;
    BOOST_TEST((talk.link->start(first.ask, in_place) == Link::Start::begun));
    BOOST_TEST(in_place);
    BOOST_TEST((talk.link->start(second.ask, in_place) == Link::Start::begun));
    BOOST_TEST(!in_place);
}

BOOST_AUTO_TEST_CASE(accesses_that_nobody_waits_for_end_the_connection_when_they_are_too_many) {
    Conversation talk(30s);
    talk.go_online({.max_requests = 256});
    for (unsigned i = 0; i <= Session::most_late; ++i) {
        static_cast<void>(talk.link->turn());
        BOOST_TEST_REQUIRE((talk.link->stage() == Link::Stage::online));
        Reading reading;
        talk.start(reading.ask);
    }
    static_cast<void>(talk.link->turn());
    BOOST_TEST(talk.link->why() == "it has not answered 64 accesses");
    // The first reason stays.
    talk.link->end("something else");
    BOOST_TEST(talk.link->why() == "it has not answered 64 accesses");
}

BOOST_AUTO_TEST_CASE(ids_go_round_and_the_reply_is_the_access_s) {
    Conversation talk(30s);
    talk.go_online({.capabilities = posted_writes});
    const Bytes data(1);
    // The next id is that of VERSION again.
    for (unsigned id = 1; id < 65536; ++id) {
        BOOST_TEST_REQUIRE(
            (talk.link->post({.offset = 0, .region = 0, .width = 1, .count = 1}, data) == Link::Start::begun));
        if (id % 256 == 0) static_cast<void>(talk.taken());
    }
    static_cast<void>(talk.taken());
    Reading reading;
    talk.start(reading.ask);
    talk.give(access_reply(0, Command::region_read, an_access, "A"));
    static_cast<void>(talk.link->turn());
    BOOST_TEST((talk.state(reading.ask) == Ask::State::answered));
}

BOOST_AUTO_TEST_CASE(a_reset_waits_for_its_own_reply_and_is_said_once) {
    Conversation talk(30s);
    talk.go_online({.capabilities = posted_writes});
    Reading reading;
    talk.start(reading.ask);
    static_cast<void>(talk.taken());
    talk.link->begin_reset();
    talk.link->begin_reset();
    BOOST_TEST(talk.taken().size() == header_size);
    BOOST_TEST(!talk.link->posts());
    talk.give(access_reply(1, Command::region_read, an_access, "A"));
    static_cast<void>(talk.link->turn());
    BOOST_TEST((talk.state(reading.ask) == Ask::State::answered));
    BOOST_TEST((talk.link->stage() == Link::Stage::resetting));
    talk.give(frame(2, Command::device_reset, type_reply));
    static_cast<void>(talk.link->turn());
    BOOST_TEST((talk.link->stage() == Link::Stage::online));
    BOOST_TEST(talk.link->posts());
}

BOOST_AUTO_TEST_CASE(the_greeting_may_take_ten_times_as_long_and_each_stage_counts_anew) {
    Conversation talk;
    talk.pass(20);
    BOOST_TEST_REQUIRE((talk.link->stage() == Link::Stage::greeting));
    talk.give(Device{}.version_reply());
    static_cast<void>(talk.link->turn());
    talk.open(true);
    BOOST_TEST((talk.link->stage() == Link::Stage::resetting));
    talk.pass(2);
    BOOST_TEST_REQUIRE((talk.link->stage() == Link::Stage::resetting));
    talk.pass(12);
    BOOST_TEST(talk.link->why() == "it has not answered DEVICE_RESET for 8 ms");
    std::this_thread::sleep_for(5ms);
    BOOST_TEST(talk.set->timer() == 0u);
}

BOOST_AUTO_TEST_CASE(time_passes_while_something_is_asked_and_the_machine_runs) {
    Conversation talk;
    talk.go_online();
    talk.pass(5);
    std::this_thread::sleep_for(5ms);
    BOOST_TEST(talk.set->timer() == 0u);  // nothing is asked
    Reading reading;
    talk.start(reading.ask);
    talk.gate->close();
    talk.pass(20);
    BOOST_TEST((talk.state(reading.ask) == Ask::State::waiting));
    talk.gate->open();
    talk.pass(20);
    BOOST_TEST((talk.state(reading.ask) == Ask::State::late));
    BOOST_TEST(talk.link->late() == 1u);
    BOOST_TEST_REQUIRE(talk.log.size() == 1u);
    BOOST_TEST(talk.log[0] == "has not answered REGION_READ at memory 0xd0000004 for 8 ms: the guest reads all-ones");
}

BOOST_AUTO_TEST_CASE(other_accesses_do_not_put_off_the_end_of_one) {
    Conversation talk(80ms);
    talk.go_online();
    Reading stuck;
    talk.start(stuck.ask);
    const auto until = std::chrono::steady_clock::now() + 10s;
    for (std::uint16_t id = 2; talk.link->late() == 0 && std::chrono::steady_clock::now() < until; ++id) {
        Reading other;
        talk.start(other.ask);
        static_cast<void>(talk.taken());  // or nothing more goes into the socket
        talk.give(access_reply(id, Command::region_read, an_access, "A"));
        static_cast<void>(talk.link->turn());
    }
    BOOST_TEST((talk.state(stuck.ask) == Ask::State::late));
}

BOOST_AUTO_TEST_CASE(a_reset_while_the_memory_is_mapped_comes_after_that) {
    Conversation talk(8ms, {.shared = true});
    talk.go_online({.capabilities = memory_map});
    BOOST_TEST((talk.link->stage() == Link::Stage::mapping));
    BOOST_TEST(talk.taken().size() == header_size + map_size);
    talk.link->begin_reset();
    BOOST_TEST(talk.taken().empty());
    talk.give(frame(1, Command::dma_map, type_reply));
    static_cast<void>(talk.link->turn());
    BOOST_TEST((talk.link->stage() == Link::Stage::resetting));
    BOOST_TEST(talk.taken().size() == header_size);
}

BOOST_AUTO_TEST_CASE(memory_that_is_not_mapped_in_time_ends_the_connection) {
    Conversation talk(8ms, {.shared = true});
    talk.give(Device{.capabilities = memory_map}.version_reply());
    talk.pass(6);  // until nothing is waited for
    talk.open(false);
    talk.pass(20);
    BOOST_TEST(talk.link->why() == "it has not answered DMA_MAP for 8 ms");
    BOOST_TEST(!talk.ready());
}

BOOST_AUTO_TEST_CASE(a_device_that_closes_with_something_unread_has_closed_the_connection) {
    Conversation talk(30s);
    talk.go_online();
    Reading reading;
    talk.start(reading.ask);
    talk.theirs = {};
    static_cast<void>(talk.link->turn());
    BOOST_TEST(talk.link->why() == "it has closed the connection");
    BOOST_TEST(!talk.ready());
}

BOOST_AUTO_TEST_CASE(a_device_that_takes_nothing_any_more_is_gone) {
    Conversation talk(30s);
    talk.go_online();
    BOOST_REQUIRE(::shutdown(talk.theirs.get(), SHUT_RD) == 0);
    Reading reading;
    talk.start(reading.ask);
    static_cast<void>(talk.link->turn());
    BOOST_TEST(talk.link->why() == "it has closed the connection");
    BOOST_TEST((talk.state(reading.ask) == Ask::State::lost));
}

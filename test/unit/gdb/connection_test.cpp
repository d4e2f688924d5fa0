// A debugger's connection.
#define BOOST_TEST_MODULE gdb_connection
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "gdb/connection.hpp"

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t much = 1 << 20;  ///< more than any socket or pipe takes

std::array<UniqueFd, 2> socket_pair() {
    std::array<int, 2> ends{};
    BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::array<UniqueFd, 2> make_pipe() {
    std::array<int, 2> ends{};
    BOOST_TEST_REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string text_of(std::size_t size) {
    std::string text(size, 'a');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
    return text;
}

/// Waits for `size` bytes, or the end.
std::string receive(int fd, std::size_t size) {
    constexpr int patience = 20'000;
    std::string all;
    std::string part(64 << 10, '\0');
    pollfd look{.fd = fd, .events = POLLIN, .revents = 0};
    while (all.size() < size && ::poll(&look, 1, patience) == 1) {
        const auto count = ::read(fd, part.data(), std::min(part.size(), size - all.size()));
        if (count <= 0) break;
        all.append(part, 0, static_cast<std::size_t>(count));
    }
    return all;
}

/// Of this thread.
std::chrono::nanoseconds processor_time() {
    timespec time{};
    BOOST_TEST_REQUIRE(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

/// A connection on a loop, one read and one write at a time.
struct Ours {
    template <typename... Descriptors>
    explicit Ours(Descriptors... descriptors) : connection(loop, std::move(descriptors)...) {}

    void begin_read(std::size_t size) {
        got.reset();
        asio::co_spawn(loop, read(this, size), rethrow);
        poll();
    }
    void begin_write(std::string_view bytes) {
        wrote.reset();
        asio::co_spawn(loop, write(this, bytes), rethrow);
        poll();
    }
    void poll() {
        loop.restart();
        loop.poll();
    }
    /// Until what was begun has ended.
    void run() {
        loop.restart();
        loop.run_for(20s);
    }
    std::string read_all() {
        begin_read(100);
        run();
        return got.value_or("nothing");
    }

    asio::io_context loop{1};
    gdb::Connection connection;
    std::optional<std::string> got;
    std::optional<bool> wrote;

private:
    static void rethrow(const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
    }
    static awaitable<void> read(Ours* self, std::size_t size) {
        std::string bytes(size, '\0');
        const auto count = co_await self->connection.read(std::as_writable_bytes(std::span(bytes)));
        self->got = bytes.substr(0, count);
    }
    static awaitable<void> write(Ours* self, std::string_view bytes) {
        const bool whole = co_await self->connection.write(bytes);
        self->wrote = whole;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(who_looks_for_bytes_sees_them_come_and_leaves_them_there) {
    auto [mine, theirs] = socket_pair();
    const int fd = mine.get();
    Ours ours(std::move(mine));
    const auto begin = std::chrono::steady_clock::now();
    ours.connection.look_for_bytes(1ms);
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= 1ms));
    std::thread debugger([&] { BOOST_TEST(::send(theirs.get(), "+", 1, 0) == 1); });
    ours.connection.look_for_bytes(1h);
    debugger.join();
    char byte = 0;
    BOOST_TEST(::recv(fd, &byte, 1, MSG_DONTWAIT) == 1);
    BOOST_TEST(byte == '+');
    ours.connection.close();
    ours.connection.look_for_bytes(1h);
}

BOOST_AUTO_TEST_CASE(a_read_waits_for_bytes_and_takes_no_more_than_there_is_room_for) {
    auto [mine, theirs] = socket_pair();
    Ours ours(std::move(mine));
    ours.begin_read(3);
    BOOST_TEST(!ours.got);
    BOOST_TEST(::send(theirs.get(), "abcde", 5, 0) == 5);
    ours.run();
    BOOST_TEST(ours.got.value() == "abc");
    BOOST_TEST(ours.read_all() == "de");
    theirs.reset();
    BOOST_TEST(ours.read_all() == "");
}

BOOST_AUTO_TEST_CASE(a_peer_that_has_reset_the_connection_is_one_that_is_gone) {
    auto [mine, theirs] = socket_pair();
    Ours ours(std::move(mine));
    // What it has not read makes a reset of its end.
    ours.begin_write("unread");
    BOOST_TEST(ours.wrote.value());
    theirs.reset();
    BOOST_TEST(ours.read_all() == "");
    ours.begin_write("more");
    BOOST_TEST(!ours.wrote.value());
    // At once: the second is for one that is slow.
    auto fastest = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 5 && fastest > 500ms; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        ours.connection.write_now("more");
        fastest = std::min(fastest, std::chrono::steady_clock::now() - begin);
    }
    BOOST_TEST((fastest <= 500ms));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_at_all_is_an_end) {
    UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    auto [their_in, out] = make_pipe();
    Ours ours(std::move(directory), std::move(out));
    BOOST_TEST(ours.read_all() == "");
}

BOOST_AUTO_TEST_CASE(close_ends_what_waits_and_everything_after_it) {
    auto [mine, theirs] = socket_pair();
    const int fd = mine.get();
    const auto text = text_of(much);
    Ours ours(std::move(mine));
    ours.begin_read(1);
    ours.begin_write(text);
    BOOST_TEST(!ours.got);
    BOOST_TEST(!ours.wrote);
    BOOST_TEST(!ours.connection.left());
    ours.connection.close();
    BOOST_TEST(!is_open(fd));
    ours.run();
    BOOST_TEST(ours.got.value() == "");
    BOOST_TEST(!ours.wrote.value());
    BOOST_TEST(ours.read_all() == "");
    ours.begin_write("x");
    BOOST_TEST(!ours.wrote.value());
    ours.connection.write_now("x");
    BOOST_TEST(ours.connection.left());
}

BOOST_AUTO_TEST_CASE(a_write_waits_for_room_and_writes_all) {
    auto [mine, theirs] = socket_pair();
    const auto text = text_of(much);
    Ours ours(std::move(mine));
    ours.begin_write(text);
    BOOST_TEST(!ours.wrote);
    std::string got;
    std::thread debugger([&, fd = theirs.get()] { got = receive(fd, text.size()); });
    ours.run();
    debugger.join();
    BOOST_TEST(ours.wrote.value());
    BOOST_TEST((got == text));
}

BOOST_AUTO_TEST_CASE(what_must_go_now_goes_behind_the_rest_of_what_is_being_written) {
    auto [mine, theirs] = socket_pair();
    const auto text = text_of(much);
    Ours ours(std::move(mine));
    ours.begin_write(text);
    BOOST_TEST(!ours.wrote);
    std::string got;
    std::thread debugger([&, fd = theirs.get()] { got = receive(fd, text.size() + 3); });
    ours.connection.write_now("end");
    debugger.join();
    BOOST_TEST((got == text + "end"));
    // The write that was under way has nothing left.
    ours.run();
    BOOST_TEST(ours.wrote.value());
}

BOOST_AUTO_TEST_CASE(nobody_waits_longer_than_a_second_for_a_debugger_that_takes_nothing) {
    auto [mine, theirs] = socket_pair();
    Ours ours(std::move(mine));
    const auto text = text_of(much);
    const auto begin = std::chrono::steady_clock::now();
    const auto worked = processor_time();
    ours.connection.write_now(text);
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= 990ms));
    BOOST_TEST((std::chrono::steady_clock::now() - begin < 15s));
    // It sleeps meanwhile.
    BOOST_TEST((processor_time() - worked < 500ms));
}

BOOST_AUTO_TEST_CASE(a_debugger_has_left_when_its_side_is_shut_also_if_it_has_said_something) {
    auto [mine, theirs] = socket_pair();
    Ours ours(std::move(mine));
    BOOST_TEST(!ours.connection.left());
    BOOST_TEST(::send(theirs.get(), "D", 1, 0) == 1);
    BOOST_TEST(!ours.connection.left());
    BOOST_TEST(::shutdown(theirs.get(), SHUT_WR) == 0);
    BOOST_TEST(ours.connection.left());
    BOOST_TEST(ours.read_all() == "D");
    BOOST_TEST(ours.connection.left());
}

BOOST_AUTO_TEST_CASE(two_pipes_are_a_connection_too) {
    auto [in, their_out] = make_pipe();
    auto [their_in, out] = make_pipe();
    const std::array<int, 2> fds{in.get(), out.get()};
    const auto text = text_of(much);
    {
        Ours ours(std::move(in), std::move(out));
        BOOST_TEST(::write(their_out.get(), "hello", 5) == 5);
        BOOST_TEST(ours.read_all() == "hello");
        BOOST_TEST(!ours.connection.left());
        std::string got;
        ours.begin_write(text);
        BOOST_TEST(!ours.wrote);
        std::thread debugger([&, fd = their_in.get()] { got = receive(fd, text.size() + 3); });
        ours.run();
        BOOST_TEST(ours.wrote.value());
        ours.connection.write_now("end");
        debugger.join();
        BOOST_TEST((got == text + "end"));
        // One that is full is waited for, too.
        std::thread later([&, fd = their_in.get()] { got = receive(fd, text.size()); });
        ours.connection.write_now(text);
        later.join();
        BOOST_TEST((got == text));
        their_out.reset();
        BOOST_TEST(ours.connection.left());
        BOOST_TEST(ours.read_all() == "");
        ours.connection.close();
        for (const int fd : fds) BOOST_TEST(!is_open(fd));
    }
}

BOOST_AUTO_TEST_CASE(a_packet_over_tcp_does_not_wait_for_the_next_one) {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    BOOST_TEST_REQUIRE(::bind(listener.get(), generic, size) == 0);
    BOOST_TEST_REQUIRE(::listen(listener.get(), 1) == 0);
    BOOST_TEST_REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
    UniqueFd mine(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    BOOST_TEST_REQUIRE(::connect(mine.get(), generic, size) == 0);
    const int fd = mine.get();
    const Ours ours(std::move(mine));
    int at_once = 0;
    socklen_t length = sizeof at_once;
    BOOST_TEST(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, &length) == 0);
    BOOST_TEST(at_once != 0);
}

// Pseudo-terminals.
#define BOOST_TEST_MODULE chardev_pty
#include "chardev_fixture.hpp"
#include "descriptors.hpp"
#include "directory.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

std::string pty_path(const Chardev& chardev) { return chardev.description().substr(4); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_pty_keeps_output_until_somebody_opens_it) {
    Fixture fixture;
    const auto serial = fixture.open("pty,wait");
    const auto path = pty_path(*serial);
    BOOST_TEST(fixture.lines.await("serial0 is on pty") == "serial0 is on pty " + path);
    auto ready = fixture.ready(serial);
    put(*serial, "early");
    BOOST_TEST(!serial->connected());
    Pair client;
    client.fd[0] = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    BOOST_TEST(done(ready));
    BOOST_TEST(read_text(client.fd[0], 5) == "early");
    BOOST_TEST(serial->connected());
    write_text(client.fd[0], "in\r\x03");
    BOOST_TEST(get(*serial, 4) == "in\r\x03");
    Pair::close(client.fd[0]);
    BOOST_TEST(eventually([&] { return !serial->connected(); }));
    put(*serial, "later");
    client.fd[0] = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    BOOST_TEST(read_text(client.fd[0], 5) == "later");
}

BOOST_AUTO_TEST_CASE(a_pty_can_be_found_at_a_path_of_choice_while_it_lives) {
    Fixture fixture;
    const Directory directory;
    const auto link = directory / "tty";
    const auto serial = fixture.open("pty,link=" + link);
    const auto path = pty_path(*serial);
    BOOST_TEST(fixture.lines.await("serial0 is on pty") == "serial0 is on pty " + path + " (" + link + " leads there)");
    BOOST_TEST(std::filesystem::read_symlink(link) == path);
    Pair client;
    client.fd[0] = ::open(link.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    put(*serial, "hello");
    BOOST_TEST(read_text(client.fd[0], 5) == "hello");
    BOOST_CHECK_EXCEPTION(fixture.open("pty,link=" + link), Error, [&](const Error& error) {
        return std::string(error.what()).find(link + ": it leads to " + path + ", which is in use") != std::string::npos;
    });
    Pair::close(client.fd[0]);
    fixture.close(serial);
    BOOST_TEST(!std::filesystem::is_symlink(link));

    // A link that a program has left behind: to a terminal that has gone, or whose number another one has got since.
    const Terminal other;
    for (const auto& left_over : {std::string("/dev/pts/999999"), std::string(::ptsname(other.person()))}) {
        std::filesystem::create_symlink(left_over, link);
        const std::array<timespec, 2> long_ago{timespec{1, 0}, timespec{1, 0}};
        ::utimensat(AT_FDCWD, link.c_str(), long_ago.data(), AT_SYMLINK_NOFOLLOW);
        const auto next = fixture.open("pty,link=" + link);
        BOOST_TEST(std::filesystem::read_symlink(link) == pty_path(*next));
        fixture.close(next);
    }
    // Nobody else's file goes.
    std::ofstream(link) << "mine";
    BOOST_CHECK_EXCEPTION(fixture.open("pty,link=" + link), Error, [](const Error& error) {
        return std::string(error.what()).find("no link to a pseudo-terminal") != std::string::npos;
    });
    BOOST_TEST(contents(link) == "mine");
    std::filesystem::remove(link);
    const auto last = fixture.open("pty,link=" + link);
    std::filesystem::remove(link);
    std::ofstream(link) << "mine";
    fixture.close(last);
    BOOST_TEST(contents(link) == "mine");
    BOOST_CHECK_EXCEPTION(fixture.open("pty,link=/nonexistent/tty"), Error, [](const Error& error) {
        return std::string(error.what()).find("the directory must exist") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(a_pty_gives_each_byte_to_one_of_many_clients) {
    Fixture fixture;
    const auto serial = fixture.open("pty");
    const auto path = pty_path(*serial);
    std::string all;
    for (int i = 0; i < 30'000; ++i) all += std::to_string(i) + "\n";
    auto written = fixture.write(serial, all);
    std::string got;
    while (got.size() < all.size()) {
        Pair client;
        client.fd[0] = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        got += read_text(client.fd[0], std::min<std::size_t>(40'000, all.size() - got.size()));
    }
    BOOST_TEST((got == all));
    BOOST_TEST(done(written));
}

BOOST_AUTO_TEST_CASE(a_pty_is_drained_when_all_has_been_read) {
    Fixture fixture;
    const auto serial = fixture.open("pty");
    const auto path = pty_path(*serial);
    put(*serial, "the end");
    auto drained = fixture.drain(serial);
    BOOST_TEST(!fixture.lines.await("serial0: the guest has ended; 7 bytes wait for somebody to read " + path).empty());
    Pair client;
    client.fd[0] = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    BOOST_TEST(read_text(client.fd[0], 3) == "the");
    BOOST_TEST((drained.wait_for(200ms) == std::future_status::timeout));
    BOOST_TEST(read_text(client.fd[0], 4) == " end");
    BOOST_TEST_REQUIRE(done(drained));
    BOOST_TEST(drained.get() == 0u);
    fixture.close(serial);
}

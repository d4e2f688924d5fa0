// A chardev that gets another end while its device goes on: nothing is lost, nothing comes twice, in both directions.
#define BOOST_TEST_MODULE chardev_change
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "descriptors.hpp"
#include "directory.hpp"
#include "server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <boost/test/data/test_case.hpp>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

bool refused(const std::string& where) {
    try {
        const Client client(where);
        return false;
    } catch (const std::runtime_error&) {
        return true;
    }
}

bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

/// Fills what there is between the guest and a client that does not read.
std::string stall(Chardev& serial) {
    const auto text = text_of(1 << 20);
    std::size_t done = 0;
    for (int silent = 0; silent < 50 && done < text.size();) {
        const auto taken = put(serial, std::string_view(text).substr(done));
        done += taken;
        silent = taken == 0 ? silent + 1 : 0;
        if (taken == 0) std::this_thread::sleep_for(1ms);
    }
    return text.substr(0, done);
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_nobody_has_taken_goes_to_the_new_place) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("tcp:0");
    const auto first = serial->description();
    put(*serial, "early,");
    BOOST_TEST(fixture.change(serial, "unix:" + (directory / "sock")).get() == "");
    BOOST_TEST(refused(first));
    put(*serial, "late,");
    Client client("unix:" + (directory / "sock"));
    BOOST_TEST(client.receive(11) == "early,late,");
    BOOST_TEST(serial->connected());
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "");
    BOOST_TEST(!exists(directory / "sock"));
    BOOST_TEST(client.receive(1) == "");
    BOOST_TEST(client.eof());
    put(*serial, "last");
    BOOST_TEST(eventually([&] { return contents(directory / "out") == "last"; }));
    BOOST_TEST(serial->connected());
    BOOST_TEST(serial->traffic().from_guest == 15u);
}

BOOST_AUTO_TEST_CASE(an_observer_hears_where_it_goes_on_and_nothing_of_a_refused_change) {
    struct Watch : Observer {
        void chardev_changed(std::string_view label, std::string_view to) noexcept override {
            told.push_back(std::string(label) + " " + std::string(to));
        }
        std::vector<std::string> told;
    };
    Fixture fixture;
    const Directory directory;
    const auto watch = std::make_shared<Watch>();
    fixture.observer = watch;
    const auto serial = fixture.open("null");
    BOOST_TEST(fixture.change(serial, "unix:/no/such/sock").get() != "");
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "");
    BOOST_TEST(fixture.change(serial, "tcp:0").get() == "");
    const std::vector<std::string> expected{"serial0 file:" + (directory / "out"), "serial0 " + serial->description()};
    BOOST_TEST(watch->told == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_refused_change_leaves_everything_as_it_was) {
    Fixture fixture;
    const Directory directory;
    const Server busy;
    const auto serial = fixture.open("tcp:0,log=" + (directory / "log"));
    const auto first = serial->description();
    Client client(first);
    client.send("a");
    BOOST_TEST(get(*serial, 1) == "a");
    const std::pair<std::string, std::string> wrong[] = {
        {busy.where(), "cannot listen on " + busy.where() + ": address already in use"},
        {"unix:/no/such/sock", "cannot listen on unix:/no/such/sock: no such file or directory"},
        {"file:/no/such/file", "cannot open /no/such/file for writing: no such file or directory"},
        {"tcp:0,log=/no/such/file", "cannot open /no/such/file for writing: no such file or directory"},
        {"pty,link=/no/such/link", "cannot make the link /no/such/link to /dev/pts/"},
        {"tcp:127.0.0.1:1,client", "cannot connect to tcp:127.0.0.1:1: connection refused"},
        {first.substr(0, 4) + "203.0.113.1" + first.substr(first.rfind(':')), "cannot assign requested address"},
    };
    for (const auto& [words, why] : wrong) {
        const auto said = fixture.change(serial, words).get();
        BOOST_TEST(said.find(why) != said.npos, said);
        BOOST_TEST(serial->description() == first);
        put(*serial, "still");
        BOOST_TEST(client.receive(5) == "still");
        client.send("in");
        BOOST_TEST(get(*serial, 2) == "in");
        // Also who comes now.
        BOOST_TEST(!refused(first));
    }
    BOOST_TEST(fixture.on_loop([&] { return spec_of(*serial).log; }) == directory / "log");
    BOOST_TEST(eventually([&] { return contents(directory / "log").size() == 5 * std::size(wrong); }));
}

BOOST_AUTO_TEST_CASE(who_waits_at_a_port_is_not_turned_away_by_a_change_at_it) {
    Fixture fixture;
    const Directory directory;
    for (const auto& words : {std::string("tcp:0"), "unix:" + (directory / "sock")}) {
        const auto serial = fixture.open(words);
        const auto where = serial->description();
        Client client(where);
        client.send("a");
        BOOST_TEST(get(*serial, 1) == "a");
        Client next(where);
        BOOST_TEST(fixture.change(serial, where + ",history=10").get() == "");
        BOOST_TEST(client.receive(1) == "");
        put(*serial, "hello");
        BOOST_TEST(next.receive(5) == "hello");
        BOOST_TEST(serial->description() == where);
    }
    BOOST_TEST(exists(directory / "sock"));
}

BOOST_AUTO_TEST_CASE(a_port_is_given_up_for_another_address_with_it) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    const auto where = serial->description();
    const auto port = where.substr(where.rfind(':'));
    put(*serial, "x");
    BOOST_TEST(fixture.change(serial, "tcp:0.0.0.0" + port).get() == "");
    BOOST_TEST(serial->description() == "tcp:0.0.0.0" + port);
    Client client(where);
    BOOST_TEST(client.receive(1) == "x");
}

BOOST_DATA_TEST_CASE(a_client_that_takes_nothing_keeps_what_it_has_and_the_rest_goes_on,
                     boost::unit_test::data::make({false, true}), local) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open((local ? "unix:" + (directory / "sock") : std::string("tcp:0")) + ",backlog=64K");
    Client client(serial->description(), 4096);
    client.send("a");
    BOOST_TEST(get(*serial, 1) == "a");
    const auto text = stall(*serial);
    BOOST_TEST(!serial->writable());
    const auto begun = std::chrono::steady_clock::now();
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "");
    BOOST_TEST((std::chrono::steady_clock::now() - begun < 10s));
    BOOST_TEST(eventually([&] { return serial->writable(); }));
    const auto kept = client.receive_all();
    BOOST_TEST(kept.size() > 0u);
    BOOST_TEST(kept.size() < text.size());
    BOOST_TEST(eventually([&] { return contents(directory / "out").size() >= text.size() - kept.size(); }));
    BOOST_TEST((kept + contents(directory / "out") == text));
}

BOOST_AUTO_TEST_CASE(what_a_terminal_program_has_not_read_is_taken_back) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("pty,backlog=64K");
    Pair client;
    client.fd[0] = ::open(serial->description().substr(4).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    put(*serial, "x");
    BOOST_TEST(read_text(client.fd[0], 1) == "x");
    write_text(client.fd[0], "typed");
    const auto text = stall(*serial);
    BOOST_TEST(!serial->writable());
    const auto read = read_text(client.fd[0], 1000);
    BOOST_TEST((read == text.substr(0, 1000)));
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "");
    // It has nothing more, and ends.
    BOOST_TEST(read_text(client.fd[0], 1) == "");
    BOOST_TEST(eventually([&] { return contents(directory / "out").size() >= text.size() - 1000; }));
    BOOST_TEST((contents(directory / "out") == text.substr(1000)));
    BOOST_TEST(get(*serial, 5) == "typed");
}

BOOST_AUTO_TEST_CASE(input_that_the_guest_has_not_read_comes_before_the_new_clients) {
    Fixture fixture;
    const auto serial = fixture.open("telnet:0");
    const auto text = text_of(200'000);
    Client client(serial->description());
    client.send(text + "\xff\xf3");  // and a BREAK
    BOOST_TEST(get(*serial, 100) == text.substr(0, 100));
    BOOST_TEST(fixture.change(serial, "tcp:0").get() == "");
    Client next(serial->description());
    next.send("new");
    BOOST_TEST((get(*serial, text.size() - 100) == text.substr(100)));
    BOOST_TEST(eventually([&] { return serial->take_break(); }));
    BOOST_TEST(get(*serial, 3) == "new");
    BOOST_TEST(serial->traffic().to_guest == text.size() + 3);
}

BOOST_AUTO_TEST_CASE(a_standard_input_comes_behind_what_a_client_has_sent) {
    StandardStreams standard;
    Fixture fixture;
    const auto serial = fixture.open("tcp:0");
    const auto text = text_of(100'000);
    Client client(serial->description());
    client.send(text);
    BOOST_TEST(get(*serial, 10) == text.substr(0, 10));
    write_text(standard.in.writer(), "stdin");
    put(*serial, "out");
    BOOST_TEST(client.receive(3) == "out");
    BOOST_TEST(fixture.change(serial, "stdio").get() == "");
    put(*serial, "put");
    BOOST_TEST(read_text(standard.out.reader(), 3) == "put");
    BOOST_TEST((get(*serial, text.size() - 5) == text.substr(10) + "stdin"));
    // And away again: it is read no more.
    BOOST_TEST(fixture.change(serial, "null").get() == "");
    write_text(standard.in.writer(), "x");
    fixture.poll(20);
    std::byte byte{};
    BOOST_TEST(serial->read_some(std::span(&byte, 1)) == 0u);
}

BOOST_AUTO_TEST_CASE(one_of_two_devices_leaves_the_standard_streams_and_comes_back) {
    StandardStreams standard;
    Fixture fixture;
    const auto first = fixture.open("stdio");
    const auto second = fixture.open("stdio", false);
    put(*first, "a");
    put(*second, "b");
    BOOST_TEST(read_text(standard.out.reader(), 2) == "ab");
    for (int round = 0; round < 3; ++round) {
        BOOST_TEST(fixture.change(first, "tcp:0").get() == "");
        put(*first, "to tcp");
        put(*second, "c");
        BOOST_TEST(read_text(standard.out.reader(), 1) == "c");
        Client client(first->description());
        BOOST_TEST(client.receive(6) == "to tcp");
        client.send("typed there");
        BOOST_TEST(get(*first, 5) == "typed");
        client.close();
        put(*first, "kept");
        BOOST_TEST(fixture.change(first, "stdio").get() == "");
        put(*first, "d");
        BOOST_TEST(read_text(standard.out.reader(), 5) == "keptd");
        write_text(standard.in.writer(), "here");
        BOOST_TEST(get(*first, 10) == " therehere");
        BOOST_TEST(!second->readable());
    }
    // Standard input is free when its reader has gone.
    BOOST_TEST(fixture.change(first, "null").get() == "");
    BOOST_TEST(fixture.change(second, "null").get() == "");
    BOOST_TEST(fixture.change(second, "stdio").get() == "");
    write_text(standard.in.writer(), "second");
    BOOST_TEST(get(*second, 6) == "second");
    const auto refusal = fixture.change(first, "stdio").get();
    BOOST_TEST(refusal.find("serial1 reads standard input already") != refusal.npos);
}

BOOST_AUTO_TEST_CASE(two_changes_at_once_are_carried_out_one_after_the_other) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("tcp:0,backlog=64K");
    Client client(serial->description(), 4096);
    client.send("a");
    BOOST_TEST(get(*serial, 1) == "a");
    const auto text = stall(*serial);
    auto one = fixture.change(serial, "unix:" + (directory / "one"));
    auto two = fixture.change(serial, "file:" + (directory / "two"));
    BOOST_TEST(one.get() == "");
    BOOST_TEST(two.get() == "");
    BOOST_TEST(!exists(directory / "one"));
    BOOST_TEST(serial->description() == "file:" + (directory / "two"));
    const auto kept = client.receive_all();
    BOOST_TEST(eventually([&] { return kept.size() + contents(directory / "two").size() >= text.size(); }));
    BOOST_TEST((kept + contents(directory / "two") == text));
}

BOOST_AUTO_TEST_CASE(a_chardev_that_is_closed_meanwhile_closes_both_ends) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("tcp:0,backlog=64K");
    Client client(serial->description(), 4096);
    client.send("a");
    BOOST_TEST(get(*serial, 1) == "a");
    (void)stall(*serial);
    auto change = fixture.change(serial, "unix:" + (directory / "sock"));
    auto late = fixture.change(serial, "null");
    BOOST_TEST(eventually([&] { return exists(directory / "sock"); }));
    auto drained = fixture.drain(serial);
    fixture.close(serial);
    BOOST_TEST(change.get() == "serial0 is closed: the machine has ended");
    BOOST_TEST(late.get() == "serial0 is closed: the machine has ended");
    BOOST_TEST(!exists(directory / "sock"));
    // Nobody waits for anything.
    BOOST_TEST(done(drained));
    BOOST_TEST(serial->writable());
    BOOST_TEST(put(*serial, "x") == 1u);
}

BOOST_AUTO_TEST_CASE(the_wait_for_a_client_follows_to_the_new_place) {
    Fixture fixture;
    const auto serial = fixture.open("tcp:0,wait");
    auto ready = fixture.ready(serial);
    BOOST_TEST(fixture.change(serial, "tcp:0,wait").get() == "");
    fixture.poll(20);
    BOOST_TEST((ready.wait_for(0s) == std::future_status::timeout));
    const Client client(serial->description());
    BOOST_TEST(done(ready));

    const auto other = fixture.open("tcp:0,wait");
    auto at_once = fixture.ready(other);
    BOOST_TEST(fixture.change(other, "tcp:0").get() == "");
    BOOST_TEST(done(at_once));
}

BOOST_AUTO_TEST_CASE(what_is_left_at_the_end_can_be_sent_elsewhere) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("tcp:0");
    put(*serial, "the end");
    auto drained = fixture.drain(serial);
    fixture.lines.await("7 bytes wait");
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "");
    BOOST_TEST(done(drained));
    BOOST_TEST(drained.get() == 0u);
    BOOST_TEST(contents(directory / "out") == "the end");
}

BOOST_AUTO_TEST_CASE(a_log_goes_on_or_another_one_begins) {
    Fixture fixture;
    const Directory directory;
    const auto log = directory / "log";
    const auto serial = fixture.open("null,log=" + log);
    put(*serial, "one,");
    BOOST_TEST(fixture.change(serial, "tcp:0,log=" + log).get() == "");
    put(*serial, "two,");
    BOOST_TEST(eventually([&] { return contents(log) == "one,two,"; }));
    BOOST_TEST(fixture.change(serial, "tcp:0,log=" + (directory / "other")).get() == "");
    put(*serial, "three");
    BOOST_TEST(eventually([&] { return contents(directory / "other") == "three"; }));
    BOOST_TEST(contents(log) == "one,two,");
    // What a null device got is gone, the rest is not.
    Client client(serial->description());
    BOOST_TEST(client.receive(9) == "two,three");
}

BOOST_AUTO_TEST_CASE(a_link_leads_to_the_new_terminal) {
    Fixture fixture;
    const Directory directory;
    const auto link = directory / "tty";
    const auto serial = fixture.open("pty,link=" + link);
    const auto first = serial->description();
    BOOST_TEST(fixture.change(serial, "pty,link=" + link).get() == "");
    BOOST_TEST(serial->description() != first);
    BOOST_TEST("pty:" + std::filesystem::read_symlink(link).string() == serial->description());
    BOOST_TEST(fixture.change(serial, "null").get() == "");
    BOOST_TEST(!exists(link));
}

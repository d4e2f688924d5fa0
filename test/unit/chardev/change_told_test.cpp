// What a device, and who waits for a chardev, hear of a change, of its new end, and of the old one no more.
#define BOOST_TEST_MODULE chardev_change_told
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "descriptors.hpp"
#include "directory.hpp"

#include <asio/use_future.hpp>

#include <filesystem>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

awaitable<void> change_and_connect_later(std::shared_ptr<Chardev> chardev, std::string spec) {
    const ChardevChange to{.spec = parse_chardev_spec(spec), .connect_later = true};
    co_await change_chardev(chardev, to);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_device_hears_of_the_change_and_of_what_comes_at_the_new_end) {
    Fixture fixture;
    const auto serial = fixture.open("null");
    const auto before = serial->changed().generation();
    BOOST_TEST(fixture.change(serial, "null").get() == "");
    BOOST_TEST(serial->changed().generation() != before);
    BOOST_TEST(fixture.change(serial, "tcp:0").get() == "");
    Client client(serial->description());
    client.send("a");
    BOOST_TEST(get(*serial, 1) == "a");
    const auto seen = serial->changed().generation();
    client.send("b");
    BOOST_TEST(eventually([&] { return serial->readable(); }));
    BOOST_TEST(eventually([&] { return serial->changed().generation() != seen; }));
}

BOOST_AUTO_TEST_CASE(a_device_that_has_left_a_queue_of_several_hears_nothing_of_it) {
    StandardStreams standard;
    Fixture fixture;
    const auto stays = fixture.open("stdio,backlog=4K");
    const auto leaves = fixture.open("stdio", false);
    const auto heard = [&](const std::shared_ptr<Chardev>& of) { return of->changed().generation(); };
    // Nobody reads, until there is no room; then somebody does.
    const auto fill_and_empty = [&] {
        const std::string piece(1024, 'x');
        std::size_t all = 0;
        while (stays->writable()) {
            all += put(*stays, piece);
            fixture.poll(3);
        }
        const auto seen = heard(stays);
        BOOST_TEST(read_text(standard.out.reader(), all).size() == all);
        BOOST_TEST(eventually([&] { return stays->writable() && heard(stays) != seen; }));
    };
    auto quiet = heard(leaves);
    fill_and_empty();
    BOOST_TEST(heard(leaves) != quiet);
    BOOST_TEST(fixture.change(leaves, "null").get() == "");
    quiet = heard(leaves);
    fill_and_empty();
    BOOST_TEST(heard(leaves) == quiet);
    // One that comes to the others hears that, one that is closed hears that, and no more.
    BOOST_TEST(fixture.change(leaves, "stdio", false).get() == "");
    BOOST_TEST(heard(leaves) != quiet);
    quiet = heard(leaves);
    fixture.close(leaves);
    BOOST_TEST(heard(leaves) != quiet);
    quiet = heard(leaves);
    fill_and_empty();
    BOOST_TEST(heard(leaves) == quiet);
}

BOOST_AUTO_TEST_CASE(who_does_not_read_the_standard_input_leaves_it_to_another_one) {
    StandardStreams standard;
    Fixture fixture;
    const auto first = fixture.open("null");
    const auto second = fixture.open("null");
    BOOST_TEST(fixture.change(first, "stdio", false).get() == "");
    write_text(standard.in.writer(), "text");
    BOOST_TEST(!first->readable());
    BOOST_TEST(fixture.change(second, "stdio").get() == "");
    BOOST_TEST(get(*second, 4) == "text");
    BOOST_TEST(!first->readable());
}

BOOST_AUTO_TEST_CASE(who_leaves_the_standard_streams_again_has_its_own_queue_again) {
    StandardStreams standard;
    Fixture fixture;
    const auto first = fixture.open("stdio");
    const auto second = fixture.open("stdio", false);
    for (std::uint64_t round = 1; round < 4; ++round) {
        BOOST_TEST(fixture.change(first, "tcp:0").get() == "");
        put(*first, "1234");
        BOOST_TEST(first->traffic().from_guest == 4 * round);
        BOOST_TEST(fixture.change(first, "stdio").get() == "");
    }
    // What nobody took there has come here each time.
    BOOST_TEST(second->traffic().from_guest == 12u);
}

BOOST_AUTO_TEST_CASE(a_server_that_does_not_answer_is_no_hindrance_for_who_connects_later) {
    Fixture fixture;
    const auto serial = fixture.open("null");
    const std::string nobody = "tcp:127.0.0.1:1,client";
    BOOST_TEST(fixture.change(serial, nobody).get() != "");
    BOOST_TEST(serial->description() == "null");
    asio::co_spawn(fixture.loop(), change_and_connect_later(serial, nobody), asio::use_future).get();
    BOOST_TEST(serial->description() == "tcp:127.0.0.1:1");
}

BOOST_AUTO_TEST_CASE(after_the_end_nothing_is_opened) {
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("null");
    fixture.close(serial);
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "out")).get() == "serial0 is closed: the machine has ended");
    BOOST_TEST(!std::filesystem::exists(directory / "out"));
}

#define BOOST_TEST_MODULE block_spec
#include <boost/test/unit_test.hpp>

#include "block/image_format.hpp"
#include "block/snapshot.hpp"
#include "block_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::string_view_literals;

namespace {

DiskSpec parse(std::string_view text) { return parse_disk_spec(text); }

void check_refused(std::string_view text, std::string_view part) {
    const auto message = refused([text] { static_cast<void>(parse_disk_spec(text)); });
    BOOST_TEST_CONTEXT(text << ": " << message) {
        BOOST_TEST(has(message, part));
        BOOST_TEST(message.find("--disk " + std::string(text) + ": ") == 0u);
    }
}

std::string_view format_of(std::string_view head) { return block::foreign_format(std::as_bytes(std::span(head))); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_path_alone_is_a_disk_that_the_guest_writes_through_the_page_cache) {
    const auto spec = parse("disk.img");
    BOOST_TEST((spec.kind == DiskSpec::Kind::file));
    BOOST_TEST(spec.source == "disk.img");
    BOOST_TEST((!spec.read_only && !spec.snapshot && !spec.direct && spec.serial.empty()));
}

BOOST_AUTO_TEST_CASE(options_follow_after_commas_in_any_order) {
    const auto spec = parse("d,serial=root-1,ro,cache=none");
    BOOST_TEST((spec.read_only && spec.direct && !spec.snapshot));
    BOOST_TEST(spec.serial == "root-1");
    BOOST_TEST(parse("d,snapshot").snapshot);
    BOOST_TEST(!parse("d,ro,ro=off,cache=none,cache=writeback").read_only);
    BOOST_TEST(!parse("d,cache=none,cache=writeback").direct);
}

BOOST_AUTO_TEST_CASE(a_doubled_comma_is_one_of_the_name) { BOOST_TEST(parse("a,,b,ro").source == "a,b"); }

BOOST_AUTO_TEST_CASE(servers_are_given_by_a_socket_or_by_a_uri) {
    BOOST_TEST(parse("nbd:unix:/tmp/a b?c").source == "nbd+unix:///?socket=/tmp/a%20b%3Fc");
    for (const std::string uri : {"nbd://host", "nbds://host/x", "nbd+unix:///x?socket=/s", "nbd+vsock://2"}) {
        BOOST_TEST((parse(uri).kind == DiskSpec::Kind::nbd));
        BOOST_TEST(parse(uri).source == uri);
    }
}

BOOST_AUTO_TEST_CASE(a_disk_of_another_process_is_a_socket_and_a_number_of_queues) {
    const auto spec = parse("vhost-user:/tmp/a,,b,queues=4");
    BOOST_TEST((spec.kind == DiskSpec::Kind::vhost_user));
    BOOST_TEST(spec.source == "/tmp/a,b");
    BOOST_TEST(spec.queues == 4u);
    BOOST_TEST(parse("vhost-user:/tmp/a").queues == 0u);
    check_refused("vhost-user:", "needs the path of a socket");
    check_refused("vhost-user:/a,ro", "there is no option 'ro' of a vhost-user disk but queues=: say it to the back end");
    for (const char* const number : {"0", "9", "x", ""}) {
        check_refused("vhost-user:/a,queues=" + std::string(number), "is not a number from 1 to 8");
    }
    asio::io_context loop(1);
    BOOST_TEST(has(refused([&] { static_cast<void>(open_disk(spec, loop, {})); }), "no back end in this process"));
}

BOOST_AUTO_TEST_CASE(mistakes_are_named_by_their_field) {
    check_refused("", "names no file");
    check_refused("-", "standard input");
    check_refused("d,", "comma");
    check_refused("d,rw", "no option rw");
    check_refused("d,snapshots", "did you mean snapshot");
    check_refused("d,ro=1", "ro=1");
    check_refused("d,cache=unsafe", "cache=unsafe");
    check_refused("d,serial=", "serial=");
    check_refused("d,serial=123456789012345678901", "21 characters");
    check_refused("d,serial=a b", "ASCII");
    check_refused("d,ro,snapshot", "ro and snapshot");
    check_refused("nbd:unix:", "path of a socket");
    check_refused("nbd:host:1", "nbd://");
    check_refused("nbd://host,cache=none", "cache=none");
}

BOOST_AUTO_TEST_CASE(images_of_other_formats_are_known_by_their_beginning) {
    BOOST_TEST(format_of("QFI\xfb\0\0\0\3"sv) == "qcow2");
    BOOST_TEST(format_of("KDMV"sv) == "VMDK");
    BOOST_TEST(format_of("# Disk DescriptorFile\n"sv) == "VMDK");
    BOOST_TEST(format_of("conectix"sv) == "VHD");
    BOOST_TEST(format_of("vhdxfile"sv) == "VHDX");
    BOOST_TEST(format_of("QED\0"sv) == "QED");
    BOOST_TEST(format_of(std::string(0x40, '<') + "\x7f\x10\xda\xbe") == "VDI");
    BOOST_TEST(format_of("QFI"sv).empty());
    BOOST_TEST(format_of(std::string(512, '\0')).empty());
}

BOOST_AUTO_TEST_CASE(written_sectors_are_told_from_others_run_by_run) {
    block::WrittenSectors written;
    const auto check = [&written](std::uint64_t offset, std::uint64_t most, std::uint64_t size, bool is_written) {
        const auto run = written.run_at(offset, most);
        BOOST_TEST_CONTEXT(offset) {
            BOOST_TEST(run.size == size);
            BOOST_TEST(run.written == is_written);
        }
    };
    check(0, 1 << 20, 1 << 20, false);
    written.mark(512, 512);
    written.mark(63 * 512, 66 * 512);  // over two borders of words
    check(0, 1 << 20, 512, false);
    check(512, 1 << 20, 512, true);
    check(1024, 1 << 20, 61 * 512, false);
    check(63 * 512, 1 << 20, 66 * 512, true);
    check(100 * 512, 1024, 1024, true);
    check(129 * 512, 5120, 5120, false);
}

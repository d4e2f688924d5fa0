#include "gdb/spec.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

using namespace asyncvm;
using namespace asyncvm::gdb;

BOOST_AUTO_TEST_SUITE(gdb_spec)

BOOST_AUTO_TEST_CASE(where_gdb_comes) {
    const auto tcp = parse_spec("tcp:1234");
    BOOST_TEST((tcp.kind == Spec::Kind::tcp));
    BOOST_TEST(tcp.host.empty());
    BOOST_TEST(tcp.port == 1234u);
    BOOST_TEST(!tcp.wait);
    BOOST_TEST(parse_spec("tcp:[::1]:0,wait").wait);
    BOOST_TEST(parse_spec("tcp:[::1]:0").host == "::1");
    BOOST_TEST(parse_spec("unix:/tmp/gdb,,1").path == "/tmp/gdb,1");
    const auto as_in_qemu = parse_spec("unix:/tmp/gdb,server=on,wait=off");
    BOOST_TEST(as_in_qemu.path == "/tmp/gdb");
    BOOST_TEST(!as_in_qemu.wait);
    BOOST_TEST(parse_spec("tcp::1234,server,nowait").port == 1234u);
    BOOST_TEST((parse_spec("stdio,mode=64").width == Width::long64));
    BOOST_TEST((parse_spec("stdio,mode=16,wait").kind == Spec::Kind::stdio));
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said) {
    for (const char* const text :
         {"", "1234", "tcp:", "tcp:x", "tcp:99999", "unix:", "pty", "tcp:1234,", "tcp:1234,mode=8", "stdio,nowait",
                                   "unix:/tmp/gdb,server=off"}) {
        BOOST_CHECK_EXCEPTION(static_cast<void>(parse_spec(text)), Error, [text](const Error& error) {
            return error.kind() == ErrorKind::usage && std::string(error.what()).starts_with("'" + std::string(text) + "'");
        });
    }
}

BOOST_AUTO_TEST_SUITE_END()

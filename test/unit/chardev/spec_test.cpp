#define BOOST_TEST_MODULE chardev_spec
#include <asyncvm/error.hpp>
#include <asyncvm/open_chardev.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

using namespace asyncvm;
using Kind = ChardevSpec::Kind;

namespace {

ChardevSpec parse(std::string_view text) { return parse_chardev_spec(text); }

void check_refused(std::string_view text, std::string_view part) {
    BOOST_TEST_CONTEXT(text) {
        try {
            (void)parse_chardev_spec(text);
            BOOST_ERROR("accepted");
        } catch (const Error& error) {
            BOOST_TEST((error.kind() == ErrorKind::usage));
            BOOST_TEST_CONTEXT(error.what()) {
                BOOST_TEST(std::string(error.what()).find(part) != std::string::npos);
                BOOST_TEST(std::string(error.what()).find("'" + std::string(text) + "'") == 0u);
            }
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_port_alone_listens_on_loopback) {
    const auto spec = parse("tcp:4444");
    BOOST_TEST((spec.kind == Kind::tcp));
    BOOST_TEST(spec.host.empty());
    BOOST_TEST(spec.port == 4444);
    BOOST_TEST(!spec.client);
    BOOST_TEST(!spec.telnet);
    BOOST_TEST(!spec.wait);
    BOOST_TEST(spec.backlog == 1u << 20);
    BOOST_TEST((spec.full == ChardevSpec::Full::wait));
    BOOST_TEST(spec.history == 0u);
    BOOST_TEST(!spec.linger.has_value());
    BOOST_TEST(spec.reconnect.count() == 1000);
}

BOOST_AUTO_TEST_CASE(a_host_may_be_a_name_an_address_or_in_brackets) {
    BOOST_TEST(parse("tcp:0.0.0.0:1").host == "0.0.0.0");
    BOOST_TEST(parse("tcp:localhost:0").host == "localhost");
    BOOST_TEST(parse("tcp:localhost:0").port == 0);
    BOOST_TEST(parse("tcp:[::1]:65535").host == "::1");
    BOOST_TEST(parse("tcp:[::1]:65535").port == 65535);
    BOOST_TEST(parse("tcp::4444").host.empty());
}

BOOST_AUTO_TEST_CASE(every_kind_is_known) {
    BOOST_TEST((parse("null").kind == Kind::null));
    BOOST_TEST((parse("stdio").kind == Kind::stdio));
    for (const auto* name : {"null", "none", "off"}) BOOST_TEST((parse(name).kind == Kind::null));
    BOOST_TEST((parse("pty").kind == Kind::pty));
    BOOST_TEST(parse("pty,link=/tmp/a,,b").path == "/tmp/a,b");
    BOOST_TEST((parse("file:/tmp/a").kind == Kind::file));
    BOOST_TEST(parse("file:/tmp/a").path == "/tmp/a");
    BOOST_TEST((parse("unix:/tmp/a:b").kind == Kind::unix_socket));
    BOOST_TEST(parse("unix:/tmp/a:b").path == "/tmp/a:b");
    BOOST_TEST(parse("telnet:4444").telnet);
}

BOOST_AUTO_TEST_CASE(a_doubled_comma_is_part_of_a_path) {
    const auto spec = parse("file:a,,b,append,log=c,,d");
    BOOST_TEST(spec.path == "a,b");
    BOOST_TEST(spec.append);
    BOOST_TEST(spec.log == "c,d");
}

BOOST_AUTO_TEST_CASE(options_are_read) {
    const auto spec =
        parse("tcp:host:1,client,wait,telnet,backlog=64K,full=drop,log=l,history=2M,linger=0.25,reconnect=2.5");
    BOOST_TEST(spec.client);
    BOOST_TEST(spec.wait);
    BOOST_TEST(spec.telnet);
    BOOST_TEST(spec.backlog == 65536u);
    BOOST_TEST((spec.full == ChardevSpec::Full::drop));
    BOOST_TEST(spec.log == "l");
    BOOST_TEST(spec.history == 2u << 20);
    BOOST_TEST(spec.linger.value().count() == 250);
    BOOST_TEST(spec.reconnect.count() == 2500);
    BOOST_TEST(parse("tcp:1,linger=0").linger.value().count() == 0);
    BOOST_TEST(parse("tcp:1,linger=0.0001").linger.value().count() == 1);
    BOOST_TEST(parse("tcp:1,linger=2.0500").linger.value().count() == 2050);
    BOOST_TEST(parse("tcp:1,linger=.9991").linger.value().count() == 1000);
    BOOST_TEST(parse("tcp:1,linger=3.").linger.value().count() == 3000);
    BOOST_TEST(parse("pty,backlog=1G").backlog == 1u << 30);
    BOOST_TEST(parse("null,log=x").log == "x");
    BOOST_TEST(!parse("null,log=x").append);
    BOOST_TEST(parse("pty,append,log=x").append);
    BOOST_TEST((parse("tcp:1,rows=43,cols=132").size == TerminalSize{.columns = 132, .rows = 43}));
}

BOOST_AUTO_TEST_CASE(the_habits_of_qemu_are_understood) {
    BOOST_TEST(!parse("tcp:h:1,server").client);
    BOOST_TEST(!parse("tcp:h:1,server=on,wait=off").wait);
    BOOST_TEST(parse("tcp:h:1,server=off").client);
    BOOST_TEST(!parse("tcp:h:1,server,nowait").wait);
    BOOST_TEST(parse("tcp:h:1,server,wait=on,telnet=on,nodelay=on").telnet);
    BOOST_TEST(!parse("telnet:h:1,server,nodelay,telnet=off").telnet);
    BOOST_TEST(parse("unix:p,server=off,reconnect=5").reconnect.count() == 5000);
}

BOOST_AUTO_TEST_CASE(mistakes_are_named_with_an_example) {
    check_refused("", "tcp:[HOST:]PORT");
    check_refused("4444", "for example tcp:4444");
    check_refused("udp:1", "unknown");
    check_refused("tcp", "port is missing");
    check_refused("tcp:", "port is missing");
    check_refused("tcp:host:", "port is missing");
    check_refused("tcp:host", "port host is not a number");
    check_refused("tcp:65536", "0 to 65535");
    check_refused("tcp:-1", "0 to 65535");
    check_refused("tcp:1x", "0 to 65535");
    check_refused("tcp:::1:4444", "in brackets");
    check_refused("tcp:[::1]", "]:PORT");
    check_refused("tcp:[]:1", "between the brackets");
    check_refused("tcp:0,client", "port 0");
    check_refused("unix:", "needs a path");
    check_refused("file:", "needs a path");
    check_refused("file", "needs a path");
    check_refused("pty:x", "nothing after it");
    check_refused("tcp:1,", "missing after a comma");
    check_refused("tcp:1,bogus",
                  "tcp has no option 'bogus'; it has client, wait, telnet, backlog=, full=, log=, append, history=");
    check_refused("file:a,wait", "file has no option 'wait'; it has backlog=, full=, log=, append, linger=");
    check_refused("null,linger=1", "null has no option 'linger'; it has log=, append");
    check_refused("tcp:1,backlog", "needs a value");
    check_refused("tcp:1,backlog=", "not a size");
    check_refused("tcp:1,backlog=K", "not a size");
    check_refused("tcp:1,backlog=1T", "not a size");
    check_refused("tcp:1,backlog=0", "out of range");
    check_refused("tcp:1,backlog=99999999999G", "out of range");
    check_refused("tcp:1,cols=80", "belong together");
    check_refused("tcp:1,cols=0,rows=25", "cols=0 is not a number from 1 to 65535");
    check_refused("tcp:1,cols=80,rows=65536", "rows=65536 is not");
    check_refused("null,cols=80,rows=25", "no option 'cols'");
    check_refused("tcp:1,full=maybe", "neither full=wait nor full=drop");
    check_refused("tcp:1,wait=perhaps", "neither wait=on nor wait=off");
    check_refused("tcp:1,linger=-1", "not a time");
    check_refused("tcp:1,linger=soon", "not a time");
    check_refused("tcp:1,linger=nan", "not a time");
    check_refused("tcp:1,linger=.", "not a time");
    check_refused("tcp:1,linger=1.5s", "not a time");
    check_refused("tcp:1,linger=1.5.5", "not a time");
    check_refused("tcp:1,linger=1000000001", "not a time");
    check_refused("tcp:1,log=", "needs a file");
    check_refused("pty,link=", "needs a path");
    check_refused("off:x", "nothing after it");
    check_refused("tcp:1,append", "for example tcp:1,log=out.txt,append");
    check_refused("tcp:1,reconnect=1", "for a client");
    check_refused("tcp:h:1,client,reconnect=0", "never rest");
}

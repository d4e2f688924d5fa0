// What chardev-change takes, and in which words it refuses: QEMU 7.2 says the same of the same.
#include <control/chardev_backend.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <random>
#include <string>
#include <utility>

using namespace asyncvm;
using namespace asyncvm::control;

namespace {

ChardevSpec parse(const std::string& text, const ChardevSpec& present = {}) {
    return parse_backend(Json::parse(text), present).spec;
}

std::string refusal(const std::string& text) {
    try {
        static_cast<void>(parse(text));
        return "none";
    } catch (const CommandError& error) {
        BOOST_TEST(error.error_class() == "GenericError");
        return error.what();
    }
}

std::string inet(const std::string& rest, const std::string& port = "4444") {
    return R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"127.0.0.1","port":")" + port + "\"}}" + rest +
           "}}";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chardev_backend)

BOOST_AUTO_TEST_CASE(each_kind_is_what_our_own_words_say) {
    const std::pair<std::string, const char*> same[] = {
        {R"({"type":"null","data":{}})", "null"},
        {R"({"type":"stdio","data":{"signal":false}})", "stdio"},
        {R"({"type":"pty","data":{}})", "pty"},
        {R"({"type":"pty","data":{"path":"/tmp/tty"}})", "pty,link=/tmp/tty"},
        {R"({"type":"file","data":{"out":"/tmp/a"}})", "file:/tmp/a"},
        {R"({"type":"file","data":{"out":"/tmp/a","append":true,"logfile":"/tmp/b"}})", "file:/tmp/a,append,log=/tmp/b"},
        {R"({"type":"null","data":{"logfile":"/tmp/b","logappend":true}})", "null,log=/tmp/b,append"},
        {inet(""), "tcp:127.0.0.1:4444"},
        {inet(R"(,"wait":true,"nodelay":true)"), "tcp:127.0.0.1:4444,wait"},
        {inet(R"(,"telnet":true,"server":true)"), "telnet:127.0.0.1:4444"},
        {inet(R"(,"server":false)"), "tcp:127.0.0.1:4444,client"},
        {inet(R"(,"server":false,"reconnect":5)"), "tcp:127.0.0.1:4444,client,reconnect=5"},
        {R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"","port":"0"}}}})", "tcp:0.0.0.0:0"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s"}}}})", "unix:/tmp/s"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s","tight":true,"abstract":false}},"server":false}})",
         "unix:/tmp/s,client"},
        {R"({"type":"file","data":{"out":"/tmp/a","logfile":"/tmp/b","logappend":true}})", "file:/tmp/a,append,log=/tmp/b"},
        {R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"h","port":"1","numeric":true,"keep-alive":true,
             "to":false,"ipv4":false,"ipv6":false,"mptcp":false}}}})",
         "tcp:h:1"},
    };
    for (const auto& [qemus, ours] : same) BOOST_TEST((parse(qemus) == parse_chardev_spec(ours)), qemus);
}

BOOST_AUTO_TEST_CASE(what_qemu_has_no_word_for_stays) {
    const auto present = parse_chardev_spec("tcp:1.2.3.4:5,telnet,wait,backlog=7,history=8,full=drop,linger=9,log=/tmp/l");
    auto expected = parse_chardev_spec("unix:/tmp/s,backlog=7,history=8,full=drop,linger=9,log=/tmp/l");
    BOOST_TEST(
        (parse(R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s"}}}})", present) == expected));
    expected.log = "/tmp/other";
    BOOST_TEST((parse(R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s"}},"logfile":"/tmp/other"}})",
                      present) == expected));
}

BOOST_AUTO_TEST_CASE(of_the_place_that_it_had_nothing_stays) {
    const auto client = parse_chardev_spec("tcp:1.2.3.4:5,client,reconnect=77");
    const auto file = parse_chardev_spec("file:/tmp/a,append");
    const auto server = parse_chardev_spec("telnet:1.2.3.4:5,wait");
    for (const auto& present : {client, file, server}) {
        BOOST_TEST((parse(R"({"type":"null","data":{}})", present) == parse_chardev_spec("null")));
        BOOST_TEST((parse(inet(""), present) == parse_chardev_spec("tcp:127.0.0.1:4444")));
    }
}

BOOST_AUTO_TEST_CASE(a_server_has_to_be_there_unless_it_may_come_later) {
    const auto later = [](const std::string& rest) { return parse_backend(Json::parse(inet(rest)), {}).connect_later; };
    BOOST_TEST(!later(R"(,"server":false)"));
    BOOST_TEST(!later(R"(,"server":false,"reconnect":0)"));
    BOOST_TEST(later(R"(,"server":false,"reconnect":1)"));
}

BOOST_AUTO_TEST_CASE(mistakes_are_told_in_qemus_words) {
    const std::pair<std::string, const char*> mistakes[] = {
        {R"({"type":"bogus","data":{}})", "Parameter 'type' does not accept value 'bogus'"},
        {R"({"data":{}})", "Parameter 'backend.type' is missing"},
        {R"({"type":"pty"})", "Parameter 'backend.data' is missing"},
        {R"({"type":"file","data":{}})", "Parameter 'backend.data.out' is missing"},
        {R"({"type":"file","data":{"out":"/tmp/a","bogus":1}})", "Parameter 'backend.data.bogus' is unexpected"},
        {R"({"type":"null","data":{},"more":1})", "Parameter 'backend.more' is unexpected"},
        {R"({"type":"socket","data":{}})", "Parameter 'backend.data.addr' is missing"},
        {R"({"type":"socket","data":{"addr":{}}})", "Parameter 'backend.data.addr.type' is missing"},
        {R"({"type":"socket","data":{"addr":{"type":"inet"}}})", "Parameter 'backend.data.addr.data' is missing"},
        {R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"h"}}}})",
         "Parameter 'backend.data.addr.data.port' is missing"},
        {R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"h","port":1}}}})",
         "Invalid parameter type for 'backend.data.addr.data.port', expected: string"},
        {R"({"type":"socket","data":{"addr":{"type":"fd","data":{"str":"name"}}}})",
         "File descriptor named 'name' has not been found"},
        {R"({"type":"socket","data":{"addr":{"type":"ipx","data":{}}}})", "Parameter 'type' does not accept value 'ipx'"},
        {inet(R"(,"reconnect":1)"), "'reconnect' option is incompatible with socket in server listen mode"},
        {inet(R"(,"server":false,"wait":true)"), "'wait' option is incompatible with socket in client connect mode"},
        {inet(R"(,"server":1)"), "Invalid parameter type for 'backend.data.server', expected: boolean"},
        {inet(R"(,"server":null)"), "Invalid parameter type for 'backend.data.server', expected: boolean"},
        {inet(R"(,"server":false,"reconnect":1.5)"),
         "Invalid parameter type for 'backend.data.reconnect', expected: integer"},
        {R"({"type":"socket","data":{"addr":"unix:x"}})",
         "Invalid parameter type for 'backend.data.addr', expected: object"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s"},"x":1}}})",
         "Parameter 'backend.data.addr.x' is unexpected"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/tmp/s","x":1}}}})",
         "Parameter 'backend.data.addr.data.x' is unexpected"},
        // Ours.
        {R"({"type":"file","data":{"out":"/tmp/a","in":"/tmp/b"}})", "Parameter 'backend.data.in' is not supported"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"s","abstract":true}}}})",
         "Parameter 'backend.data.addr.data.abstract' is not supported"},
        {R"({"type":"socket","data":{"addr":{"type":"inet","data":{"host":"h","port":"1","ipv6":true}}}})",
         "Parameter 'backend.data.addr.data.ipv6' is not supported"},
        {R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":"s"}},"telnet":true}})",
         "Parameter 'backend.data.telnet' is for inet sockets"},
        {inet("", "12x"), "address resolution failed for 127.0.0.1:12x: the port is not a number from 0 to 65535"},
        {inet(R"(,"server":false,"reconnect":1000000001)"),
         "Parameter 'backend.data.reconnect' expects a number of seconds from 0 to 1000000000"},
        {inet(R"(,"tls-creds":"tls0")"), "Parameter 'backend.data.tls-creds' is not supported"},
        {inet("", "nope"), "address resolution failed for 127.0.0.1:nope: the port is not a number from 0 to 65535"},
        {inet("", "65536"), "address resolution failed for 127.0.0.1:65536: the port is not a number from 0 to 65535"},
        {inet(R"(,"server":false)", "0"), "Failed to connect to '127.0.0.1:0': a client needs the port of its server"},
        {inet(R"(,"server":false,"reconnect":-1)"),
         "Parameter 'backend.data.reconnect' expects a number of seconds from 0 to 1000000000"},
    };
    for (const auto& [text, why] : mistakes) BOOST_TEST(refusal(text) == why, text);
    BOOST_TEST(refusal(inet(R"(,"websocket":false)")) == "none");
}

BOOST_AUTO_TEST_CASE(whatever_comes_is_a_place_or_refused) {
    const Json pieces[] = {1,      -1,    true,          nullptr,        "inet",   "unix", "",
                           "4444", 1e300, Json::array(), Json::object(), "socket", "file", "/x"};
    const char* const names[] = {"type", "data",   "addr", "host", "port",      "path",    "out",
                                 "wait", "server", "str",  "to",   "reconnect", "logfile", "x"};
    const std::string whole[] = {inet(""), R"({"type":"file","data":{"out":"/x"}})"};
    std::mt19937 random(3);
    const auto pick = [&random](const auto& from) { return from[random() % std::size(from)]; };
    unsigned taken = 0;
    for (int round = 0; round < 20'000; ++round) {
        auto value = Json::parse(pick(whole));
        for (auto changes = random() % 3; changes > 0; --changes) {
            Json* at = &value;
            while (random() % 3 != 0 && at->is_object() && !at->empty()) at = &at->begin().value();
            if (at->is_object()) (*at)[pick(names)] = pick(pieces);
        }
        try {
            static_cast<void>(parse_backend(value, {}));
            ++taken;
        } catch (const CommandError& error) {
            BOOST_TEST(std::string_view(error.what()).size() > 10u);
        }
    }
    BOOST_TEST(taken > 1000u);
    BOOST_TEST(taken < 19'000u);
}

BOOST_AUTO_TEST_SUITE_END()

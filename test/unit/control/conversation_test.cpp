// One client's side of the protocol: what is answered, in which words, and what is carried out.
#include <control/conversation.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <string>
#include <string_view>

using namespace asyncvm::control;

namespace {

struct Client : Conversation {
    /// The one answer to `bytes`, without its end of line; "NAME ARGUMENTS" for a command that is to be carried out.
    std::string say(std::string_view bytes) {
        feed(bytes);
        std::string all;
        while (const auto step = next()) {
            if (step->request) {
                all += std::string(step->request->command->name) + " " + to_text(step->request->arguments);
            } else {
                BOOST_TEST(step->answer.ends_with("}\r\n"));
                all += step->answer.substr(0, step->answer.size() - 2);
            }
        }
        return all;
    }
};

struct Ready : Client {
    Ready() { BOOST_TEST(say(R"({"execute":"qmp_capabilities"})") == R"({"return":{}})"); }
};

std::string refused(std::string_view description, std::string_view error_class = "GenericError", std::string_view id = "") {
    return "{" + (id.empty() ? std::string() : "\"id\":" + std::string(id) + ",") + R"("error":{"class":")" +
           std::string(error_class) + R"(","desc":")" + std::string(description) + "\"}}";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conversation)

BOOST_AUTO_TEST_CASE(the_greeting_has_a_version_and_no_capabilities) {
    const auto greeting = Json::parse(Conversation::greeting());
    BOOST_TEST(greeting["QMP"]["capabilities"] == Json::array());
    BOOST_TEST(greeting["QMP"]["version"]["qemu"]["major"].is_number_integer());
    BOOST_TEST(greeting["QMP"]["version"]["package"].get<std::string>().starts_with("asyncvm "));
}

BOOST_FIXTURE_TEST_CASE(nothing_is_carried_out_before_the_negotiation, Client) {
    const auto expecting = refused("Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound");
    BOOST_TEST(say(R"({"execute":"query-status"})") == expecting);
    BOOST_TEST(say(R"({"execute":"nope"})") == expecting);
    BOOST_TEST(!negotiated());
    BOOST_TEST(say(R"({"execute":"qmp_capabilities","arguments":{"enable":["oob"]}})").find("is not available") !=
               std::string::npos);
    BOOST_TEST(!negotiated());
    BOOST_TEST(say(R"({"execute":"qmp_capabilities","arguments":{"enable":[]},"id":1})") == R"({"return":{},"id":1})");
    BOOST_TEST(negotiated());
    BOOST_TEST(say(R"({"execute":"qmp_capabilities"})") ==
               refused("Capabilities negotiation is already complete, command ignored", "CommandNotFound"));
}

BOOST_FIXTURE_TEST_CASE(commands_come_out_with_their_arguments, Ready) {
    BOOST_TEST(say(R"({"execute":"query-status"})") == "query-status {}");
    BOOST_TEST(say(R"({"execute":"stop","arguments":{}})") == "stop {}");
    BOOST_TEST(say(R"({"execute":"memsave","arguments":{"val":1,"size":2,"filename":"f"}})") ==
               R"(memsave {"val":1,"size":2,"filename":"f"})");
}

BOOST_FIXTURE_TEST_CASE(one_command_at_a_time, Ready) {
    feed(R"({"execute":"stop"}{"execute":"cont"})");
    BOOST_TEST(next()->request->command->name == "stop");
    BOOST_TEST(next()->request->command->name == "cont");
    BOOST_TEST(!next());
}

BOOST_FIXTURE_TEST_CASE(what_is_wrong_is_said_in_the_words_of_qemu, Ready) {
    BOOST_TEST(say(R"({"execute":"nope"})") == refused("The command nope has not been found", "CommandNotFound"));
    BOOST_TEST(say(R"({"execute":"stop","arguments":{"x":1}})") == refused("Parameter 'x' is unexpected"));
    BOOST_TEST(say(R"({"execute":"pmemsave","arguments":{"val":1,"size":2}})") ==
               refused("Parameter 'filename' is missing"));
    BOOST_TEST(say(R"({"execute":"pmemsave","arguments":{"val":"1","size":2,"filename":""}})") ==
               refused("Invalid parameter type for 'val', expected: integer"));
    BOOST_TEST(say(R"({"execute":"pmemsave","arguments":{"val":1.5,"size":2,"filename":""}})") ==
               refused("Invalid parameter type for 'val', expected: integer"));
    BOOST_TEST(say(R"({"execute":"human-monitor-command","arguments":{"command-line":7}})") ==
               refused("Invalid parameter type for 'command-line', expected: string"));
    BOOST_TEST(say(R"({"execute":"stop","arguments":null})") == refused("QMP input member 'arguments' must be an object"));
    BOOST_TEST(say(R"({"execute":5})") == refused("QMP input member 'execute' must be a string"));
    BOOST_TEST(say(R"({"execute":"stop","foo":1})") == refused("QMP input member 'foo' is unexpected"));
    BOOST_TEST(say("{}") == refused("QMP input lacks member 'execute'"));
    BOOST_TEST(say("[1]") == refused("QMP input must be a JSON object"));
    BOOST_TEST(say("5 ") == refused("QMP input must be a JSON object"));
    BOOST_TEST(say(R"({"exec-oob":"stop","id":8})") ==
               refused("The command stop does not support OOB", "GenericError", "8"));
}

BOOST_FIXTURE_TEST_CASE(no_mistake_ends_the_conversation, Ready) {
    for (const std::string_view wrong : {"}", "{\"execute\":}", "nope ", "\xff ", "{\"execute\":\"\xff\"}", "{\"a\" 1}"}) {
        BOOST_TEST(say(wrong).find("JSON parse error, ") != std::string::npos);
        BOOST_TEST(say(R"({"execute":"stop"})") == "stop {}");
    }
}

BOOST_FIXTURE_TEST_CASE(an_id_may_be_anything_and_comes_back, Ready) {
    feed(R"({"execute":"stop","id":[1,{"a":null}]})");
    const auto step = next();
    BOOST_TEST(Conversation::answer(*step->request, Json::object()) == "{\"return\":{},\"id\":[1,{\"a\":null}]}\r\n");
    BOOST_TEST(say(R"({"execute":"nope","id":"x"})") ==
               refused("The command nope has not been found", "CommandNotFound", "\"x\""));
}

BOOST_AUTO_TEST_CASE(an_event_has_a_time_and_no_empty_data) {
    const std::chrono::system_clock::time_point time{std::chrono::microseconds(5'000'007)};
    BOOST_TEST(Conversation::event("STOP", Json::object(), time) ==
               "{\"timestamp\":{\"seconds\":5,\"microseconds\":7},\"event\":\"STOP\"}\r\n");
    BOOST_TEST(Conversation::event("RESET", {{"guest", true}}, time) ==
               "{\"timestamp\":{\"seconds\":5,\"microseconds\":7},\"event\":\"RESET\",\"data\":{\"guest\":true}}\r\n");
}

BOOST_AUTO_TEST_CASE(bytes_of_a_guest_that_are_no_text_are_replaced) {
    BOOST_TEST(Conversation::answer({}, Json("a\xff\x01")) == "{\"return\":\"a\xef\xbf\xbd\\u0001\"}\r\n");
}

BOOST_AUTO_TEST_SUITE_END()

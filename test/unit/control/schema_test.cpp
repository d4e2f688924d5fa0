// The table of commands and events: its description, and the page that documents it.
#include <control/schema.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

using namespace asyncvm::control;

BOOST_AUTO_TEST_SUITE(schema)

BOOST_AUTO_TEST_CASE(every_type_that_is_named_is_described) {
    std::set<std::string> named;
    std::set<std::string> described;
    const auto schema = describe();
    for (const auto& entry : schema) {
        if (entry["meta-type"] != "command" && entry["meta-type"] != "event") described.insert(entry["name"]);
        for (const char* const reference : {"arg-type", "ret-type", "element-type"}) {
            if (entry.contains(reference)) named.insert(entry[reference]);
        }
        if (!entry.contains("members")) continue;
        for (const auto& member : entry["members"]) named.insert(member["type"]);
    }
    for (const auto& name : named) BOOST_TEST(described.contains(name), name);
    BOOST_TEST(named.size() > 5u);
}

BOOST_AUTO_TEST_CASE(commands_and_events_are_all_there_once) {
    std::multiset<std::string> names;
    const auto schema = describe();
    for (const auto& entry : schema) names.insert(entry["name"]);
    for (const auto& command : commands()) BOOST_TEST(names.count(std::string(command.name)) == 1u);
    for (const auto& event : events()) BOOST_TEST(names.count(std::string(event.name)) == 1u);
    BOOST_TEST(find_command("nope") == nullptr);
    BOOST_TEST(find_command("stop")->name == "stop");
}

BOOST_AUTO_TEST_CASE(the_page_names_each_command_with_its_arguments_and_each_event) {
    const char* const path = std::getenv("CONTROL_PAGE");
    BOOST_TEST_REQUIRE(path != nullptr);
    std::ifstream file(path);
    const std::string page(std::istreambuf_iterator<char>(file), {});
    for (const auto& command : commands()) {
        std::string row = "| `" + std::string(command.name) + "` | ";
        for (const auto& argument : command.arguments) {
            row += (&argument == command.arguments.data() ? "`" : ", `") + std::string(argument.name) + "`";
        }
        BOOST_TEST(page.find(row) != std::string::npos, "no row " << row);
    }
    for (const auto& event : events()) {
        const auto row = "| `" + std::string(event.name) + "` | ";
        BOOST_TEST(page.find(row) != std::string::npos, "no row " << row);
    }
}

BOOST_AUTO_TEST_SUITE_END()

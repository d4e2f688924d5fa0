// The table of commands and events: its description, and the page that documents it.
#include <control/schema.hpp>

#include <boost/test/unit_test.hpp>

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

BOOST_AUTO_TEST_CASE(each_command_has_a_line_and_a_row) {
    const auto lines = command_lines();
    BOOST_TEST(lines.find("\nmemsave val= size= filename= cpu-index=\n") != std::string::npos, lines);
    BOOST_TEST(lines.find("\nstop\n") != std::string::npos);
    const auto tables = markdown_tables();
    BOOST_TEST(tables.find("\n| `pmemsave` | `val`, `size`, `filename` | ") != std::string::npos, tables);
    BOOST_TEST(tables.find("\n| `stop` | | ") != std::string::npos);
    BOOST_TEST(tables.find("\n| `CRASH` | `summary`, `report` | ") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

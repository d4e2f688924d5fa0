#include "gdb/spec.hpp"

#include <fmt/format.h>

#include <utility>

#include "socket/address.hpp"
#include "text/complaint.hpp"
#include "text/parse.hpp"

namespace asyncvm::gdb {

namespace {

constexpr std::string_view examples = "tcp:[HOST:]PORT, unix:PATH or stdio; for example tcp:1234";

void parse_option(const Complaint& complain, std::string_view word, Spec& spec) {
    if (word == "wait") {
        spec.wait = true;
    } else if (word == "mode=16") {
        spec.width = Width::real16;
    } else if (word == "mode=32") {
        spec.width = Width::protected32;
    } else if (word == "mode=64") {
        spec.width = Width::long64;
    } else if (spec.kind == Spec::Kind::stdio || !says_that_it_listens(word)) {
        complain("there is no option '{}'; the options are wait, mode=16, mode=32 and mode=64", word);
    }
}

}  // namespace

Spec parse_spec(std::string_view text) {
    const Complaint complain(fmt::format("'{}'", text));
    const auto words = split_at_commas(text);
    const std::string_view head = words.front();
    Spec spec;
    if (head.starts_with("tcp:")) {
        HostPort where;
        if (const auto problem = parse_host_port(head.substr(4), where); !problem.empty()) complain("{}", problem);
        spec.host = std::move(where.host);
        spec.port = where.port;
    } else if (head.starts_with("unix:") && head.size() > 5) {
        spec.kind = Spec::Kind::unix_socket;
        spec.path = head.substr(5);
    } else if (head == "stdio") {
        spec.kind = Spec::Kind::stdio;
    } else {
        complain("it is none of {}", examples);
    }
    for (std::size_t i = 1; i < words.size(); ++i) parse_option(complain, words[i], spec);
    return spec;
}

}  // namespace asyncvm::gdb

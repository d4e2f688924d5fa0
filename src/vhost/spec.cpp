#include <asyncvm/error.hpp>
#include <asyncvm/vhost_user.hpp>

#include <fmt/format.h>

#include "text/parse.hpp"

namespace asyncvm {

VhostUserSpec parse_file_system_spec(std::string_view text) {
    const auto complain = [text](const std::string& what) {
        throw Error(ErrorKind::usage, fmt::format("'{}': {} (for example /tmp/fs.sock,tag=home)", text, what));
    };
    VhostUserSpec spec;
    spec.kind = VhostUserSpec::Kind::file_system;
    bool first = true;
    for (const auto& word : split_at_commas(text)) {
        const auto begins = [&word](std::string_view name) { return word.starts_with(name); };
        if (begins("tag=")) {
            spec.tag = word.substr(4);
        } else if (begins("socket=")) {
            spec.path = word.substr(7);
        } else if (first) {
            spec.path = word;
        } else {
            complain(word.empty() ? std::string("an option is missing after a comma")
                                  : fmt::format("there is no option '{}'; there are tag=, socket=", word));
        }
        first = false;
    }
    if (spec.path.empty()) complain("the path of the back end's socket is missing");
    if (spec.tag.empty()) complain("tag= is missing: the name that the guest mounts");
    if (spec.tag.size() > longest_file_system_tag) {
        complain(fmt::format("tag={} has {} bytes, and a guest reads at most {}", spec.tag, spec.tag.size(),
                             longest_file_system_tag));
    }
    return spec;
}

}  // namespace asyncvm

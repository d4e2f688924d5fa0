#include "text/parse.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/vsock.hpp>

#include <fmt/format.h>

namespace asyncvm {

VsockSpec parse_vsock_spec(std::string_view text) {
    constexpr std::uint64_t least = 3;
    constexpr std::uint64_t most = 0xffff'fffe;
    const auto fail = [text](std::string_view what) {
        throw Error(ErrorKind::usage, fmt::format("'{}': {} (for example unix:/tmp/vm.vsock,cid=3)", text, what));
    };
    const auto words = split_at_commas(text);
    VsockSpec spec;
    if (!words.front().starts_with("unix:") || words.front().size() == 5) fail("it begins with unix:PATH");
    spec.path = words.front().substr(5);
    for (auto word = words.begin() + 1; word != words.end(); ++word) {
        if (!word->starts_with("cid=")) fail(fmt::format("there is no option '{}'; there is cid=", *word));
        const auto number = parse_number(std::string_view(*word).substr(4));
        if (!number || *number < least || *number > most) {
            fail(fmt::format("{} is no number from {} to {}: 0 to 2 are not a guest's", *word, least, most));
        }
        spec.cid = static_cast<std::uint32_t>(*number);
    }
    return spec;
}

}  // namespace asyncvm

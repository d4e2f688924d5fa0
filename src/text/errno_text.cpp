#include "text/errno_text.hpp"

#include <cctype>
#include <system_error>

namespace asyncvm {

std::string reason(int error) {
    auto text = std::generic_category().message(error);
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    }
    return text;
}

}  // namespace asyncvm

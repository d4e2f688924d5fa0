/// What is wrong with the chardevs that a command line asks for, found before one of them is opened.
#pragma once

#include "cli/options.hpp"
#include "cli/wiring.hpp"

#include <asyncvm/open_chardev.hpp>

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::cli {

/// Checks one request after the other, in the order in which they will be opened.
class StreamCheck {
public:
    /// Looks at the files that the program reads: the guest and the standard input.
    explicit StreamCheck(const Options& options);

    /// Throws Error(usage): a spec that is none, a file that the program also reads, options of a second stdio.
    void check(const StreamRequest& request);

    /// The same for a stream that goes elsewhere while the guest runs.
    void check(const StreamRequest& request, const ChardevSpec& spec) const;

private:
    struct Input {
        dev_t device;
        ino_t inode;
        std::string name;
    };

    void add_input(const std::string& path, std::string name);
    void check_output(const StreamRequest& request, const std::string& path) const;
    void check_stdio(const StreamRequest& request, const ChardevSpec& spec);

    std::vector<Input> inputs_;
    std::optional<ChardevSpec> stdio_;  ///< the first one
    std::string stdio_label_;
};

/// Whether a stream may go there while the guest runs. Throws Error(usage).
void check_change(const Options& options, const StreamRequest& request, const ChardevSpec& spec);

}  // namespace asyncvm::cli

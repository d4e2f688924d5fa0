#include "cli/stream_check.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

namespace asyncvm::cli {

namespace {

bool is_console(const StreamRequest& request) { return request.label.starts_with("console"); }

std::string where(const StreamRequest& request) {
    if (request.label.starts_with("serial")) return "--serial ";
    if (is_console(request)) return "--console ";
    if (request.label.starts_with("port ")) return fmt::format("--virtio-port {}: ", request.label.substr(5));
    return fmt::format("device {}, chardev ", request.label);
}

/// A request without a text is a change of a stream that is there.
[[noreturn]] void refuse(const StreamRequest& request, const std::string& why) {
    throw Error(ErrorKind::usage, request.spec.empty() ? fmt::format("{}: {}", request.label, why)
                                                       : fmt::format("{}'{}': {}", where(request), request.spec, why));
}

}  // namespace

StreamCheck::StreamCheck(const Options& options) {
    if (options.guest != "-") add_input(options.guest, "the guest's file");
    for (const DiskSpec& disk : options.disks) {
        if (disk.kind == DiskSpec::Kind::file) add_input(disk.source, "the guest's disk");
    }
    add_input("/dev/stdin", options.guest == "-" ? "the guest, from standard input" : "standard input");
}

/// Only what writing would change: a terminal or a pipe may be both.
void StreamCheck::add_input(const std::string& path, std::string name) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))) return;
    inputs_.push_back({status.st_dev, status.st_ino, std::move(name)});
}

void StreamCheck::check(const StreamRequest& request) {
    ChardevSpec spec;
    try {
        spec = parse_chardev_spec(request.spec);
    } catch (const Error& error) {
        throw Error(error.kind(), where(request) + error.what());
    }
    check(request, spec);
    if (spec.kind == ChardevSpec::Kind::stdio) check_stdio(request, spec);
}

void StreamCheck::check(const StreamRequest& request, const ChardevSpec& spec) const {
    if (spec.kind == ChardevSpec::Kind::file) check_output(request, spec.path);
    if (!spec.log.empty()) check_output(request, spec.log);
    if (spec.size != TerminalSize{} && !is_console(request)) {
        refuse(request, "only a virtio console can tell its guest a size (drop cols= and rows=, or take --console)");
    }
}

/// By device and inode: a file has many paths.
void StreamCheck::check_output(const StreamRequest& request, const std::string& path) const {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return;
    for (const auto& input : inputs_) {
        if (status.st_dev != input.device || status.st_ino != input.inode) continue;
        refuse(request,
               fmt::format("{} is also {}, which would be overwritten (give the output another file)", path, input.name));
    }
}

/// All stdio chardevs share one queue, so they have one set of options.
void StreamCheck::check_stdio(const StreamRequest& request, const ChardevSpec& spec) {
    if (!stdio_) {
        stdio_ = spec;
        stdio_label_ = request.label;
    } else if (request.spec != "stdio" && spec != *stdio_) {
        refuse(request, fmt::format("{} is on stdio too, and they share one set of options (give these to {}, and only "
                                    "stdio here)",
                                    stdio_label_, stdio_label_));
    }
}

void check_change(const Options& options, const StreamRequest& request, const ChardevSpec& spec) {
    StreamCheck(options).check(request, spec);
    if (spec.kind == ChardevSpec::Kind::stdio && options.gdb && options.gdb->kind == gdb::Spec::Kind::stdio)
        refuse(request, "the standard streams are the debugger's (--gdb stdio)");
}

}  // namespace asyncvm::cli

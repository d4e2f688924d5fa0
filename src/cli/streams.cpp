#include "cli/streams.hpp"

#include "cli/stream_check.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace asyncvm::cli {

Streams::Streams(asio::io_context& loop, Log log, std::function<void()> on_quit, std::shared_ptr<Observer> observer)
    : loop_(loop), log_(std::move(log)), on_quit_(std::move(on_quit)), observer_(std::move(observer)) {}

Streams::~Streams() { close(); }

std::shared_ptr<Chardev> Streams::open(const StreamRequest& request) {
    const auto same = std::ranges::find(all_, request.spec, &Stream::spec);
    if (!request.reads && same != all_.end()) {
        same->label += '+' + request.label;
        return same->chardev;
    }
    const auto spec = parse_chardev_spec(request.spec);
    const bool standard = spec.kind == ChardevSpec::Kind::stdio;
    const bool input = request.reads && !(standard && reader_ != nullptr);
    auto chardev = open_chardev(
        spec,
        ChardevEnvironment{
            .loop = loop_, .log = log_, .label = request.label, .on_quit = on_quit_, .input = input, .observer = observer_});
    all_.push_back({request.label, std::string(request.spec), standard, chardev, request.reads});
    if (standard && input) reader_ = chardev.get();
    return chardev;
}

std::vector<Streams::Stream> Streams::distinct() const {
    std::vector<Stream> all;
    bool standard_seen = false;
    for (const auto& stream : all_) {
        if (!stream.standard || !std::exchange(standard_seen, true)) all.push_back(stream);
    }
    return all;
}

const Streams::Stream* Streams::find(std::string_view label) const {
    for (const auto& stream : all_) {
        const std::string_view own = stream.label;
        if (own == label || own.substr(0, own.find('+')) == label) return &stream;
    }
    return nullptr;
}

awaitable<void> Streams::change(const Stream& stream, ChardevSpec spec, bool connect_later) {
    const auto at = &stream - all_.data();
    const auto chardev = stream.chardev;
    const bool standard = spec.kind == ChardevSpec::Kind::stdio;
    const auto shares = [&chardev](const Stream& other) { return other.standard && other.chardev != chardev; };
    if (standard && std::ranges::any_of(all_, shares)) {
        spec = ChardevSpec();
        spec.kind = ChardevSpec::Kind::stdio;
    }
    const bool input = stream.reads && (!standard || reader_ == nullptr || reader_ == chardev.get());
    const ChardevChange to{.spec = std::move(spec), .input = input, .connect_later = connect_later};
    co_await change_chardev(chardev, to);
    if (reader_ == chardev.get()) reader_ = nullptr;
    if (standard && input) reader_ = chardev.get();
    all_[static_cast<std::size_t>(at)].standard = standard;
}

void Streams::close() noexcept {
    for (const auto& stream : all_) stream.chardev->close();
}

std::shared_ptr<control::CommandGroup> stream_commands(Streams& streams, const Options& options) {
    using Stream = control::StreamTable::Stream;
    const auto all = [&streams] {
        std::vector<Stream> ends;
        for (const auto& stream : streams.all()) ends.push_back({stream.label, stream.chardev});
        return ends;
    };
    const auto find = [&streams](std::string_view label) {
        const auto* const stream = streams.find(label);
        return stream != nullptr ? std::optional(Stream{stream->label, stream->chardev}) : std::nullopt;
    };
    const auto change = [&streams, &options](std::string_view label, const ChardevSpec& spec, bool connect_later) {
        const auto& stream = *streams.find(label);
        check_change(options, {{}, stream.label, stream.reads}, spec);
        return streams.change(stream, spec, connect_later);
    };
    return control::make_chardev_commands({.all = all, .find = find, .change = change});
}

}  // namespace asyncvm::cli

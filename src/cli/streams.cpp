#include "cli/streams.hpp"

#include <asyncvm/open_chardev.hpp>

#include <algorithm>
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
    const bool input = request.reads && !(standard && input_taken_);
    auto chardev = open_chardev(
        spec,
        ChardevEnvironment{
            .loop = loop_, .log = log_, .label = request.label, .on_quit = on_quit_, .input = input, .observer = observer_});
    all_.push_back({request.label, std::string(request.spec), standard, chardev});
    input_taken_ = input_taken_ || (standard && input);
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

std::shared_ptr<Chardev> Streams::find(std::string_view label) const {
    for (const auto& stream : all_) {
        const std::string_view own = stream.label;
        if (own == label || own.substr(0, own.find('+')) == label) return stream.chardev;
    }
    return nullptr;
}

void Streams::close() noexcept {
    for (const auto& stream : all_) stream.chardev->close();
}

std::shared_ptr<control::CommandGroup> stream_commands(Streams& streams) {
    const auto all = [&streams] {
        std::vector<control::StreamTable::Stream> ends;
        for (const auto& stream : streams.all())
            ends.push_back({stream.label, stream.chardev->description(), stream.chardev->connected()});
        return ends;
    };
    return control::make_chardev_commands(
        {.all = all, .find = [&streams](std::string_view label) { return streams.find(label); }});
}

}  // namespace asyncvm::cli

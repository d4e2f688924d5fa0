// What tools/bench runs of ours inside one process, one measurement a run:
//
//   inside exits IMAGE KIND COUNT [CPUS [shared|own]]     machines with exits.S
//   inside fake IMAGE KIND COUNT                          the same without KVM
//   inside wait IMAGE COUNT nothing|timer|asio-timer|socket  a device on the device loop
//   inside remote IMAGE COUNT COMMAND                    a device in another process
//   inside writes IMAGE COUNT DEVICE                      a device of the catalogue
//   inside many IMAGE COUNT PERIOD_US WINDOW_MS           many machines with now-and-then.S
//
// Prints one line of JSON.
#include "exits.hpp"
#include "many.hpp"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

using namespace asyncvm::bench;

unsigned number(const std::string& word) { return static_cast<unsigned>(std::stoul(word)); }

int print(const Timing& timing) {
    std::printf("{\"ns\": %lld, \"processor_ns\": %lld, \"accesses\": %llu}\n",
                static_cast<long long>(timing.elapsed.count()), static_cast<long long>(timing.processor.count()),
                static_cast<unsigned long long>(timing.accesses));
    return 0;
}

int print(const ManyResult& result) {
    std::printf("{\"made_ns\": %lld, \"heard_ns\": %lld, \"memory\": %llu, \"lines\": %llu, \"processor_ns\": %lld}\n",
                static_cast<long long>(result.made.count()), static_cast<long long>(result.heard.count()),
                static_cast<unsigned long long>(result.memory), static_cast<unsigned long long>(result.lines),
                static_cast<long long>(result.processor.count()));
    return 0;
}

int run(const std::vector<std::string>& words) {
    const std::string& what = words.at(0);
    const std::string& image = words.at(1);
    if (what == "exits" || what == "fake") {
        const ExitsGuest guest{image, static_cast<Kind>(number(words.at(2))), number(words.at(3))};
        if (what == "fake") return print(time_fake_exits(guest));
        return print(time_exits(guest, words.size() > 4 ? number(words[4]) : 1, words.size() > 5 && words[5] == "shared"));
    }
    if (what == "wait") return print(time_device_loop({image, Kind::out, number(words.at(2))}, words.at(3)));
    if (what == "remote") return print(time_remote({image, Kind::out, number(words.at(2))}, words.at(3)));
    if (what == "writes") return print(time_writes({image, Kind::out, number(words.at(2))}, words.at(3)));
    if (what == "many") {
        return print(run_many(image, number(words.at(2)), std::chrono::microseconds(number(words.at(3))),
                              std::chrono::milliseconds(number(words.at(4)))));
    }
    std::fprintf(stderr, "inside: unknown measurement %s\n", what.c_str());
    return 2;
}

}  // namespace

int main(int count, char** words) try { return run({words + 1, words + count}); } catch (const std::exception& error) {
    std::fprintf(stderr, "inside: %s\n", error.what());
    return 1;
}

// A machine whose guest and devices have nothing to do costs no processor time.
#define BOOST_TEST_MODULE idle
#include "harness.hpp"
#include "mirror.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// How often each of the program's threads has gone to sleep.
std::map<std::string, std::string> sleeps_of(pid_t pid) {
    std::map<std::string, std::string> sleeps;
    std::error_code gone;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
        std::ifstream status(task.path() / "status");
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with("voluntary_ctxt_switches")) sleeps[task.path().filename()] = line;
        }
    }
    return sleeps;
}

}  // namespace

BOOST_AUTO_TEST_CASE(devices_that_nobody_uses_wake_nobody) {
#ifdef UNDER_THREAD_SANITIZER
    BOOST_TEST_MESSAGE("SKIP: ThreadSanitizer has a thread of its own, which wakes up ten times a second");
    return;
#endif
    const TemporaryDirectory directory;
    const auto file = [&directory](const char* name) { return directory.file(name); };
    write_file(file("halt"), "\xf4");
    write_file(file("disk"), std::string(64 << 10, '.'));
    const Mirror mirror(file("card"));
    for (const char* const transport : {"mmio", "pci"}) {
        Child vm(asyncvm({"--transport",   transport,
                          "--serial",      "unix:" + file("serial"),
                          "--serial",      "tcp:127.0.0.1:0",
                          "--debugcon",    "file:" + file("debug"),
                          "--console",     "unix:" + file("console"),
                          "--virtio-port", "port=unix:" + file("port"),
                          "--disk",        file("disk"),
                          "--net",         "dgram:unix:" + file("here") + ",remote=" + file("there"),
                          "--net",         "stream:unix:" + file("net") + ",server",
                          "--net",         "vhost-user:" + file("card"),
                          "--vsock",       "unix:" + file("vsock"),
                          "--rng",         "--balloon",
                          "--on-halt",     "wait",
                          file("halt")}));
        vm.wait_for_error("serial1 listens on");
        auto seen = sleeps_of(vm.pid());
        auto since = std::chrono::steady_clock::now();
        vm.wait_until("two seconds in which no thread wakes up", [&] {
            const auto now = std::chrono::steady_clock::now();
            auto sleeps = sleeps_of(vm.pid());
            if (sleeps != seen) {
                seen = std::move(sleeps);
                since = now;
            }
            return !seen.empty() && now - since >= std::chrono::seconds(2);
        });
    }
}

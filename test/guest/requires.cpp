#include "requires.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "probe/feature.hpp"

namespace asyncvm::test {

namespace {

/// One run of the tests: this boot of the host, and the process that starts the test programs.
std::string this_run() {
    std::string boot;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id") >> std::ws, boot);
    std::string stat;
    std::getline(std::ifstream(fmt::format("/proc/{}/stat", getppid())) >> std::ws, stat);
    // The time of its start is the 22nd field; the second may have blanks and ends in a parenthesis.
    std::istringstream fields(stat.substr(stat.rfind(')') + 1));
    std::string started;
    for (int field = 3; field <= 22; ++field) fields >> started;
    return fmt::format("{} {} {}", boot, getppid(), started);
}

/// Holds the cache's file locked; without a file (the build directory may not be there) every probe is made anew.
class Cache {
public:
    explicit Cache(const char* path) : path_(path), fd_(::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
        if (fd_ < 0) return;
        flock(fd_, LOCK_EX);
        std::ifstream file(path_);
        std::string line;
        std::getline(file, line);
        if (line != this_run()) {
            std::ofstream(path_, std::ios::trunc) << this_run() << '\n';
            return;
        }
        while (std::getline(file, line)) found_[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
    }
    ~Cache() {
        if (fd_ >= 0) close(fd_);
    }
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

    [[nodiscard]] const std::string* find(const std::string& feature) const {
        const auto found = found_.find(feature);
        return found == found_.end() ? nullptr : &found->second;
    }
    void add(const std::string& feature, const std::string& why) {
        if (fd_ >= 0) std::ofstream(path_, std::ios::app) << feature << '=' << why << '\n';
    }

private:
    const char* path_;
    int fd_;
    std::map<std::string, std::string> found_;
};

}  // namespace

std::string why_host_lacks(const std::string& name) {
    static std::map<std::string, std::string> known;
    if (const auto found = known.find(name); found != known.end()) return found->second;
    const auto* const feature = probe::find_feature(name);
    if (feature == nullptr) throw std::logic_error(fmt::format("there is no feature {} in src/probe", name));
    Cache cache(ASYNCVM_PROBE_CACHE);
    std::string why;
    if (const auto* const cached = cache.find(name)) {
        why = *cached;
    } else {
        const auto verdict = probe::try_feature(*feature);
        if (!verdict.works) why = fmt::format("needs {} (this host: {})", feature->title, verdict.why);
        cache.add(name, why);
    }
    return known[name] = why;
}

}  // namespace asyncvm::test

/// A place for files that goes with the test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace asyncvm::test {

struct Directory {
    std::filesystem::path path;
    Directory() {
        std::string name = "/tmp/chardev-test-XXXXXX";
        path = ::mkdtemp(name.data());
    }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string operator/(const char* name) const { return path / name; }
};

inline std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace asyncvm::test

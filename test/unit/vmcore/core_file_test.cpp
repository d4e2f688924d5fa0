// A file that is whole or not there.
#define BOOST_TEST_MODULE vmcore
#include <vmcore/core_file.hpp>

#include <asyncvm/error.hpp>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using asyncvm::Error;
using asyncvm::vmcore::CoreFile;
namespace files = std::filesystem;

namespace {

struct Directory {
    Directory() {
        std::string name = files::temp_directory_path() / "vmcore-XXXXXX";
        BOOST_TEST_REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Directory() { files::remove_all(path); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    [[nodiscard]] std::string file(const char* name) const { return path / name; }
    [[nodiscard]] auto count() const { return std::distance(files::directory_iterator(path), {}); }
    files::path path;
};

std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::byte> bytes(std::size_t size, char value) { return std::vector(size, std::byte(value)); }

bool says(const Error& error, std::string_view text) { return std::string(error.what()).find(text) != std::string::npos; }

}  // namespace

BOOST_FIXTURE_TEST_CASE(it_has_its_name_when_it_is_complete_and_not_before, Directory) {
    const auto path = file("core");
    std::ofstream(path) << "an older one";
    {
        CoreFile core(path);
        core.write(0, bytes(3, 'x'));
        BOOST_TEST(content(path) == "an older one");
        BOOST_TEST(count() == 2);
        core.complete(5);
    }
    BOOST_TEST(content(path) == std::string("xxx\0\0", 5));
    BOOST_TEST(count() == 1);
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat(path.c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 07777) == 0600);
}

BOOST_FIXTURE_TEST_CASE(one_that_is_given_up_leaves_nothing, Directory) {
    const auto path = file("core");
    std::ofstream(path) << "an older one";
    {
        CoreFile core(path);
        core.write(0, bytes(3, 'x'));
    }
    BOOST_TEST(content(path) == "an older one");
    BOOST_TEST(count() == 1);
}

BOOST_FIXTURE_TEST_CASE(pages_of_zeros_take_no_room, Directory) {
    const auto path = file("core");
    auto memory = bytes(1 << 20, 0);
    memory[5 * 4096 + 17] = std::byte{1};
    CoreFile core(path);
    core.write(4096, memory);
    core.complete(4096 + memory.size());
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat(path.c_str(), &status) == 0);
    BOOST_TEST(status.st_blocks * 512 <= 64 << 10);
    const auto text = content(path);
    BOOST_TEST(text.size() == 4096 + memory.size());
    BOOST_TEST(text[6 * 4096 + 17] == 1);
}

BOOST_FIXTURE_TEST_CASE(what_is_no_file_is_not_replaced_and_a_link_stays_one, Directory) {
    const auto refuses = [](const std::string& path, std::string_view why) {
        BOOST_CHECK_EXCEPTION(CoreFile::check(path), Error,
                              [&](const Error& error) { return says(error, path) && says(error, why); });
        BOOST_CHECK_EXCEPTION(CoreFile core(path), Error,
                              [&](const Error& error) { return says(error, path) && says(error, why); });
    };
    refuses(path, "it is a directory");
    refuses("/dev/null", "it is no regular file");
    refuses(file("no/core"), "no such file or directory");
    std::ofstream(file("target")) << "old";
    files::create_symlink("target", path / "link");
    CoreFile core(file("link"));
    core.write(0, bytes(3, 'n'));
    core.complete(3);
    BOOST_TEST(files::is_symlink(path / "link"));
    BOOST_TEST(content(file("target")) == "nnn");
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_named) {
    // A file size limit is the full disk that a test can make; the signal for it would end the test.
    std::signal(SIGXFSZ, SIG_IGN);
    const Directory directory;
    CoreFile core(directory.file("core"));
    const rlimit none{.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    rlimit before{};
    BOOST_TEST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
    std::string said;
    try {
        core.write(0, bytes(8192, 'x'));
    } catch (const Error& error) {
        said = error.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &before);
    BOOST_TEST(said.find("file too large") != std::string::npos, said);
    BOOST_TEST(said.find(directory.file("core")) != std::string::npos, said);
}

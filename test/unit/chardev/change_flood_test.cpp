// A guest that never stops printing, while its chardev is sent from place to place.
#define BOOST_TEST_MODULE chardev_change_flood
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "descriptors.hpp"
#include "directory.hpp"
#include "server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <boost/test/data/test_case.hpp>
#include <optional>
#include <random>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A place that a chardev is sent to, and somebody there who reads as long as it likes.
class Place {
public:
    Place(unsigned kind, const Directory& directory, unsigned number) {
        const auto path = directory / ("place" + std::to_string(number)).c_str();
        switch (kind % 6) {
            case 0:
                words = "tcp:0";
                break;
            case 1:
                words = "unix:" + path;
                break;
            case 2:
                file_ = path;
                words = "file:" + path;
                break;
            case 3:
                words = "pty";
                break;
            case 4:
                words = "telnet:0";
                break;
            default:
                server_.emplace();
                words = server_->where() + ",client";
        }
    }
    /// Reads about `size` bytes; fewer if no more come.
    void read(const Chardev& serial, std::size_t size) {
        if (!file_.empty()) return;
        const auto where = serial.description();
        if (words == "pty") {
            pty_.fd[0] = ::open(where.substr(4).c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        } else {
            client_.emplace(server_ ? server_->accept(4096) : Client(where, 4096));
        }
        // The guest may have printed all it had.
        pollfd entry{client_ ? client_->fd() : pty_.fd[0], POLLIN, 0};
        while (got.size() < size && ::poll(&entry, 1, 100) == 1) {
            std::array<char, 4096> buffer{};
            const auto part = ::read(entry.fd, buffer.data(), std::min(buffer.size(), size - got.size()));
            if (part <= 0) return;
            got.append(buffer.data(), static_cast<std::size_t>(part));
        }
    }
    /// The chardev has gone elsewhere: what is left.
    std::string rest() {
        if (!file_.empty()) return contents(file_);
        if (pty_.fd[0] >= 0) got += read_text(pty_.fd[0], 1 << 20);
        if (client_) got += client_->receive_all();
        if (!words.starts_with("telnet")) return got;
        // Nothing of the text is the protocol's.
        for (auto at = got.find('\xff'); at != got.npos; at = got.find('\xff')) got.erase(at, 3);
        return got;
    }

    std::string words;
    std::string got;

private:
    std::string file_;
    std::optional<Server> server_;
    std::optional<Client> client_;
    Pair pty_;
};

}  // namespace

BOOST_DATA_TEST_CASE(a_flood_arrives_complete_and_in_order_whatever_changes, boost::unit_test::data::xrange(2), seed) {
    constexpr unsigned changes = 20;
    std::mt19937 random(static_cast<unsigned>(seed));
    Fixture fixture;
    const Directory directory;
    const auto serial = fixture.open("tcp:0,backlog=16K");
    const auto text = text_of(2 << 20);
    std::size_t done = 0;
    std::atomic<bool> stop = false;
    std::thread guest([&] {
        while (!stop && done < text.size()) {
            const auto size = 1 + done % 700;
            const auto taken = put(*serial, std::string_view(text).substr(done, size));
            done += taken;
            std::this_thread::sleep_for(20us);
        }
    });
    std::string all;
    std::unique_ptr<Place> last;
    for (unsigned change = 0; change < changes; ++change) {
        auto place = std::make_unique<Place>(change + static_cast<unsigned>(seed), directory, change);
        BOOST_TEST(fixture.change(serial, place->words + ",backlog=16K").get() == "");
        if (last) all += last->rest();
        last = std::move(place);
        last->read(*serial, random() % 3 == 0 ? 0 : random() % 20'000);
    }
    stop = true;
    guest.join();
    BOOST_TEST(fixture.change(serial, "file:" + (directory / "end")).get() == "");
    all += last->rest();
    BOOST_TEST(eventually([&] { return all.size() + contents(directory / "end").size() >= done; }));
    all += contents(directory / "end");
    BOOST_TEST(done > 100'000u);
    BOOST_TEST(all.size() == done);
    BOOST_TEST((all == text.substr(0, done)));
}

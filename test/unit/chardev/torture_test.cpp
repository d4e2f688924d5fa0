// A counted text through chardevs whose peers leave in every way, at random: what docs/serial.md promises arrives, and
// nothing comes twice that it does not allow. `ASYNCVM_TORTURE_MIB` is the volume, 4 by default; `ASYNCVM_TORTURE_SEED` the
// seed.
#define BOOST_TEST_MODULE chardev_torture
#include "chardev_fixture.hpp"
#include "client.hpp"
#include "directory.hpp"
#include "server.hpp"

#include <algorithm>
#include <atomic>
#include <boost/test/data/test_case.hpp>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

constexpr std::size_t line_size = 16;
constexpr std::size_t enough_to_locate = 2 * line_size - 1;

/// `size` bytes of the guest's text from `position` on: numbered lines, so that each piece tells where it is from.
std::string text_at(std::uint64_t position, std::size_t size) {
    std::string text;
    text.reserve(size + 2 * line_size);
    const auto skip = position % line_size;
    for (auto line = position / line_size; text.size() < skip + size; ++line) {
        char digits[line_size + 1];
        std::snprintf(digits, sizeof digits, "%015llx\n", static_cast<unsigned long long>(line));
        text.append(digits, line_size);
    }
    return text.substr(skip, size);
}

std::uint64_t locate(const std::string& piece) {
    const auto end = piece.find('\n');
    return std::stoull(piece.substr(end + 1, line_size - 1), nullptr, 16) * line_size - (end + 1);
}

struct Way {
    bool local;
    bool client;  ///< the chardev connects
    friend std::ostream& operator<<(std::ostream& out, const Way& way) {
        return out << (way.local ? "unix" : "tcp") << (way.client ? ", connecting" : ", listening");
    }
};

class Torture {
public:
    Torture(const Way& way, unsigned seed, std::uint64_t volume) : way_(way), volume_(volume), random_(seed) {
        const auto where = way.local ? "unix:" + (directory_ / "sock") : std::string("tcp:0");
        if (way.client) server_ = std::make_unique<Server>(way.local ? where : "tcp");
        serial_ = fixture_.open((way.client ? server_->where() + ",client,reconnect=0.001" : where) + ",backlog=64K");
        guest_out_ = std::thread([this] { print(); });
        guest_in_ = std::thread([this] { take(); });
    }
    ~Torture() {
        stop_ = true;
        guest_out_.join();
        guest_in_.join();
    }

    void run() {
        while (got_ < volume_) one_peer();
        // The last one reads everything, and the input of all has come.
        auto last = connect();
        begin(last, 1024);
        send_input(last);
        read_to_target(last);
        check_input();  // before the end, after which input is for nobody
        auto drained = fixture_.drain(serial_);
        last.half_close();
        BOOST_TEST(last.receive_all().empty());
        BOOST_TEST_REQUIRE(done(drained));
        BOOST_TEST(drained.get() == 0u);
        BOOST_TEST(fixture_.lines.count("stopped working") == 0u);
        std::size_t input = 0;
        {
            const std::lock_guard lock(mutex_);
            input = input_.size();
        }
        BOOST_TEST_MESSAGE(way_ << ": " << got_ << " bytes to " << peers_ << " peers; after " << repeats_ << " of them "
                                << repeated_ << " bytes came twice, at most " << most_repeated_ << " at once; " << lost_
                                << " were lost in the kernels of killed peers; " << input << " bytes of input");
        BOOST_TEST(late_ * 4 <= killed_ + 4);
    }

private:
    enum class Leave { fin, killed, half_close, shut_both, last };

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    // The guest.
    void print() {
        std::uint64_t printed = 0;
        while (!stop_) {
            const auto target = target_.load();
            if (printed == target) {
                std::this_thread::sleep_for(100us);
                continue;
            }
            const auto text = text_at(printed, std::min<std::uint64_t>(target - printed, 8192));
            const auto taken = put(*serial_, text);
            printed += taken;
            if (taken == 0) std::this_thread::sleep_for(100us);
        }
    }
    void take() {
        std::string part(32 << 10, '\0');
        while (!stop_) {
            const auto size = serial_->read_some(std::as_writable_bytes(std::span(part)));
            const std::lock_guard lock(mutex_);
            input_.append(part, 0, size);
            if (size == 0) std::this_thread::sleep_for(200us);
        }
    }

    Client connect() {
        // A small buffer makes a slow peer, and many messages.
        const int buffer = below(3) == 0 ? 4096 : 0;
        return way_.client ? server_->accept(way_.local ? 0 : buffer) : Client(serial_->description(), buffer);
    }

    /// The first bytes, which tell where this peer begins.
    void begin(Client& peer, std::uint64_t more) {
        ++peers_;
        target_ = std::max(target_.load(), latest_) + enough_to_locate + more;
        const auto head = peer.receive(enough_to_locate);
        BOOST_TEST_REQUIRE(head.size() == enough_to_locate);
        const auto start = locate(head);
        BOOST_TEST_REQUIRE(start >= earliest_, way_ << ", peer " << peers_ << ": bytes from " << start
                                                    << " on come twice, from " << earliest_ << " on they may");
        BOOST_TEST_REQUIRE(start <= latest_,
                           way_ << ", peer " << peers_ << ": bytes from " << latest_ << " to " << start << " are lost");
        if (start < got_) {
            ++repeats_;
            repeated_ += got_ - start;
            most_repeated_ = std::max(most_repeated_, got_ - start);
            if (!way_.local && got_ - start >= 88) ++late_;
        }
        lost_ += std::max(start, got_) - got_;
        got_ = start;
        check(head);
    }
    void check(const std::string& piece) {
        BOOST_TEST_REQUIRE((piece == text_at(got_, piece.size())),
                           way_ << ", peer " << peers_ << ": wrong text after " << got_);
        got_ += piece.size();
    }
    void read(Client& peer, std::uint64_t size, bool slowly) {
        while (size > 0) {
            const auto part = std::min<std::uint64_t>(size, slowly ? 1 + below(3000) : 256 << 10);
            const auto piece = peer.receive(part);
            BOOST_TEST_REQUIRE(piece.size() == part);
            check(piece);
            size -= part;
            if (slowly && below(8) == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(1000)));
        }
    }
    void read_to_target(Client& peer) { read(peer, target_ - got_, false); }

    /// A piece of input. Returns when this side's kernel has got rid of it: then all of it has to come, however the peer
    /// ends.
    void send_input(Client& peer) {
        const auto size = 12 + below(below(4) == 0 ? 40'000 : 2000);
        const auto text = block(segments_++, size);
        sent_ += text;
        peer.send(text);
        // In a unix socket it is at the other side at once.
        int unsent = way_.local ? 0 : 1;
        BOOST_TEST_REQUIRE(
            eventually([&] { return unsent == 0 || (::ioctl(peer.fd(), SIOCOUTQ, &unsent) == 0 && unsent == 0); }));
    }

    void one_peer() {
        const auto leave = static_cast<Leave>(below(static_cast<std::uint64_t>(Leave::last)));
        const bool slowly = below(4) == 0;
        auto peer = connect();
        if (below(2) == 0) send_input(peer);
        const std::uint64_t size = slowly ? below(20'000) : below(256 << 10);
        begin(peer, size);
        const bool all = below(2) == 0 || (!way_.local && leave != Leave::killed);
        read(peer, all ? target_ - got_ : below(target_ - got_ + 1), slowly);
        end(peer, leave);
    }

    void end(Client& peer, Leave leave) {
        earliest_ = latest_ = got_;
        const bool whole = got_ == target_;
        // Bytes of a unix peer: none is lost, some may come again. 8 KiB is what the kernel's buffer for it holds.
        if (way_.local && !whole) earliest_ = got_ - std::min<std::uint64_t>(got_, 8192);
        switch (leave) {
            case Leave::killed:
                ++killed_;
                if (!way_.local) {
                    peer.deafen();
                    latest_ = got_ + peer.unread();
                    // A late acknowledgement goes with the reset.
                    earliest_ = got_ - std::min<std::uint64_t>(got_, 64 << 10);
                }
                peer.kill();
                return;
            case Leave::half_close:
                peer.half_close();
                if (way_.client) {
                    // It is waited for until it has everything.
                    const auto rest = peer.receive_all();
                    BOOST_TEST_REQUIRE(peer.eof());
                    check(rest);
                    earliest_ = latest_ = got_;
                } else if (whole) {
                    target_ += 1000;
                    read_to_target(peer);
                    earliest_ = latest_ = got_;
                }
                break;
            case Leave::shut_both:
                ::shutdown(peer.fd(), SHUT_RDWR);
                if (below(2) == 0) fixture_.poll(3);
                if (way_.local && below(2) == 0) {
                    // What it reads after that counts too.
                    check(peer.receive_all());
                    earliest_ = latest_ = got_;
                }
                break;
            case Leave::fin:
            case Leave::last:
                break;
        }
        peer.close();
    }

    void check_input() {
        BOOST_TEST(eventually([&] {
            const std::lock_guard lock(mutex_);
            return input_.size() >= sent_.size();
        }));
        const std::lock_guard lock(mutex_);
        BOOST_TEST((input_ == sent_), "of " << sent_.size() << " bytes of input " << input_.size() << " came");
    }

    Way way_;
    std::uint64_t volume_;
    std::mt19937_64 random_;
    const Directory directory_;
    Fixture fixture_;
    std::unique_ptr<Server> server_;
    std::shared_ptr<Chardev> serial_;
    std::thread guest_out_;
    std::thread guest_in_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> target_ = 0;  ///< how much the guest prints
    std::mutex mutex_;
    std::string input_;  ///< what the guest has got
    std::string sent_;   ///< what the peers have sent
    unsigned segments_ = 0;
    std::uint64_t got_ = 0;       ///< the peers have read the text up to here
    std::uint64_t earliest_ = 0;  ///< the next peer begins here, or later
    std::uint64_t latest_ = 0;    ///< and not behind this
    unsigned peers_ = 0;
    unsigned killed_ = 0;
    unsigned repeats_ = 0;
    unsigned late_ = 0;
    std::uint64_t repeated_ = 0;
    std::uint64_t most_repeated_ = 0;
    std::uint64_t lost_ = 0;
};

const std::vector<Way> ways{{false, false}, {false, true}, {true, false}, {true, true}};

}  // namespace

BOOST_DATA_TEST_CASE(what_is_promised_arrives_however_the_peers_leave, boost::unit_test::data::make(ways), way) {
    const auto seed = static_cast<unsigned>(setting("ASYNCVM_TORTURE_SEED", 1));
    Torture torture(way, seed, setting("ASYNCVM_TORTURE_MIB", 4) << 18);
    torture.run();
}

#include "serial_clients.hpp"

#include "serial_blocks.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <utility>

namespace program_test {

namespace {

/// On loopback a kernel acknowledges whatever is more than one of the program's smallest segments at once.
constexpr std::uint64_t unacknowledged_limit = 88;

}  // namespace

Follower::Follower(const Child& program, std::string address, std::uint64_t size)
    : program_(program), address_(std::move(address)), size_(size) {}

std::uint64_t Follower::begin(std::string_view text) {
    const auto start = locate_in_blocks(text);
    BOOST_TEST_REQUIRE(start.has_value(), "no number in " << text);
    BOOST_TEST_REQUIRE(*start >= earliest_, "the client begins at " << *start << ": what is before " << earliest_
                                                                    << " had been acknowledged and comes twice");
    BOOST_TEST_REQUIRE(*start <= latest_,
                       "the client begins at " << *start << ": from " << latest_ << " on nobody's kernel had it");
    const auto wrong = difference_from_blocks(text, *start);
    BOOST_TEST_REQUIRE(wrong.empty(), wrong);
    if (*start < read_) {
        ++repeats_;
        repeated_ += read_ - *start;
        if (read_ - *start >= unacknowledged_limit) ++late_;
    } else {
        lost_ += *start - read_;
    }
    earliest_ = *start;
    return *start + text.size();
}

void Follower::kill_one() {
    std::uniform_int_distribution<std::size_t> much(enough_to_locate, 12 * block_size);
    const bool acknowledges = killed_++ % 2 == 0;
    auto client = Peer::connect(address_);
    const auto position = begin(client.read(much(random_)));
    {
        const Frozen frozen(program_);
        client.take_no_more();
        latest_ = position + client.unread();
        if (acknowledges) {
            earliest_ = latest_;
            client.acknowledge();
        }
        client.reset();
    }
    read_ = position;
}

void Follower::read_up_to(std::uint64_t end) {
    auto client = Peer::connect(address_);
    auto position = begin(client.read(enough_to_locate));
    const auto rest = client.read(static_cast<std::size_t>(end - position));
    const auto wrong = difference_from_blocks(rest, position);
    BOOST_TEST_REQUIRE(wrong.empty(), wrong);
    BOOST_TEST_REQUIRE(client.unread() == 0U);
    earliest_ = latest_ = read_ = end;
}

void Follower::read_the_rest() {
    auto client = Peer::connect(address_);
    const auto text = client.read_to_end();
    BOOST_TEST(begin(text) == size_);
    earliest_ = latest_ = read_ = size_;
}

void Follower::report() const {
    // Now and then a reset overtakes an acknowledgement, from another processor.
    BOOST_TEST(late_ * 4 <= killed_, "after " << late_ << " of " << killed_ << " killed clients " << unacknowledged_limit
                                              << " bytes or more came twice that they had read");
    BOOST_TEST_MESSAGE(killed_ << " clients killed: " << lost_ << " bytes lost with their kernels; after " << repeats_
                               << " of them " << repeated_
                               << " bytes came twice that they had read and their kernels not acknowledged");
}

}  // namespace program_test

#include "pci/msix.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <random>
#include <vector>

using namespace asyncvm;
using asyncvm::pci::Msix;

namespace {

constexpr std::uint64_t local_apic = 0xfee0'0000;

/// As Linux does: dummy data first, then the real ones, twice.
void program(Msix& msix, unsigned vector, std::uint32_t data, bool masked) {
    const unsigned at = vector * Msix::entry_size;
    for (const std::uint32_t value : {0xefu, data, data}) {
        static_cast<void>(msix.write_table(at, 4, static_cast<std::uint32_t>(local_apic)));
        static_cast<void>(msix.write_table(at + 4, 4, 0));
        static_cast<void>(msix.write_table(at + 8, 4, value));
    }
    static_cast<void>(msix.write_table(at + 12, 4, masked ? 1 : 0));
}

bool pending(const Msix& msix, unsigned vector) { return (msix.read_pending(vector / 32 * 4, 4) >> (vector % 32) & 1) != 0; }

}  // namespace

BOOST_AUTO_TEST_SUITE(msix_table)

BOOST_AUTO_TEST_CASE(sends_the_message_of_a_vector) {
    Msix msix(3);
    program(msix, 1, 0x41, false);
    BOOST_TEST(!msix.raise(1));  // off
    BOOST_TEST(!pending(msix, 1));
    BOOST_TEST(msix.write_control(Msix::enable).empty());
    const auto message = msix.raise(1);
    BOOST_REQUIRE(message.has_value());
    BOOST_TEST(message->address == local_apic);
    BOOST_TEST(message->data == 0x41u);
    BOOST_TEST(!pending(msix, 1));
    BOOST_TEST(!msix.raise(3));
    BOOST_TEST(!msix.raise(0xffff));
}

BOOST_AUTO_TEST_CASE(is_masked_after_a_reset_and_reads_back) {
    Msix msix(2);
    BOOST_TEST(msix.read_table(12, 4) == 1u);
    BOOST_TEST(msix.read_table(28, 4) == 1u);
    static_cast<void>(msix.write_table(16, 4, 0xfee0'1003));
    static_cast<void>(msix.write_table(20, 4, 0x1234'5678));
    static_cast<void>(msix.write_table(24, 4, 0xabcd));
    static_cast<void>(msix.write_table(28, 4, 0xffff'fffe));
    BOOST_TEST(msix.read_table(16, 4) == 0xfee0'1000u);
    BOOST_TEST(msix.read_table(20, 4) == 0x1234'5678u);
    BOOST_TEST(msix.read_table(24, 2) == 0xabcdu);
    BOOST_TEST(msix.read_table(25, 1) == 0xabu);
    BOOST_TEST(msix.read_table(28, 4) == 0u);
    BOOST_TEST(msix.read_table(32, 4) == 0u);
    static_cast<void>(msix.write_table(24, 2, 0x1111));  // not the whole register
    static_cast<void>(msix.write_table(32, 4, 0x1111));
    BOOST_TEST(msix.read_table(24, 4) == 0xabcdu);
}

BOOST_AUTO_TEST_CASE(a_masked_vector_is_pending_and_is_sent_once_when_it_is_unmasked) {
    Msix msix(40);
    program(msix, 35, 0x41, true);
    static_cast<void>(msix.write_control(Msix::enable));
    BOOST_TEST(!msix.raise(35));
    BOOST_TEST(!msix.raise(35));
    BOOST_TEST(msix.read_pending(0, 4) == 0u);
    BOOST_TEST(msix.read_pending(4, 4) == 8u);
    BOOST_TEST(msix.read_pending(4, 1) == 8u);
    const auto message = msix.write_table(35 * 16 + 12, 4, 0);
    BOOST_REQUIRE(message.has_value());
    BOOST_TEST(message->data == 0x41u);
    BOOST_TEST(!pending(msix, 35));
    BOOST_TEST(!msix.write_table(35 * 16 + 12, 4, 0));
}

BOOST_AUTO_TEST_CASE(the_function_mask_holds_all_vectors_back) {
    Msix msix(3);
    for (unsigned vector = 0; vector < 3; ++vector) program(msix, vector, 0x40 + vector, vector == 2);
    static_cast<void>(msix.write_control(Msix::enable | Msix::mask_all));
    for (unsigned vector = 0; vector < 3; ++vector) BOOST_TEST(!msix.raise(vector));
    const auto messages = msix.write_control(Msix::enable);
    BOOST_REQUIRE(messages.size() == 2u);
    BOOST_TEST(messages[0].data == 0x40u);
    BOOST_TEST(messages[1].data == 0x41u);
    BOOST_TEST(pending(msix, 2));
    BOOST_TEST(msix.write_control(0).empty());
    BOOST_TEST(!pending(msix, 2));
    BOOST_TEST(msix.write_control(Msix::enable).empty());
}

BOOST_AUTO_TEST_CASE(whatever_is_written_no_raise_is_lost_and_none_is_sent_twice) {
    std::minstd_rand random(11);
    constexpr unsigned vectors = 5;
    Msix msix(vectors);
    for (unsigned vector = 0; vector < vectors; ++vector) {
        static_cast<void>(msix.write_table(vector * 16 + 8, 4, vector));
    }
    std::vector<bool> owed(vectors);
    const auto sent = [&owed](const MsiMessage& message) {
        BOOST_REQUIRE(message.data < vectors);
        BOOST_REQUIRE(owed[message.data]);
        owed[message.data] = false;
    };
    bool enabled = false;
    for (int step = 0; step < 20'000; ++step) {
        const unsigned vector = static_cast<unsigned>(random()) % (vectors + 1);
        switch (random() % 4) {
            case 0:
                if (enabled && vector < vectors) owed[vector] = true;
                if (const auto message = msix.raise(vector)) sent(*message);
                break;
            case 1:
                if (const auto message = msix.write_table(vector * 16 + 12, 4, static_cast<std::uint32_t>(random()))) {
                    sent(*message);
                }
                break;
            case 2: {
                const auto control = static_cast<std::uint16_t>(random() % 5 == 0 ? 0 : Msix::enable | (random() & 0x4000));
                enabled = (control & Msix::enable) != 0;
                if (!enabled) owed.assign(vectors, false);
                for (const auto& message : msix.write_control(control)) sent(message);
                break;
            }
            default:
                static_cast<void>(msix.read_table(static_cast<unsigned>(random()) % 0x1000 & ~3u, 4));
                break;
        }
        for (unsigned each = 0; each < vectors; ++each) BOOST_REQUIRE(pending(msix, each) == owed[each]);
    }
}

BOOST_AUTO_TEST_CASE(a_saved_table_goes_on) {
    Msix msix(2);
    program(msix, 0, 0x40, true);
    static_cast<void>(msix.write_control(Msix::enable));
    static_cast<void>(msix.raise(0));
    StateWriter writer;
    save_state(writer, "msix", msix);
    Msix restored(2);
    StateReader reader(writer.bytes());
    restore_state(reader, "msix", restored);
    BOOST_TEST(restored.enabled());
    BOOST_TEST(pending(restored, 0));
    const auto message = restored.write_table(12, 4, 0);
    BOOST_REQUIRE(message.has_value());
    BOOST_TEST(message->data == 0x40u);
}

BOOST_AUTO_TEST_SUITE_END()

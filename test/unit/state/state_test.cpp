#define BOOST_TEST_MODULE state
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <deque>
#include <random>
#include <string>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

enum class Colour : std::uint8_t { red, green, blue };

struct Point {
    std::int32_t x = 0;
    std::int64_t y = 0;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("x", x);
        archive.field("y", y);
    }
    bool operator==(const Point&) const = default;
};

/// One field of each type that is supported.
struct Everything {
    static constexpr unsigned state_version = 2;

    bool flag = false;
    std::uint8_t byte = 0;
    std::uint64_t big = 0;
    std::int8_t small = 0;
    Colour colour = Colour::red;
    std::string text;
    std::optional<std::uint16_t> maybe;
    std::chrono::nanoseconds time{};
    std::array<std::uint8_t, 4> bytes{};
    std::array<std::uint16_t, 3> words{};
    std::vector<std::byte> blob;
    std::vector<Point> points;
    std::deque<std::uint32_t> queue;
    Point point;
    std::uint8_t trigger = 0;
    std::uint8_t added_later = 7;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("flag", flag);
        archive.field("byte", byte);
        archive.field("big", big);
        archive.field("small", small);
        archive.field("colour", colour, Colour::blue);
        archive.field("text", text);
        archive.field("maybe", maybe);
        archive.field("time", time);
        archive.field("bytes", bytes);
        archive.field("words", words);
        archive.field("blob", blob);
        archive.field("points", points);
        archive.field("queue", queue);
        archive.field("point", point);
        archive.field("trigger", trigger, 3);
        if (archive.version() >= 2) archive.field("added later", added_later);
    }
    bool operator==(const Everything&) const = default;
};

/// Everything as it was before added_later.
struct Old : Everything {
    static constexpr unsigned state_version = 1;
};

Everything example() {
    Everything e;
    e.flag = true;
    e.byte = 255;
    e.big = ~std::uint64_t{0};
    e.small = -128;
    e.colour = Colour::blue;
    e.text = std::string("a\0b", 3);
    e.maybe = 65535;
    e.time = -5s;
    e.bytes = {1, 2, 3, 4};
    e.words = {0, 127, 65535};
    e.blob = {std::byte{0}, std::byte{255}};
    e.points = {{std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int64_t>::max()}, {}};
    e.queue = {1, 0xffff'ffff};
    e.point = {-1, std::numeric_limits<std::int64_t>::min()};
    e.trigger = 3;
    e.added_later = 9;
    return e;
}

std::vector<std::byte> saved(Everything state) {
    StateWriter writer;
    save_state(writer, "everything", state);
    return {writer.bytes().begin(), writer.bytes().end()};
}

Everything restored(std::span<const std::byte> bytes) {
    Everything state;
    StateReader reader(bytes);
    restore_state(reader, "everything", state);
    return state;
}

/// A class whose list differs from the one that was saved.
template <class Field, unsigned version = 1>
struct One {
    static constexpr unsigned state_version = version;
    std::string name = "field";
    Field field{};
    Field largest = std::numeric_limits<Field>::max();

    template <class Archive>
    void fields(Archive& archive) {
        archive.field(name, field, largest);
    }
};

struct Two {
    static constexpr unsigned state_version = 1;
    std::uint8_t value = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("field", value);
        archive.field("other", value);
    }
};

struct Queue {
    static constexpr unsigned state_version = 1;
    std::deque<std::uint32_t> queue;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("queue", queue);
    }
};

template <class Saved, class Restored>
void check_refused(Saved saved, Restored& restored, std::string_view message) {
    StateWriter writer;
    save_state(writer, "it", saved);
    StateReader reader(writer.bytes());
    BOOST_CHECK_EXCEPTION(restore_state(reader, "it", restored), Error, [message](const Error& error) {
        BOOST_TEST(error.what() == message);
        return error.kind() == ErrorKind::usage;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_type_of_field_comes_back) {
    BOOST_TEST((restored(saved(example())) == example()));
    BOOST_TEST((restored(saved(Everything())) == Everything()));
}

BOOST_AUTO_TEST_CASE(the_bytes_are_the_documented_format) {
    StateWriter writer;
    One<std::uint16_t> state;
    state.field = 300;
    save_state(writer, "it", state);
    const std::string expected("AVMS\1\2it\1\5fieldu\xac\2\0", 19);
    BOOST_TEST(std::string(reinterpret_cast<const char*>(writer.bytes().data()), writer.bytes().size()) == expected);
}

BOOST_AUTO_TEST_CASE(objects_come_back_in_order_by_name) {
    StateWriter writer;
    One<std::uint8_t> first, second;
    first.field = 1;
    second.field = 2;
    save_state(writer, "first", first);
    save_state(writer, "second", second);
    StateReader reader(writer.bytes());
    One<std::uint8_t> state;
    BOOST_TEST(reader.next() == "first");
    restore_state(reader, "first", state);
    BOOST_TEST(state.field == 1);
    BOOST_TEST(reader.next() == "second");
    BOOST_CHECK_THROW(restore_state(reader, "third", state), Error);
    StateReader again(writer.bytes());
    restore_state(again, "first", state);
    restore_state(again, "second", state);
    BOOST_TEST(state.field == 2);
    BOOST_TEST(again.next().empty());
    BOOST_CHECK_THROW(restore_state(again, "third", state), Error);
}

BOOST_AUTO_TEST_CASE(an_older_version_is_read_and_a_newer_one_is_refused) {
    Old old;
    old.byte = 3;
    StateWriter writer;
    save_state(writer, "everything", old);
    BOOST_TEST(restored(writer.bytes()).byte == 3);
    BOOST_TEST(restored(writer.bytes()).added_later == 7);

    One<std::uint8_t, 1> known;
    check_refused(One<std::uint8_t, 2>{}, known, "the saved state of it has version 2, and only versions up to 1 are known");
}

template <class Element>
struct Three {
    static constexpr unsigned state_version = 1;
    std::array<Element, 3> all{};

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("all", all);
    }
};

BOOST_AUTO_TEST_CASE(a_sequence_of_truths_takes_no_other_number) {
    Three<bool> truths{{true, false, true}};
    StateWriter writer;
    save_state(writer, "it", truths);
    Three<bool> same;
    StateReader reader(writer.bytes());
    restore_state(reader, "it", same);
    BOOST_TEST(same.all == truths.all, boost::test_tools::per_element());
    Three<std::uint16_t> numbers{{1, 17, 0}};
    check_refused(numbers, truths, "the saved state of it, field all, is out of range");
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_by_name_and_changes_nothing) {
    One<std::uint32_t> large;
    large.field = 70000;
    One<std::uint16_t> state;
    state.field = 5;
    check_refused(large, state, "the saved state of it, field field, is out of range");
    One<std::uint16_t> limited;
    limited.largest = 3;
    One<std::uint16_t> four;
    four.field = 4;
    check_refused(four, limited, "the saved state of it, field field, is out of range");
    One<std::int16_t> negative;
    negative.field = -129;
    One<std::int8_t> narrow;
    check_refused(negative, narrow, "the saved state of it, field field, is out of range");
    One<bool> truth;
    check_refused(four, truth, "the saved state of it, field field, is out of range");
    check_refused(negative, state, "the saved state of it, field field, is of another kind");
    One<std::uint16_t> renamed;
    renamed.name = "feel\x1b";
    check_refused(renamed, state, "the saved state of it, field field, is missing: here is feel?");
    BOOST_TEST(state.field == 5);

    Everything everything;
    BOOST_CHECK_EXCEPTION(
        [&] {
            StateWriter writer;
            save_state(writer, "it", state);
            StateReader reader(writer.bytes());
            restore_state(reader, "everything", everything);
        }(),
        Error,
        [](const Error& error) {
            return error.what() == std::string_view("the saved state of everything is missing: here is the state of it");
        });
}

BOOST_AUTO_TEST_CASE(a_field_too_many_or_too_few_is_refused) {
    One<std::uint8_t> one;
    Two two;
    check_refused(two, one, "the saved state of it has a field that is not known: other");
    check_refused(one, two, "the saved state of it, field other, is missing");
}

BOOST_AUTO_TEST_CASE(what_is_no_saved_state_is_refused) {
    for (const std::string_view text : {"", "AVM", "ELF\x7f\x01", "AVMS", "AVMS\x02"}) {
        BOOST_CHECK_THROW(StateReader{std::as_bytes(std::span(text))}, Error);
    }
}

BOOST_AUTO_TEST_CASE(every_truncation_is_refused) {
    const auto bytes = saved(example());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        BOOST_CHECK_THROW((void)restored(std::span(bytes).first(size)), Error);
    }
}

BOOST_AUTO_TEST_CASE(a_count_that_is_a_lie_takes_no_memory) {
    // 2^32 - 1 elements, of which none is there.
    const std::string_view text("AVMS\1\2it\1\5queue[\xff\xff\xff\xff\xf", 21);
    StateReader reader(std::as_bytes(std::span(text)));
    Queue queue;
    BOOST_CHECK_EXCEPTION(restore_state(reader, "it", queue), Error, [](const Error& error) {
        return error.what() == std::string_view("the saved state of it, field queue, ends early");
    });
}

BOOST_AUTO_TEST_CASE(damaged_bytes_are_refused_or_are_another_state) {
    const auto bytes = saved(example());
    std::mt19937 random(20260102);  // NOLINT: the same sequence each time
    unsigned refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        auto damaged = bytes;
        for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
            const auto at = damaged.begin() + static_cast<std::ptrdiff_t>(random() % damaged.size());
            switch (random() % 4) {
                case 0:
                    damaged.erase(at);
                    break;
                case 1:
                    damaged.insert(at, static_cast<std::byte>(random()));
                    break;
                case 2:
                    *at ^= static_cast<std::byte>(1U << (random() % 8));
                    break;
                default:
                    *at = static_cast<std::byte>(random());
                    break;
            }
        }
        try {
            const auto state = restored(damaged);
            // What is accepted is a state: it can be saved and comes back.
            BOOST_REQUIRE((restored(saved(state)) == state));
            BOOST_REQUIRE(state.trigger <= 3);
            BOOST_REQUIRE(state.colour <= Colour::blue);
        } catch (const Error& error) {
            BOOST_REQUIRE(error.kind() == ErrorKind::usage);
            ++refused;
        }
    }
    BOOST_TEST(refused > 10'000u);
}

BOOST_AUTO_TEST_CASE(random_bytes_are_refused) {
    std::mt19937 random(20260103);  // NOLINT: the same sequence each time
    for (int round = 0; round < 20'000; ++round) {
        auto bytes = saved(Everything());
        bytes.resize(5 + 11 + 1);  // the header, the name and the version stay
        for (unsigned count = random() % 64; count > 0; --count) bytes.push_back(static_cast<std::byte>(random()));
        BOOST_CHECK_THROW((void)restored(bytes), Error);
    }
}

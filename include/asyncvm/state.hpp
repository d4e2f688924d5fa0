/// Saving and restoring the state of a device: one list of fields serves both.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace asyncvm {

class StateReader;
class StateWriter;

namespace state_detail {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t size>
inline constexpr bool is_array<std::array<T, size>> = true;
template <class T>
inline constexpr bool is_duration = false;
template <class Count, class Period>
inline constexpr bool is_duration<std::chrono::duration<Count, Period>> = true;

template <class T>
concept Class = requires(T& value, StateWriter& writer) {
    value.fields(writer);
};
/// std::string, std::vector, std::deque.
template <class T>
concept Growing = requires(T& value, std::size_t size) {
    value.resize(size);
    value.begin();
};
/// A sequence that lies in memory as bytes, of which each may have any value.
template <class T>
concept Bytes = requires(T& value) {
    value.data();
    requires sizeof(*value.data()) == 1 && !std::same_as<std::remove_cvref_t<decltype(*value.data())>, bool>;
};

}  // namespace state_detail

/// A class names its state once. The list is walked to save it and to restore it, so that the two can't differ:
///
///     static constexpr unsigned state_version = 1;
///     template <class Archive>
///     void fields(Archive& archive) {
///         archive.field("divisor", divisor_);
///         archive.field("trigger", trigger_, 3);  // at most 3: restore refuses more
///         archive.field("fifo", fifo_);
///     }
///
/// A field is an integer, a bool, an enum, a std::string, a std::optional or a std::chrono::duration of fields, a sequence
/// of fields (std::array, std::vector, std::deque), or a class that has fields() itself. Names and their order are part of
/// the format: a class that changes its list raises state_version, and asks archive.version() for the fields that an older
/// version does not have.

/// Takes the state of one object after the other. Not for several threads.
class StateWriter {
public:
    StateWriter();

    /// In fields() only.
    template <class T>
    void field(std::string_view name, T& value) {
        put_text(name);
        put(value);
    }
    template <class T>
    void field(std::string_view name, T& value, std::type_identity_t<T>) {
        field(name, value);
    }

    /// The version that is written. In fields() only.
    [[nodiscard]] unsigned version() const noexcept { return version_; }

    /// What has been written until now; until the next object.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

private:
    template <class State>
    friend void save_state(StateWriter& writer, std::string_view name, State& state);

    template <class T>
    void put(T& value) {
        using namespace state_detail;
        if constexpr (Class<T>) {
            put_tag('{');
            value.fields(*this);
            put_end();
        } else if constexpr (std::is_enum_v<T>) {
            auto number = static_cast<std::underlying_type_t<T>>(value);
            put(number);
        } else if constexpr (std::signed_integral<T>) {
            put_signed(value);
        } else if constexpr (std::unsigned_integral<T>) {
            put_unsigned(value);
        } else if constexpr (is_duration<T>) {
            auto count = value.count();
            put(count);
        } else if constexpr (is_optional<T>) {
            put_count('?', value.has_value() ? 1 : 0);
            if (value) put(*value);
        } else if constexpr (Bytes<T>) {
            put_bytes(std::as_bytes(std::span(value)));
        } else {
            static_assert(is_array<T> || Growing<T>, "a field of this type can't be saved");
            put_count('[', value.size());
            for (auto& element : value) put(element);
        }
    }

    void begin(std::string_view name, unsigned version);
    void put_text(std::string_view text);
    void put_tag(char tag);
    void put_number(std::uint64_t number);
    void put_unsigned(std::uint64_t value);
    void put_signed(std::int64_t value);
    void put_count(char tag, std::uint64_t count);
    void put_bytes(std::span<const std::byte> bytes);
    void put_end();

    std::vector<std::byte> bytes_;
    unsigned version_ = 0;
};

/// Gives the state back, in the order in which it was saved. Every function throws Error(usage) that names the object and
/// the field for what does not fit: a newer version, a missing field, a value that the field can't hold, bytes that end
/// early. Whatever the bytes are, nothing worse happens, and the memory used is in proportion to their number. Not for
/// several threads.
class StateReader {
public:
    /// `bytes` must outlive the object.
    explicit StateReader(std::span<const std::byte> bytes);

    /// In fields() only.
    template <class T>
    void field(std::string_view name, T& value) {
        expect_field(name);
        get(value);
    }
    /// Refuses a value above `largest`.
    template <class T>
    void field(std::string_view name, T& value, std::type_identity_t<T> largest) {
        T restored{};
        field(name, restored);
        if (restored > largest) fail("is out of range");
        value = restored;
    }

    /// The version of the state that is being read. In fields() only.
    [[nodiscard]] unsigned version() const noexcept { return version_; }

    /// The name of the next object, or an empty view at the end.
    [[nodiscard]] std::string_view next();

private:
    template <class State>
    friend void restore_state(StateReader& reader, std::string_view name, State& state);

    template <class T>
    void get(T& value) {
        using namespace state_detail;
        if constexpr (Class<T>) {
            expect_tag('{');
            value.fields(*this);
            expect_end();
        } else if constexpr (std::is_enum_v<T>) {
            std::underlying_type_t<T> number{};
            get(number);
            value = static_cast<T>(number);
        } else if constexpr (std::signed_integral<T>) {
            value = static_cast<T>(get_signed(std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
        } else if constexpr (std::unsigned_integral<T>) {
            value = static_cast<T>(get_unsigned(std::numeric_limits<T>::max()));
        } else if constexpr (is_duration<T>) {
            typename T::rep count{};
            get(count);
            value = T(count);
        } else if constexpr (is_optional<T>) {
            value.reset();
            if (get_count('?', 1) == 1) get(value.emplace());
        } else if constexpr (Bytes<T>) {
            const auto bytes = get_bytes();
            if constexpr (Growing<T>) {
                value.resize(bytes.size());
            } else if (bytes.size() != value.size()) {
                fail("has another length");
            }
            copy(bytes, std::as_writable_bytes(std::span(value)));
        } else {
            static_assert(is_array<T> || Growing<T>, "a field of this type can't be restored");
            const auto count = get_count('[', std::numeric_limits<std::uint32_t>::max());
            if constexpr (Growing<T>) {
                // Not all at once: each element that is there takes a byte of the input, one that is not is found missing.
                value.clear();
                for (std::uint64_t i = 0; i < count; ++i) get(value.emplace_back());
            } else {
                if (count != value.size()) fail("has another length");
                for (auto& element : value) get(element);
            }
        }
    }

    void begin(std::string_view name, unsigned newest);
    void expect_field(std::string_view name);
    void expect_tag(char tag);
    void expect_end();
    [[nodiscard]] std::string_view get_text();
    [[nodiscard]] std::uint64_t get_number();
    [[nodiscard]] std::uint64_t get_unsigned(std::uint64_t largest);
    [[nodiscard]] std::int64_t get_signed(std::int64_t smallest, std::int64_t largest);
    [[nodiscard]] std::uint64_t get_count(char tag, std::uint64_t largest);
    [[nodiscard]] std::span<const std::byte> get_bytes();
    [[nodiscard]] std::span<const std::byte> take(std::uint64_t size);
    static void copy(std::span<const std::byte> from, std::span<std::byte> to) noexcept;
    [[noreturn]] void fail(std::string_view what) const;

    std::span<const std::byte> rest_;
    std::string_view object_;  // what is being read, for messages
    std::string_view field_;
    unsigned version_ = 0;
};

/// The state of a device that keeps none.
struct NoState {
    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive&) {}
};

/// Appends the state of one object. `name` is not empty: the device's.
template <class State>
void save_state(StateWriter& writer, std::string_view name, State& state) {
    writer.begin(name, State::state_version);
    state.fields(writer);
    writer.put_end();
}

/// The next object in `reader` has to be one of that name. `state` is as before if it throws Error(usage).
template <class State>
void restore_state(StateReader& reader, std::string_view name, State& state) {
    State restored = state;
    reader.begin(name, State::state_version);
    restored.fields(reader);
    reader.expect_end();
    state = std::move(restored);
}

}  // namespace asyncvm

/// Protocol buffers' wire format, to write and to read: https://protobuf.dev/programming-guides/encoding/. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::trace::wire {

enum class Type : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

/// Appends fields to a string.
class Writer {
public:
    explicit Writer(std::string& out) : out_(out) {}

    void varint(unsigned field, std::uint64_t value) {
        tag(field, Type::varint);
        raw(value);
    }
    void fixed64(unsigned field, std::uint64_t value) {
        tag(field, Type::fixed64);
        char bytes[8];
        std::memcpy(bytes, &value, sizeof bytes);  // x86 is little-endian
        out_.append(bytes, sizeof bytes);
    }
    void bytes(unsigned field, std::string_view value) {
        tag(field, Type::bytes);
        raw(value.size());
        out_.append(value);
    }

    /// A message in this one. Its fields follow, until its life ends, and are at most 16,383 bytes.
    class Nested {
    public:
        Nested(Writer& writer, unsigned field) : out_(writer.out_) {
            writer.tag(field, Type::bytes);
            out_.push_back(0);
            start_ = out_.size();
        }
        Nested(const Nested&) = delete;
        Nested& operator=(const Nested&) = delete;
        ~Nested() {
            const auto size = out_.size() - start_;
            if (size < 0x80) {
                out_[start_ - 1] = static_cast<char>(size);
            } else {
                out_[start_ - 1] = static_cast<char>(size | 0x80);
                out_.insert(start_, 1, static_cast<char>(size >> 7 & 0x7f));
            }
        }

    private:
        std::string& out_;
        std::size_t start_ = 0;
    };

private:
    void tag(unsigned field, Type type) { raw(field << 3 | static_cast<unsigned>(type)); }
    void raw(std::uint64_t value) {
        while (value >= 0x80) {
            out_.push_back(static_cast<char>(value | 0x80));
            value >>= 7;
        }
        out_.push_back(static_cast<char>(value));
    }

    std::string& out_;
};

struct Field {
    unsigned number = 0;
    Type type = Type::varint;
    std::uint64_t value = 0;   ///< of a number
    std::string_view bytes{};  ///< of anything else
};

/// The fields of a message, whatever the bytes are.
class Reader {
public:
    explicit Reader(std::string_view message) : rest_(message) {}

    /// The next field, or nothing: the message has ended, or what follows is none. Deprecated groups are none.
    [[nodiscard]] std::optional<Field> next() {
        const auto before = rest_;
        const auto tag = raw();
        if (!tag || *tag >> 3 == 0 || *tag >> 3 > 0x1fff'ffff) return fail(before);
        Field field{.number = static_cast<unsigned>(*tag >> 3), .type = static_cast<Type>(*tag & 7)};
        std::uint64_t size = 0;
        switch (field.type) {
            case Type::varint: {
                const auto value = raw();
                if (!value) return fail(before);
                field.value = *value;
                return field;
            }
            case Type::fixed64:
                size = 8;
                break;
            case Type::fixed32:
                size = 4;
                break;
            case Type::bytes: {
                const auto length = raw();
                if (!length) return fail(before);
                size = *length;
                break;
            }
            default:
                return fail(before);
        }
        if (size > rest_.size()) return fail(before);
        field.bytes = rest_.substr(0, size);
        if (field.type != Type::bytes) std::memcpy(&field.value, field.bytes.data(), size);
        rest_.remove_prefix(size);
        return field;
    }

    /// What has not been read. Not empty after next() has returned nothing: what is there is no field, or not all of one.
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

private:
    std::optional<Field> fail(std::string_view before) {
        rest_ = before;
        return std::nullopt;
    }
    std::optional<std::uint64_t> raw() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            value |= std::uint64_t{byte & 0x7fU} << shift;
            if (byte < 0x80) return value;
        }
        return std::nullopt;
    }

    std::string_view rest_;
};

}  // namespace asyncvm::trace::wire

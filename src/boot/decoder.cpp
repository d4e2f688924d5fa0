#include "boot/decoder.hpp"

#include "dynamic/shared_library.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <new>
#ifdef ASYNCVM_HAS_LZMA
#include <lzma.h>
#endif
#ifdef ASYNCVM_HAS_ZLIB
#include <zlib.h>
#endif
#ifdef ASYNCVM_HAS_ZSTD
#include <zstd.h>
#endif

namespace asyncvm::boot {

namespace {

using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

/// What a stream may ask for to unpack itself: the largest window that `xz -9` and `zstd --ultra` have, and some more.
[[maybe_unused]] constexpr std::uint64_t most_window_log = 27;
[[maybe_unused]] constexpr std::uint64_t most_memory = 256 << 20;

[[maybe_unused]] SharedLibrary load_library(const char* file, const char* package, Packing packing) {
    try {
        return SharedLibrary(file);
    } catch (const Error& error) {
        throw Error(ErrorKind::host, fmt::format("the guest is packed with {}, and the library for it can't be loaded: {} "
                                                 "(install {}, or unpack the file)",
                                                 name_of(packing), error.what(), package));
    }
}

#ifdef ASYNCVM_HAS_ZLIB
class GzipDecoder final : public Decoder {
public:
    GzipDecoder() {
        const auto library = load_library("libz.so.1", "zlib1g", Packing::gzip);
        library.find("inflateInit2_", init_);
        library.find("inflateReset", reset_);
        library.find("inflate", inflate_);
        library.find("inflateEnd", end_);
        constexpr int gzip_only = 15 + 16;
        if (init_(&stream_, gzip_only, ZLIB_VERSION, sizeof stream_) != Z_OK) throw std::bad_alloc();
    }
    ~GzipDecoder() override { end_(&stream_); }

    Step run(Bytes& in, Room& out) override {
        // The library counts in 32 bits.
        const Bytes some_in = in.first(std::min<std::size_t>(in.size(), 1 << 30));
        const Room some_out = out.first(std::min<std::size_t>(out.size(), 1 << 30));
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(some_in.data()));
        stream_.avail_in = static_cast<uInt>(some_in.size());
        stream_.next_out = reinterpret_cast<Bytef*>(some_out.data());
        stream_.avail_out = static_cast<uInt>(some_out.size());
        const int result = inflate_(&stream_, Z_NO_FLUSH);
        in = in.subspan(some_in.size() - stream_.avail_in);
        out = out.subspan(some_out.size() - stream_.avail_out);
        if (result == Z_STREAM_END) reset_(&stream_);
        switch (result) {
            case Z_OK:
            case Z_BUF_ERROR:
                return Step::more;
            case Z_STREAM_END:
                return Step::end;
            case Z_MEM_ERROR:
                return Step::memory;
            default:
                return Step::damaged;
        }
    }

private:
    decltype(&::inflateInit2_) init_ = nullptr;
    decltype(&::inflateReset) reset_ = nullptr;
    decltype(&::inflate) inflate_ = nullptr;
    decltype(&::inflateEnd) end_ = nullptr;
    z_stream stream_{};
};
#endif

#ifdef ASYNCVM_HAS_LZMA
class XzDecoder final : public Decoder {
public:
    XzDecoder() {
        const auto library = load_library("liblzma.so.5", "liblzma5", Packing::xz);
        library.find("lzma_stream_decoder", start_);
        library.find("lzma_code", code_);
        library.find("lzma_end", end_);
    }
    ~XzDecoder() override { end_(&stream_); }

    Step run(Bytes& in, Room& out) override {
        if (!started_ && start_(&stream_, most_memory, 0) != LZMA_OK) return Step::memory;
        started_ = true;
        stream_.next_in = reinterpret_cast<const std::uint8_t*>(in.data());
        stream_.avail_in = in.size();
        stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
        stream_.avail_out = out.size();
        const lzma_ret result = code_(&stream_, LZMA_RUN);
        in = in.last(stream_.avail_in);
        out = out.last(stream_.avail_out);
        switch (result) {
            case LZMA_OK:
            case LZMA_BUF_ERROR:
                return Step::more;
            case LZMA_STREAM_END:
                started_ = false;
                return Step::end;
            case LZMA_MEM_ERROR:
            case LZMA_MEMLIMIT_ERROR:
                return Step::memory;
            default:
                return Step::damaged;
        }
    }

private:
    decltype(&::lzma_stream_decoder) start_ = nullptr;
    decltype(&::lzma_code) code_ = nullptr;
    decltype(&::lzma_end) end_ = nullptr;
    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool started_ = false;
};
#endif

#ifdef ASYNCVM_HAS_ZSTD
class ZstdDecoder final : public Decoder {
public:
    ZstdDecoder() {
        const auto library = load_library("libzstd.so.1", "libzstd1", Packing::zstd);
        library.find("ZSTD_createDStream", create_);
        library.find("ZSTD_freeDStream", free_);
        library.find("ZSTD_DCtx_setParameter", set_);
        library.find("ZSTD_decompressStream", decompress_);
        library.find("ZSTD_isError", is_error_);
        library.find("ZSTD_getErrorName", name_);
        stream_ = create_();
        if (stream_ == nullptr) throw std::bad_alloc();
        set_(stream_, ZSTD_d_windowLogMax, most_window_log);
    }
    ~ZstdDecoder() override { free_(stream_); }

    Step run(Bytes& in, Room& out) override {
        ZSTD_inBuffer from{in.data(), in.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t result = decompress_(stream_, &to, &from);
        in = in.subspan(from.pos);
        out = out.subspan(to.pos);
        if (is_error_(result) == 0) return result == 0 ? Step::end : Step::more;
        // The error codes are not part of the library's stable interface, their names are only for people.
        const std::string_view name = name_(result);
        return name.find("memory") != name.npos ? Step::memory : Step::damaged;
    }

private:
    decltype(&::ZSTD_createDStream) create_ = nullptr;
    decltype(&::ZSTD_freeDStream) free_ = nullptr;
    decltype(&::ZSTD_DCtx_setParameter) set_ = nullptr;
    decltype(&::ZSTD_decompressStream) decompress_ = nullptr;
    decltype(&::ZSTD_isError) is_error_ = nullptr;
    decltype(&::ZSTD_getErrorName) name_ = nullptr;
    ZSTD_DStream* stream_ = nullptr;
};
#endif

template <std::size_t N>
bool begins_with(Bytes head, const std::array<unsigned char, N>& magic) noexcept {
    return head.size() >= N && std::memcmp(head.data(), magic.data(), N) == 0;
}

}  // namespace

Packing packing_of(std::span<const std::byte> head) noexcept {
    // RFC 1952, 2.3.1: deflate is the only method; the .xz file format, 2.1.1.1; RFC 8878, 3.1.1.
    if (begins_with(head, std::array<unsigned char, 3>{0x1f, 0x8b, 0x08})) return Packing::gzip;
    if (begins_with(head, std::array<unsigned char, 6>{0xfd, '7', 'z', 'X', 'Z', 0})) return Packing::xz;
    if (begins_with(head, std::array<unsigned char, 4>{0x28, 0xb5, 0x2f, 0xfd})) return Packing::zstd;
    return Packing::none;
}

std::string_view name_of(Packing packing) noexcept {
    switch (packing) {
        case Packing::gzip:
            return "gzip";
        case Packing::xz:
            return "xz";
        case Packing::zstd:
            return "zstd";
        case Packing::none:
            break;
    }
    return "nothing";
}

std::unique_ptr<Decoder> make_decoder(Packing packing) {
    switch (packing) {
        case Packing::gzip:
#ifdef ASYNCVM_HAS_ZLIB
            return std::make_unique<GzipDecoder>();
#else
            break;
#endif
        case Packing::xz:
#ifdef ASYNCVM_HAS_LZMA
            return std::make_unique<XzDecoder>();
#else
            break;
#endif
        case Packing::zstd:
#ifdef ASYNCVM_HAS_ZSTD
            return std::make_unique<ZstdDecoder>();
#else
            break;
#endif
        case Packing::none:
            break;
    }
    return nullptr;
}

}  // namespace asyncvm::boot

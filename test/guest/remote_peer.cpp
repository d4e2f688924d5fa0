// A device in another process, for tests: the registers of the conformance device (docs/remote-devices.md), or one that
// misbehaves. Its words say how:
//
//     remote_peer [conduct=NAME] [caps=MASK] [requests=N] [data=N] [name=TEXT] [connect=PATH]
//
// Standard input is the connection, unless connect= says where it is. It ends when the connection does.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "remote/frame.hpp"

using namespace asyncvm::remote;

namespace {

struct Words {
    std::string conduct;
    std::string name = "peer";
    std::string connect;
    std::uint32_t capabilities = 0;
    std::uint32_t max_data = 4096;
    std::uint16_t requests = 1;
};

/// Ends the process with the connection.
class Wire {
public:
    explicit Wire(int fd) : fd_(fd) {}

    void read(std::byte* to, std::size_t size) {
        while (size > 0) {
            iovec piece{to, size};
            msghdr header{};
            header.msg_iov = &piece;
            header.msg_iovlen = 1;
            alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            const auto got = ::recvmsg(fd_, &header, 0);
            if (got <= 0) std::exit(0);
            if (const auto* part = CMSG_FIRSTHDR(&header); part != nullptr) {
                std::memcpy(&descriptor, CMSG_DATA(part), sizeof descriptor);
            }
            to += got;
            size -= static_cast<std::size_t>(got);
        }
    }
    void write(const Bytes& bytes) {
        for (std::size_t at = 0; at < bytes.size();) {
            const auto put = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
            if (put <= 0) std::exit(0);
            at += static_cast<std::size_t>(put);
        }
    }
    int descriptor = -1;  ///< the last that has come

private:
    int fd_;
};

struct Message {
    Header header;
    Bytes payload;
};

class Peer {
public:
    Peer(Wire& wire, Words words) : wire_(wire), words_(std::move(words)) {}

    void run() {
        for (;;) {
            Message message = next();
            if (message.header.is_reply()) continue;
            answer(message);
        }
    }

private:
    [[nodiscard]] bool is(std::string_view conduct) const { return words_.conduct == conduct; }

    Message next() {
        if (!kept_.empty()) {
            auto message = std::move(kept_.front());
            kept_.pop_front();
            return message;
        }
        return receive();
    }
    Message receive() {
        Bytes head(header_size);
        wire_.read(head.data(), head.size());
        Message message{.header = {.id = load<std::uint16_t>(head, 0),
                                   .command = static_cast<Command>(load<std::uint16_t>(head, 2)),
                                   .size = load<std::uint32_t>(head, 4),
                                   .flags = load<std::uint32_t>(head, 8),
                                   .error = load<std::uint32_t>(head, 12)},
                        .payload = {}};
        message.payload.resize(message.header.size - header_size);
        wire_.read(message.payload.data(), message.payload.size());
        return message;
    }
    void reply(const Message& to, std::size_t echo, const Bytes& data = {}) {
        if (!to.header.wants_reply()) return;
        Bytes bytes;
        append_header(bytes, to.header.id, to.header.command, echo + data.size(), type_reply);
        bytes.insert(bytes.end(), to.payload.begin(), to.payload.begin() + static_cast<std::ptrdiff_t>(echo));
        bytes.insert(bytes.end(), data.begin(), data.end());
        wire_.write(bytes);
    }
    void interrupt(std::uint32_t line, std::uint32_t level) {
        Bytes bytes;
        append_header(bytes, ++id_, Command::set_irq, 8, flag_no_reply);
        append(bytes, line);
        append(bytes, level);
        wire_.write(bytes);
    }
    void log(std::string_view text) {
        Bytes bytes;
        append_header(bytes, ++id_, Command::log, 4 + text.size(), flag_no_reply);
        append(bytes, std::uint32_t{2});
        for (const char letter : text) bytes.push_back(static_cast<std::byte>(letter));
        wire_.write(bytes);
    }
    /// Asks for the guest's memory. Empty: refused.
    bool move_memory(Command command, std::uint64_t address, Bytes& data) {
        Bytes bytes;
        const bool write = command == Command::dma_write;
        append_header(bytes, ++id_, command, access_size + (write ? data.size() : 0), type_command);
        append(bytes, address);
        append(bytes, std::uint64_t{data.size()});
        if (write) bytes.insert(bytes.end(), data.begin(), data.end());
        wire_.write(bytes);
        for (;;) {
            Message message = receive();
            if (!message.header.is_reply() || message.header.id != id_) {
                kept_.push_back(std::move(message));
                continue;
            }
            if (message.header.is_error()) return false;
            if (!write) std::copy(message.payload.begin() + access_size, message.payload.end(), data.begin());
            return true;
        }
    }

    void answer(const Message& message) {
        switch (message.header.command) {
            case Command::version:
                greet(message);
                break;
            case Command::dma_map:
                mapped_size_ = load<std::uint64_t>(message.payload, 24);
                mapped_ = static_cast<std::byte*>(::mmap(nullptr, mapped_size_, PROT_READ | PROT_WRITE, MAP_SHARED,
                                                         wire_.descriptor,
                                                         static_cast<off_t>(load<std::uint64_t>(message.payload, 8))));
                reply(message, 0);
                break;
            case Command::device_reset:
                if (is("mute-reset")) break;
                // All of this is to have no effect.
                if (is("busy-reset")) {
                    Bytes data(1, std::byte{0x77});
                    interrupt(0, 1);
                    (void)move_memory(Command::dma_write, 0x8000, data);
                }
                registers_ = {};
                fifo_.clear();
                ++resets_;
                reply(message, 0);
                break;
            case Command::region_read:
            case Command::region_write:
                access(message);
                break;
            default:
                reply(message, 0);
                break;
        }
    }

    void greet(const Message& message) {
        if (is("mute")) return;
        if (is("early")) interrupt(0, 1);
        Bytes bytes;
        append_header(bytes, message.header.id, Command::version, 16 + words_.name.size(), type_reply);
        append(bytes, std::uint16_t{1});
        append(bytes, std::uint16_t{0});
        append(bytes, words_.capabilities);
        append(bytes, words_.max_data);
        append(bytes, words_.requests);
        append(bytes, std::uint16_t{0});
        for (const char letter : words_.name) bytes.push_back(static_cast<std::byte>(letter));
        wire_.write(bytes);
    }

    /// True: the access is not answered as it should be.
    bool misbehave(const Message& message) {
        const bool read = message.header.command == Command::region_read;
        if (!read && is("pairs")) {
            // Neither is answered before both are there, and the second one first.
            pair_.push_back(message);
            if (pair_.size() == 2) {
                reply(pair_[1], access_size);
                reply(pair_[0], access_size);
                pair_.clear();
            }
            return true;
        }
        if (!read && is("scribbles")) {
            reply(message, access_size);
            for (Bytes data(1);; data[0] = add(data[0])) (void)move_memory(Command::dma_write, 0x8000, data);
        }
        if (!read) return false;
        if (is("mute-reads")) return true;
        if (is("dies")) ::raise(SIGKILL);
        if (is("exits")) std::exit(3);
        Bytes bytes;
        if (is("lies")) {
            append_header(bytes, static_cast<std::uint16_t>(message.header.id + 1), Command::region_read, 17, type_reply);
            bytes.resize(bytes.size() + 17);
        }
        if (is("huge")) append_header(bytes, message.header.id, Command::region_read, 0x4000'0000 - header_size, type_reply);
        if (is("half")) append(bytes, message.header.id);
        if (is("refuses")) append_header(bytes, message.header.id, Command::region_read, 0, type_reply | flag_error, 5);
        if (!bytes.empty()) {
            wire_.write(bytes);
            return true;
        }
        if (is("floods-irq")) {
            for (;;) interrupt(0, ++level_ % 2);
        }
        if (is("floods-log")) {
            for (;;) log("flood \x1b[31m");
        }
        if (is("deaf")) {
            // It asks and asks, and never takes an answer.
            for (;;) {
                Bytes ask;
                append_header(ask, ++id_, Command::dma_read, access_size, type_command);
                append(ask, std::uint64_t{0x1000});
                append(ask, std::uint64_t{4096});
                wire_.write(ask);
            }
        }
        return false;
    }

    void access(const Message& message) {
        if (misbehave(message)) return;
        const auto offset = load<std::uint64_t>(message.payload, 0);
        const auto width = load<std::uint8_t>(message.payload, 10);
        const auto count = load<std::uint32_t>(message.payload, 12);
        Bytes data;
        if (message.header.command == Command::region_read) {
            data.resize(count);
            for (std::uint32_t at = 0; at < count; at += width) {
                const std::uint32_t value = read(offset, width);
                std::memcpy(&data[at], &value, std::min<std::size_t>(width, sizeof value));
            }
            reply(message, access_size, data);
            return;
        }
        for (std::uint32_t at = 0; at < count; at += width) {
            std::uint32_t value = 0;
            std::memcpy(&value, &message.payload[access_size + at], std::min<std::size_t>(width, sizeof value));
            write(offset, width, value);
        }
        reply(message, access_size);
    }

    std::uint32_t read(std::uint64_t offset, unsigned width) {
        if (offset < 4) {
            std::uint32_t value = 0;
            std::memcpy(&value, reinterpret_cast<char*>(&registers_.scratch) + offset,
                        std::min<std::size_t>(width, 4 - offset));
            return value;
        }
        if (offset == 4) {
            if (fifo_.empty()) return 0xff;
            const auto value = fifo_.front();
            fifo_.pop_front();
            return value;
        }
        if (offset == 5) return static_cast<std::uint32_t>(fifo_.size());
        if (offset == 6) return registers_.level;
        if (offset == 7) return registers_.delay;
        if (offset == 8) return registers_.address;
        if (offset == 12) return registers_.refused;
        if (offset == 14) return resets_;
        return ~0U;
    }

    void write(std::uint64_t offset, unsigned width, std::uint32_t value) {
        if (offset < 4) {
            std::memcpy(reinterpret_cast<char*>(&registers_.scratch) + offset, &value,
                        std::min<std::size_t>(width, 4 - offset));
        } else if (offset == 4 && fifo_.size() < 64) {
            fifo_.push_back(static_cast<std::uint8_t>(value));
        } else if (offset == 6) {
            registers_.level = value & 1;
            interrupt(0, registers_.level);
        } else if (offset == 7) {
            registers_.delay = value;
            ::usleep(value * 1000);
        } else if (offset == 8) {
            registers_.address = value;
        } else if (offset == 12) {
            add_one(value);
        } else if (offset == 13) {
            log("conformance");
        } else if (offset == 15) {
            std::exit(0);
        }
    }

    void add_one(std::uint32_t count) {
        if (mapped_ != nullptr) {
            registers_.refused = registers_.address + std::uint64_t{count} > mapped_size_ ? 1 : 0;
            if (registers_.refused != 0) return;
            for (std::uint32_t at = 0; at < count; ++at)
                mapped_[registers_.address + at] = add(mapped_[registers_.address + at]);
            return;
        }
        Bytes data(count);
        registers_.refused = 1;
        if (!move_memory(Command::dma_read, registers_.address, data)) return;
        for (std::byte& byte : data) byte = add(byte);
        if (move_memory(Command::dma_write, registers_.address, data)) registers_.refused = 0;
    }
    static std::byte add(std::byte byte) { return static_cast<std::byte>(std::to_integer<unsigned>(byte) + 1); }

    struct Registers {
        std::uint32_t scratch = 0x12345678;
        std::uint32_t level = 0;
        std::uint32_t delay = 0;
        std::uint32_t address = 0;
        std::uint32_t refused = 0;
    };

    Wire& wire_;
    const Words words_;
    std::deque<Message> kept_;
    std::vector<Message> pair_;
    std::deque<std::uint8_t> fifo_;
    Registers registers_;
    std::uint32_t resets_ = 0;
    std::uint32_t level_ = 0;
    std::uint16_t id_ = 0;
    std::byte* mapped_ = nullptr;
    std::uint64_t mapped_size_ = 0;
};

int connect_to(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    while (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::usleep(5000);
    return fd;
}

}  // namespace

int main(int count, char** arguments) {
    Words words;
    for (const std::string_view word : std::vector<std::string_view>(arguments + 1, arguments + count)) {
        const auto equals = word.find('=');
        const auto key = word.substr(0, equals);
        const std::string value(word.substr(equals + 1));
        if (key == "conduct") words.conduct = value;
        if (key == "name") words.name = value;
        if (key == "connect") words.connect = value;
        if (key == "caps") words.capabilities = static_cast<std::uint32_t>(std::stoul(value));
        if (key == "data") words.max_data = static_cast<std::uint32_t>(std::stoul(value));
        if (key == "requests") words.requests = static_cast<std::uint16_t>(std::stoul(value));
    }
    Wire wire(words.connect.empty() ? STDIN_FILENO : connect_to(words.connect));
    Peer(wire, words).run();
}

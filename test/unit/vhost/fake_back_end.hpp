/// A back end on a thread of its own that can misbehave. It turns the texts that the driver sends around, or a network's
/// frames back.
#pragma once

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_memory.hpp"
#include "os/unique_fd.hpp"
#include "vhost/message.hpp"

namespace asyncvm::vhost {

/// What it does with one kind of request.
enum class Mischief {
    hang_up,
    no_answer,
    wrong_request,
    no_reply_flag,
    short_answer,
    long_answer,
    endless_answer,  ///< a length beyond all that the protocol has
    other_version,
    gift,  ///< a descriptor that nobody has asked for
    refusal,
    two_answers,
};

struct Conduct {
    std::uint64_t features = 0x1'3000'0000 | has_protocol_features;  ///< VERSION_1, EVENT_IDX, INDIRECT_DESC
    std::uint64_t protocol = known_protocol_features & ~protocol_inflight;
    std::uint64_t queues = 2;
    std::vector<std::byte> config = std::vector<std::byte>(60, std::byte{0});
    std::map<Request, Mischief> mischief{};
    bool holds = false;  ///< takes requests and gives none back until release()
    /// As a network card: the frames of ring 1 go to ring 0, those that the driver has no buffer for are lost.
    bool is_card = false;
};

class FakeBackEnd : private FakeMemory {
public:
    /// Listens at `path`. `changed` is called on the back end's thread after everything that it does.
    FakeBackEnd(const std::string& path, Conduct conduct, std::function<void()> changed)
        : conduct_(std::move(conduct)), changed_(std::move(changed)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        must(path.size() < sizeof address.sun_path);
        path.copy(address.sun_path, path.size());
        ::unlink(path.c_str());
        listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        must(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        must(::listen(listener_.get(), 4) == 0);
        thread_ = std::thread([this] { live(); });
    }
    FakeBackEnd(const FakeBackEnd&) = delete;
    FakeBackEnd& operator=(const FakeBackEnd&) = delete;
    /// It dies: the connection ends, what it has taken is never given back.
    ~FakeBackEnd() {
        signal(stop_);
        thread_.join();
    }

    /// Requests in the order in which they came.
    [[nodiscard]] std::vector<Request> requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }
    [[nodiscard]] unsigned count(Request request) const {
        const auto all = requests();
        return static_cast<unsigned>(std::ranges::count(all, request));
    }
    [[nodiscard]] std::uint64_t accepted_features() const { return locked(features_); }
    [[nodiscard]] std::uint32_t base(unsigned ring) const { return locked(rings_[ring].base); }
    [[nodiscard]] std::size_t held(unsigned ring = 0) const {
        const std::lock_guard lock(mutex_);
        return rings_[ring].held.size();
    }
    [[nodiscard]] bool enabled(unsigned ring) const { return locked(rings_[ring].enabled); }
    /// The file of the inflight area that it was told.
    [[nodiscard]] ino_t inflight_file() const { return locked(inflight_file_); }

    /// Gives what it holds back: the request at `index` of those, or all.
    void release(std::optional<std::size_t> index = std::nullopt) {
        {
            const std::lock_guard lock(mutex_);
            Ring& ring = rings_[0];
            if (index) {
                give_back(ring, ring.held.at(*index));
                ring.held.erase(ring.held.begin() + static_cast<std::ptrdiff_t>(*index));
            } else {
                for (const auto& request : std::exchange(ring.held, {})) give_back(ring, request);
            }
        }
        changed_();
    }
    void hold(bool on) {
        const std::lock_guard lock(mutex_);
        conduct_.holds = on;
    }

private:
    struct Held {
        std::uint16_t head = 0;
        std::uint32_t written = 0;
    };
    struct Ring {
        std::uint32_t size = 0;
        std::uint32_t base = 0;
        std::uint16_t next = 0;
        std::uint64_t descriptors = 0, used = 0, available = 0;
        UniqueFd kick, call;
        bool enabled = false;
        std::deque<Held> held{};
    };

    template <typename T>
    T locked(const T& value) const {
        const std::lock_guard lock(mutex_);
        return value;
    }

    static void signal(const UniqueFd& event) {
        const std::uint64_t once = 1;
        must(::write(event.get(), &once, sizeof once) == sizeof once);
    }

    void live() {
        const std::array waits{pollfd{listener_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
        auto ready = waits;
        while (::poll(ready.data(), ready.size(), -1) > 0 && (ready[1].revents & POLLIN) == 0) {
            connection_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            const bool stopped = serve();
            connection_.reset();
            changed_();
            if (stopped) return;
            ready = waits;
        }
    }

    /// Returns whether it was stopped.
    bool serve() {
        for (;;) {
            std::vector<pollfd> waits{{connection_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
            for (const Ring& ring : rings_) waits.push_back({ring.enabled ? ring.kick.get() : -1, POLLIN, 0});
            if (::poll(waits.data(), waits.size(), -1) < 0) return false;
            if (waits[1].revents != 0) return true;
            if (waits[0].revents != 0 && !hear()) return false;
            for (unsigned ring = 0; ring < rings_.size(); ++ring) {
                if ((waits[2 + ring].revents & POLLIN) != 0) kicked(ring);
            }
            changed_();
        }
    }

    bool hear() {
        std::array<std::uint32_t, 3> head{};
        iovec piece{head.data(), sizeof head};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
        msghdr header{};
        header.msg_iov = &piece;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        if (::recvmsg(connection_.get(), &header, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof head) return false;
        std::vector<UniqueFd> fds;
        if (cmsghdr* const part = CMSG_FIRSTHDR(&header); part != nullptr) {
            const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
                fds.emplace_back(fd);
            }
        }
        std::vector<std::byte> payload(head[2]);
        if (head[2] > 0 && ::recv(connection_.get(), payload.data(), payload.size(), MSG_WAITALL) != head[2]) return false;
        const auto request = static_cast<Request>(head[0]);
        std::vector<std::byte> answer;
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
            answer = obey(request, payload, std::move(fds));
            if (answer.empty() && (head[1] & 8) != 0) answer.resize(8);
        }
        return reply(head[0], answer);
    }

    static std::vector<std::byte> bytes(std::uint64_t value) {
        std::vector<std::byte> to(sizeof value);
        std::memcpy(to.data(), &value, sizeof value);
        return to;
    }

    std::vector<std::byte> obey(Request request, std::span<const std::byte> payload, std::vector<UniqueFd> fds) {
        const auto ring = [&]() -> Ring& { return rings_.at(number<std::uint32_t>(payload)); };
        const auto value = [&] { return number<std::uint32_t>(payload, 4); };
        switch (request) {
            case Request::get_features:
                return bytes(conduct_.features);
            case Request::get_protocol_features:
                return bytes(conduct_.protocol | 1 << 15);
            case Request::get_queue_num:
                return bytes(conduct_.queues);
            case Request::get_config: {
                std::vector<std::byte> answer(payload.begin(), payload.begin() + 12);
                if (value() != 0 && payload.size() - 12 != conduct_.config.size()) return {};
                answer.insert(answer.end(), conduct_.config.begin(), conduct_.config.end());
                return answer;
            }
            case Request::set_features:
                features_ = number<std::uint64_t>(payload);
                break;
            case Request::set_mem_table:
                map(payload, std::move(fds));
                break;
            case Request::set_vring_num:
                ring().size = value();
                break;
            case Request::set_vring_base:
                ring().base = value();
                ring().next = static_cast<std::uint16_t>(value());
                ring().held.clear();
                break;
            case Request::set_vring_addr:
                ring().descriptors = number<std::uint64_t>(payload, 8);
                ring().used = number<std::uint64_t>(payload, 16);
                ring().available = number<std::uint64_t>(payload, 24);
                break;
            case Request::set_vring_call:
                ring().call = std::move(fds.at(0));
                break;
            case Request::set_vring_kick:
                ring().kick = std::move(fds.at(0));
                break;
            case Request::set_vring_enable:
                ring().enabled = value() != 0;
                break;
            case Request::get_vring_base: {
                ring().enabled = false;
                return bytes(number<std::uint32_t>(payload) | std::uint64_t{ring().next} << 32);
            }
            case Request::get_inflight_fd: {
                std::vector<std::byte> answer = bytes(4096);
                answer.resize(24);
                return answer;
            }
            case Request::set_inflight_fd: {
                struct stat status {};
                must(::fstat(fds.at(0).get(), &status) == 0);
                inflight_file_ = status.st_ino;
                break;
            }
            default:
                break;
        }
        return {};
    }

    /// Returns false when the connection ends.
    bool reply(std::uint32_t request, std::vector<std::byte> answer) {
        const auto found = conduct_.mischief.find(static_cast<Request>(request));
        const auto mischief = found == conduct_.mischief.end() ? std::nullopt : std::optional(found->second);
        if (mischief == Mischief::hang_up) return false;
        const bool has_none = answer.empty() && static_cast<Request>(request) != Request::get_config;
        if (mischief == Mischief::no_answer || (has_none && !mischief)) return true;
        std::array<std::uint32_t, 3> head{request, 5, 0};
        if (mischief == Mischief::wrong_request) head[0] = 999;
        if (mischief == Mischief::no_reply_flag) head[1] = 1;
        if (mischief == Mischief::other_version) head[1] = 6;
        if (mischief == Mischief::short_answer) answer.resize(answer.size() / 2);
        if (mischief == Mischief::long_answer) answer.resize(answer.size() + 4);
        if (mischief == Mischief::refusal) answer[0] = std::byte{1};
        head[2] = mischief == Mischief::endless_answer ? 0xffff'ffff : static_cast<std::uint32_t>(answer.size());
        UniqueFd fd;
        const bool inflight = static_cast<Request>(request) == Request::get_inflight_fd;
        if (inflight || mischief == Mischief::gift) fd = UniqueFd(::memfd_create("inflight", MFD_CLOEXEC));
        send(head, answer, fd.get(), mischief == Mischief::two_answers ? 2 : 1);
        return true;
    }

    /// Once or twice, at the same moment.
    void send(std::array<std::uint32_t, 3> head, std::vector<std::byte>& answer, int fd, std::size_t times) {
        const iovec first{head.data(), sizeof head};
        const iovec second{answer.data(), answer.size()};
        std::array<iovec, 4> pieces{first, second, first, second};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr header{};
        header.msg_iov = pieces.data();
        header.msg_iovlen = 2 * times;
        if (fd >= 0) {
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            cmsghdr* const part = CMSG_FIRSTHDR(&header);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof fd);
            std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
        }
        (void)::sendmsg(connection_.get(), &header, MSG_NOSIGNAL);
    }

    void kicked(unsigned index) {
        const std::lock_guard lock(mutex_);
        Ring& ring = rings_[index];
        std::uint64_t times = 0;
        (void)::read(ring.kick.get(), &times, sizeof times);
        // A card's receive buffers wait for frames.
        if (conduct_.is_card && index == 0) return;
        while (const auto head = take(ring)) {
            if (conduct_.holds && conduct_.is_card) {
                ring.held.push_back({.head = *head});
                continue;
            }
            const auto written = conduct_.is_card ? send_back(ring, *head) : turn_around(ring.descriptors, *head);
            const Held request{.head = *head, .written = written};
            if (conduct_.holds) {
                ring.held.push_back(request);
            } else {
                give_back(ring, request);
            }
        }
    }

    std::optional<std::uint16_t> take(Ring& ring) const {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (!ring.enabled || ring.next == load<std::uint16_t>(ring.available + 2)) return std::nullopt;
        return load<std::uint16_t>(ring.available + 4 + 2 * (ring.next++ % ring.size));
    }

    /// Nothing is written to what the driver sends.
    std::uint32_t send_back(const Ring& ring, std::uint16_t head) {
        std::string frame;
        each_buffer(ring.descriptors, head,
                    [&](const char* bytes, std::uint32_t length, bool) { frame.append(bytes, length); });
        constexpr std::size_t buffers_place = 10;  // of the number of buffers in the header
        frame.at(buffers_place) = 1;
        const auto to = take(rings_[0]);
        if (!to) return 0;
        std::size_t written = 0;
        each_buffer(rings_[0].descriptors, *to, [&](char* bytes, std::uint32_t length, bool) {
            written += frame.copy(bytes, length, std::min(written, frame.size()));
        });
        give_back(rings_[0], {.head = *to, .written = static_cast<std::uint32_t>(written)});
        return 0;
    }

    void give_back(const Ring& ring, const Held& request) const {
        const auto index = load<std::uint16_t>(ring.used + 2);
        store(ring.used + 4 + 8 * (index % ring.size), std::uint32_t{request.head});
        store(ring.used + 8 + 8 * (index % ring.size), request.written);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        store(ring.used + 2, static_cast<std::uint16_t>(index + 1));
        signal(ring.call);
    }

    Conduct conduct_;
    const std::function<void()> changed_;
    UniqueFd listener_;
    UniqueFd connection_;
    const UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
    mutable std::mutex mutex_;
    std::vector<Request> requests_;
    std::array<Ring, 2> rings_;
    std::uint64_t features_ = 0;
    ino_t inflight_file_ = 0;
    std::thread thread_;
};

}  // namespace asyncvm::vhost

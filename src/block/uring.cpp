#include "block/uring.hpp"

#include "text/errno_text.hpp"

#ifdef ASYNCVM_HAS_URING

#include <fmt/format.h>
#include <liburing.h>

#include <cerrno>

namespace asyncvm::block {

namespace {

class Uring final : public Engine {
public:
    static constexpr unsigned entries = 128;

    /// `error`: an errno, or 0.
    explicit Uring(int& error) noexcept {
        const int result = ::io_uring_queue_init(entries, &ring_, 0);
        made_ = result == 0;
        error = -result;
    }

    ~Uring() override {
        if (made_) ::io_uring_queue_exit(&ring_);
    }

    [[nodiscard]] bool start(Job& job) noexcept override {
        const bool takes_work = job.work == Job::Work::read || job.work == Job::Work::write || job.work == Job::Work::flush;
        if (!takes_work || under_way_ == entries) return false;
        const auto parts = job.next_parts();
        io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);
        if (entry == nullptr) return false;
        const auto count = static_cast<unsigned>(parts.size());
        if (job.work == Job::Work::read) {
            ::io_uring_prep_readv(entry, job.fd, parts.data(), count, job.offset);
        } else if (job.work == Job::Work::write) {
            ::io_uring_prep_writev(entry, job.fd, parts.data(), count, job.offset);
        } else {
            ::io_uring_prep_fsync(entry, job.fd, IORING_FSYNC_DATASYNC);
        }
        ::io_uring_sqe_set_data(entry, &job);
        ++under_way_;
        return true;
    }

    bool submit() noexcept override {
        while (::io_uring_sq_ready(&ring_) != 0) {
            const int result = ::io_uring_submit(&ring_);
            // EAGAIN, EBUSY: the kernel has no memory just now, or wants its completions reaped.
            if (result < 0 && result != -EINTR) return false;
        }
        return true;
    }

    [[nodiscard]] int descriptor() const noexcept override { return ring_.ring_fd; }

    void reap(const Done& done) override {
        io_uring_cqe* completion = nullptr;
        while (::io_uring_peek_cqe(&ring_, &completion) == 0) {
            auto& job = *static_cast<Job*>(::io_uring_cqe_get_data(completion));
            const int result = completion->res;
            ::io_uring_cqe_seen(&ring_, completion);
            --under_way_;
            note(job, result);
            done(job);
        }
    }

    void wait() noexcept override {
        io_uring_cqe* completion = nullptr;
        static_cast<void>(::io_uring_submit(&ring_));
        static_cast<void>(::io_uring_wait_cqe(&ring_, &completion));
    }

private:
    /// A transfer that ended early has something left, and no error: whoever started it goes on.
    static void note(Job& job, int result) noexcept {
        if (result == -EINTR || result == -EAGAIN) return;
        if (result < 0) {
            job.error = {-result, std::generic_category()};
        } else if (job.work == Job::Work::flush) {
            job.left = 0;
        } else {
            job.advance(static_cast<std::uint64_t>(result));
        }
    }

    io_uring ring_{};
    bool made_ = false;
    unsigned under_way_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_uring(std::string& why) {
    int error = 0;
    auto ring = std::make_unique<Uring>(error);
    if (error == 0) return ring;
    why = fmt::format("io_uring: {}", reason(error));
    return nullptr;
}

}  // namespace asyncvm::block

#else

namespace asyncvm::block {

std::unique_ptr<Engine> make_uring(std::string& why) {
    why = "built without liburing";
    return nullptr;
}

}  // namespace asyncvm::block

#endif

/// Raw images and block devices.
#pragma once

#include "block/engine.hpp"
#include "block/error_log.hpp"
#include "block/file.hpp"

#include <asyncvm/block.hpp>

#include <memory>
#include <string>

namespace asyncvm::block {

enum class Engines : std::uint8_t { automatic, threads };

/// A read that the page cache can answer is answered at once. The rest goes to io_uring, where the kernel has it, or to
/// threads; what the first leaves unfinished the second ends.
class FileBackend final : public BlockBackend {
public:
    /// Throws Error(host) if the process has no descriptor left.
    FileBackend(DiskFile file, asio::io_context& loop, Log log, Engines engines = Engines::automatic);

    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }
    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) override;
    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) override;
    [[nodiscard]] awaitable<std::error_code> flush() override;
    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) override;
    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) override;
    [[nodiscard]] awaitable<void> resize(std::uint64_t size) override;
    [[nodiscard]] std::optional<std::uint64_t> allocated() const override;

private:
    [[nodiscard]] awaitable<std::error_code> run(std::shared_ptr<Job> job);
    [[nodiscard]] awaitable<std::error_code> run_copied(std::shared_ptr<Job> job);
    [[nodiscard]] awaitable<std::error_code> run_on_range(Job::Work work, std::uint64_t offset, std::uint64_t size);
    [[nodiscard]] std::error_code refusal(Job::Work work, std::uint64_t offset, std::uint64_t size) const noexcept;
    [[nodiscard]] awaitable<void> resize_file(std::uint64_t size);
    [[nodiscard]] bool is_aligned(const Job& job) const noexcept;

    DiskFile file_;
    ErrorLog errors_;
    bool reads_now_;  ///< perform_now() is worth a trial
    bool writes_now_;
    std::shared_ptr<Runner> ring_;
    std::shared_ptr<Runner> pool_;
    BlockProperties properties_;
};

}  // namespace asyncvm::block

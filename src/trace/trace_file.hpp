/// The file of a trace, and who writes it.
#pragma once

#include <asyncvm/log.hpp>
#include <asyncvm/trace.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "os/unique_fd.hpp"
#include "trace/recording.hpp"
#include "trace/timeline.hpp"

namespace asyncvm::trace {

/// Tells a Timeline, and writes what its format makes of that, whole events only. When the file can't be written any more it
/// says so once and lets everything go. After its constructor: one thread.
class TraceFile final : public Consumer {
public:
    /// Opens or empties the file. Throws Error(host).
    TraceFile(std::string path, TraceFormat format, std::string_view process, const Names& names, Log log);

    void add_source(unsigned cpu) override;
    void take(unsigned source, std::span<const Record> records) override;
    void flush() override;
    void finish(std::uint64_t dropped) override;

    /// Any thread.
    struct Counts {
        std::atomic<std::uint64_t> records = 0;  ///< that have been told
        std::atomic<std::uint64_t> bytes = 0;    ///< that have been written
        std::atomic<bool> failed = false;
    };
    [[nodiscard]] std::shared_ptr<const Counts> counts() const noexcept { return counts_; }

private:
    void write();
    void fail(int error);
    /// False: it was not ready within a second.
    [[nodiscard]] bool wait_until_writable() const;

    const std::string path_;
    const Log log_;
    UniqueFd fd_;
    std::string out_;
    std::unique_ptr<Format> format_;
    Timeline timeline_;
    const std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
    bool ending_ = false;
};

}  // namespace asyncvm::trace

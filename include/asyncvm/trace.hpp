/// A timeline of what a machine does, for ui.perfetto.dev: an observer that writes a file.
#pragma once

#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace asyncvm {

enum class TraceFormat : std::uint8_t {
    perfetto,  ///< Perfetto's protobuf
    json,      ///< Chrome's trace event format
};

/// How a trace has ended.
struct TraceEnd {
    std::uint64_t records = 0;  ///< that are in the file
    std::uint64_t lost = 0;     ///< that had no room, because the file could not be written as fast
    std::uint64_t bytes = 0;    ///< of the file
    bool failed = false;        ///< the file could not be written any more; the log has said why
};

/// One of a machine's observers (MachineConfig::observers), and of its chardevs (ChardevEnvironment::observer). Each thread
/// of the machine writes into a ring of its own, and one more thread writes the file: nobody waits for the file. When that
/// is too slow, events are dropped and counted.
class TraceRecorder : public Observer {
public:
    /// Writes what is left, and ends the thread. What happens later is in no trace. Once. Any thread, but not a hook.
    virtual TraceEnd finish() = 0;
};

struct TraceConfig {
    std::string path;  ///< is made, or emptied
    TraceFormat format = TraceFormat::perfetto;
    unsigned cpus = 1;               ///< of the machine
    std::string process{"asyncvm"};  ///< what the trace is called
    Log log{};                       ///< hears of a file that can't be written any more. The recorder's thread
};

/// Throws Error(host) if the file can't be made, or no thread started.
[[nodiscard]] std::shared_ptr<TraceRecorder> record_trace(TraceConfig config);

/// json for names that end so, perfetto for all others.
[[nodiscard]] TraceFormat trace_format_of(std::string_view path) noexcept;

}  // namespace asyncvm

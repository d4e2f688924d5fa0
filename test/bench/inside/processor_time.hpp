/// What this process has run, in all of its threads.
#pragma once

#include <time.h>

#include <chrono>

namespace asyncvm::bench {

[[nodiscard]] inline std::chrono::nanoseconds processor_time() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace asyncvm::bench

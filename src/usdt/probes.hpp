/// Static probes for bpftrace, perf and SystemTap, of provider asyncvm. Each is one NOP where nobody has attached; without
/// <sys/sdt.h> (Debian: systemtap-sdt-dev) there are none. docs/tracing.md has what they tell.
#pragma once

#ifdef ASYNCVM_HAS_USDT
#include <sys/sdt.h>
#define ASYNCVM_PROBE2(name, a, b) DTRACE_PROBE2(asyncvm, name, a, b)
#define ASYNCVM_PROBE3(name, a, b, c) DTRACE_PROBE3(asyncvm, name, a, b, c)
#define ASYNCVM_PROBE4(name, a, b, c, d) DTRACE_PROBE4(asyncvm, name, a, b, c, d)
#else
#define ASYNCVM_PROBE2(name, a, b) static_cast<void>(0)
#define ASYNCVM_PROBE3(name, a, b, c) static_cast<void>(0)
#define ASYNCVM_PROBE4(name, a, b, c, d) static_cast<void>(0)
#endif

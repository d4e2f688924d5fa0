// What most files of src/ include, parsed once instead of in each of them (src/meson.build). Files still include what they use:
// they compile without this header too (-Db_pch=false).
#include <asyncvm/asio.hpp>

#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#ifdef ASYNCVM_HAS_FMT
FMT_BEGIN_NAMESPACE
namespace detail {
extern template void vformat_to<char>(buffer<char>&, string_view, basic_format_args<buffer_context<char>>, locale_ref);  // text/fmt.cpp
}
FMT_END_NAMESPACE
#endif

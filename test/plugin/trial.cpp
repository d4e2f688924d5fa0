// Plugins that are wrong, one for each value of WRONG, and one whose device throws what a guest asks it to.
#include <asyncvm/plugin.hpp>

#include <asyncvm/error.hpp>

#include <array>
#include <stdexcept>
#include <system_error>

using namespace asyncvm;

#define RIGHT 0
#define NO_ENTRY 1
#define OTHER_VERSION 2
#define OTHER_TRAIT 3
#define MISSING_SYMBOL 4
#define NULL_INFO 5
#define NO_MAKE 6
#define NO_NAME 7
#define HIDDEN 8  // by its compiler's options

namespace asyncvm {
void there_is_no_such_function();
}

namespace {

/// A write to it chooses what the next read throws.
class Trial final : public StatelessDevice {
public:
    std::string_view name() const noexcept override { return "trial"; }

    awaitable<void> write(const Access& access) override {
        chosen_ = access.data;
        co_return;
    }

    awaitable<void> read(Access& access) override {
        switch (chosen_) {
            case 'r':
                throw std::runtime_error("thrown in the plugin");
            case 's':
                throw std::system_error(std::make_error_code(std::errc::no_space_on_device), "thrown in the plugin");
            case 'e':
                throw Error(ErrorKind::host, "thrown in the plugin");
            case 'i':
                throw 1;
            default:
                access.data = caught();
        }
        co_return;
    }

private:
    /// What is thrown in the library is caught in the plugin, too.
    static std::uint64_t caught() {
        const DeviceRequest request{"trial", {{"n", "x"}}};
        try {
            static_cast<void>(DeviceOptions(request).number("n", 1));
        } catch (const Error& error) {
            return error.kind() == ErrorKind::usage && std::uncaught_exceptions() == 0 ? 'c' : 'w';
        }
        return 'n';
    }

    std::uint64_t chosen_ = 0;
};

std::shared_ptr<Device> make_trial(const DeviceOptions& options, const DeviceHost&) {
    constexpr std::array<std::string_view, 5> choices{"device", "error", "exception", "other", "none"};
    switch (options.choice("make", choices)) {
        case 1:
            throw Error(ErrorKind::usage, "it says what is wrong");
        case 2:
            throw std::runtime_error("it is Monday");
        case 3:
            throw 1;
        case 4:
            return nullptr;
        default:
            return std::make_shared<Trial>();
    }
}

constexpr DeviceKey keys[]{{"make", "HOW", "what comes of it: device, error, exception, other or none"}};

constexpr DeviceKind kind{.name = WRONG == NO_NAME ? "" : "trial",
                          .help = "a device of the tests",
                          .keys = keys,
                          .size = 4,
                          .make = WRONG == NO_MAKE ? nullptr : make_trial};

}  // namespace

#if WRONG == RIGHT || WRONG == NO_MAKE || WRONG == NO_NAME || WRONG == HIDDEN
ASYNCVM_DEVICE_PLUGIN(kind)
#elif WRONG != NO_ENTRY
extern "C" const PluginInfo* asyncvm_device_plugin() {
    static auto traits = plugin_traits;
    if (WRONG == OTHER_TRAIT) ++traits[4].value;
#if WRONG == MISSING_SYMBOL
    there_is_no_such_function();
#endif
    static const PluginInfo info{plugin_abi_version + (WRONG == OTHER_VERSION ? 1 : 0),
                                 plugin_traits.size(),
                                 traits.data(),
                                 "a compiler",
                                 &plugin_shared,
                                 &kind};
    return WRONG == NULL_INFO ? nullptr : &info;
}
#else
extern const DeviceKind* const unused;
const DeviceKind* const unused = &kind;
#endif

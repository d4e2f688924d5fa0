#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>

namespace asyncvm {

AcceleratorChoice parse_accelerator_choice(std::string_view text) {
    if (text == "auto") return AcceleratorChoice::automatic;
    if (text == "kvm") return AcceleratorChoice::kvm;
    if (text == "unicorn") return AcceleratorChoice::unicorn;
    throw Error(ErrorKind::usage, fmt::format("unknown accelerator '{}' (kvm, unicorn or auto)", text));
}

#ifndef ASYNCVM_HAVE_UNICORN
std::unique_ptr<Accelerator> make_unicorn_accelerator(const UnicornOptions&) {
    throw Error(ErrorKind::host,
                "this asyncvm was built without Unicorn (install libunicorn-dev libboost-context-dev and build again)");
}
#endif

std::unique_ptr<Accelerator> make_accelerator(AcceleratorChoice choice, const Log& log, const KvmOptions& kvm,
                                              const UnicornOptions& unicorn) {
    if (choice == AcceleratorChoice::kvm) return make_kvm_accelerator(kvm);
    if (choice == AcceleratorChoice::unicorn) return make_unicorn_accelerator(unicorn);
    std::string why_not_kvm;
    try {
        return make_kvm_accelerator(kvm);
    } catch (const Error& error) {
        // Unicorn has its own features of the processor, and no interrupts.
        if (!kvm.cpu_features.empty() || (kvm.irqchip && !kvm.irqchip_optional)) throw;
        why_not_kvm = error.what();
    }
    try {
        auto software = make_unicorn_accelerator(unicorn);
        log(fmt::format("running on Unicorn, in software: {}", why_not_kvm));
        return software;
    } catch (const Error& error) {
        throw Error(ErrorKind::host, fmt::format("{}; and {}", why_not_kvm, error.what()));
    }
}

}  // namespace asyncvm

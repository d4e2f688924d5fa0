/// The host and its KVM, as far as Linux shows them.
#pragma once

#include <filesystem>
#include <string>

namespace asyncvm::probe {

struct Host {
    std::string linux_release;  ///< "6.1.0-18-amd64"
    std::string processor;      ///< "AMD EPYC-Rome Processor"
    std::string hypervisor;     ///< the hypervisor below this host: "KVM"; empty: none is visible
    std::string kvm;            ///< "kvm-amd, nested paging on"
    std::string module;         ///< "kvm-intel", "kvm-amd", another module's name; empty: not known
};

/// Reads /proc and /sys under `root`. Never fails: what can't be read stays empty or becomes "unknown".
[[nodiscard]] Host describe_host(const std::filesystem::path& root = "/");

/// Of a signature in CPUID leaf 0x40000000: "KVMKVMKVM" is "KVM". Unknown ones come back in quotation marks.
[[nodiscard]] std::string hypervisor_name(std::string_view signature);

}  // namespace asyncvm::probe

/// Which machine and which KVM this is, as far as Linux tells.
#pragma once

#include <filesystem>
#include <string>

namespace asyncvm::probe {

struct Host {
    std::string linux_release;  ///< "6.1.0-18-amd64"
    std::string processor;      ///< "AMD EPYC-Rome Processor"
    std::string hypervisor;     ///< whose guest this host is itself: "KVM"; empty: nobody's, as far as one can see
    std::string kvm;            ///< "kvm-amd, nested paging on"
    std::string module;         ///< "kvm-intel", "kvm-amd", another module's name; empty: not known
};

/// Reads /proc and /sys under `root`. Never fails: what can't be read stays empty or is said to be unknown.
[[nodiscard]] Host describe_host(const std::filesystem::path& root = "/");

/// Of a signature in CPUID leaf 0x40000000: "KVMKVMKVM" is "KVM". Unknown ones come back in quotation marks.
[[nodiscard]] std::string hypervisor_name(std::string_view signature);

}  // namespace asyncvm::probe

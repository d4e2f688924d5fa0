#include "probe/host.hpp"

#include <cpuid.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace asyncvm::probe {

namespace {

std::string first_line(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// The value of `key` in the first processor's part of /proc/cpuinfo.
std::string cpuinfo(const std::filesystem::path& root, std::string_view key) {
    std::ifstream file(root / "proc/cpuinfo");
    for (std::string line; std::getline(file, line) && !line.empty();) {
        const auto colon = line.find(':');
        if (colon == std::string::npos || !line.starts_with(key)) continue;
        if (line.find_first_not_of(" \t", key.size()) != colon) continue;
        const auto value = line.find_first_not_of(' ', colon + 1);
        return value == std::string::npos ? std::string() : line.substr(value);
    }
    return {};
}

bool has_word(std::string_view text, std::string_view word) {
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; at += word.size()) {
        const bool begins = at == 0 || text[at - 1] == ' ';
        const bool ends = at + word.size() == text.size() || text[at + word.size()] == ' ';
        if (begins && ends) return true;
    }
    return false;
}

std::string hypervisor_signature() {
    std::array<unsigned, 4> leaf{};
    __cpuid(0x40000000, leaf[0], leaf[1], leaf[2], leaf[3]);
    std::array<char, 13> text{};
    std::memcpy(text.data(), &leaf[1], 12);
    return text.data();
}

bool is_on(const std::string& parameter) { return parameter == "Y" || parameter == "1"; }

/// "kvm-intel, nested paging on": the second half is what decides most about how a guest's paging runs.
void describe_module(const std::filesystem::path& root, Host& host) {
    const auto modules = root / "sys/module";
    std::error_code ignored;
    for (const auto& [module, name, paging] : {std::array{"kvm_intel", "kvm-intel", "ept"}, {"kvm_amd", "kvm-amd", "npt"}}) {
        if (!std::filesystem::exists(modules / module, ignored)) continue;
        const auto parameter = first_line(modules / module / "parameters" / paging);
        host.module = name;
        host.kvm = parameter.empty()
                       ? host.module
                       : fmt::format("{}, nested paging ({}) {}", name, paging, is_on(parameter) ? "on" : "off");
        return;
    }
    for (const auto& entry : std::filesystem::directory_iterator(modules, ignored)) {
        const auto name = entry.path().filename().string();
        if (name.starts_with("kvm_") && !std::filesystem::equivalent(entry.path(), modules / "kvm", ignored)) {
            host.module = host.kvm = name;
            std::ranges::replace(host.module, '_', '-');
            host.kvm = host.module;
            return;
        }
    }
    const auto flags = cpuinfo(root, "flags");
    if (has_word(flags, "vmx") || has_word(flags, "svm")) {
        host.kvm = fmt::format("built into the kernel (the processor has {})", has_word(flags, "vmx") ? "VMX" : "SVM");
    } else {
        host.kvm = "in software, such as kvm-pvm: the processor shows neither VMX nor SVM";
    }
}

}  // namespace

std::string hypervisor_name(std::string_view signature) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> known{{
        {"KVMKVMKVM", "KVM"},
        {"TCGTCGTCGTCG", "QEMU's emulator (TCG)"},
        {"Microsoft Hv", "Hyper-V"},
        {"VMwareVMware", "VMware"},
        {"XenVMMXenVMM", "Xen"},
        {"VBoxVBoxVBox", "VirtualBox"},
        {"bhyve bhyve ", "bhyve"},
        {"ACRNACRNACRN", "ACRN"},
    }};
    for (const auto& [text, name] : known) {
        if (signature == text) return std::string(name);
    }
    return fmt::format("\"{}\"", signature);
}

Host describe_host(const std::filesystem::path& root) {
    Host host;
    host.linux_release = first_line(root / "proc/sys/kernel/osrelease");
    host.processor = cpuinfo(root, "model name");
    if (has_word(cpuinfo(root, "flags"), "hypervisor")) host.hypervisor = hypervisor_name(hypervisor_signature());
    describe_module(root, host);
    return host;
}

}  // namespace asyncvm::probe

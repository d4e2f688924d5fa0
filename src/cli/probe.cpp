#include "cli/probe.hpp"

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/outcome.hpp>

#include <string>
#include <vector>

#include "cli/console.hpp"
#include "probe/feature.hpp"
#include "probe/table.hpp"

namespace asyncvm::cli {

int run_probe(ProbeReport report) {
    std::vector<probe::Finding> findings;
    std::string unusable;
    try {
        static_cast<void>(make_kvm_accelerator());
        findings = probe::probe_all();
    } catch (const Error& error) {
        unusable = error.what();
    }
    print_out(report == ProbeReport::lines ? probe::format_lines(findings, unusable)
                                           : probe::format_table(probe::describe_host(), findings, unusable));
    return unusable.empty() ? exit_code::success : exit_code::host;
}

}  // namespace asyncvm::cli

#include "control/block_json.hpp"

#include <fmt/format.h>

#include <utility>

namespace asyncvm::control {

namespace {

bool is_full(std::error_code error) { return error == std::errc::no_space_on_device; }

std::string_view io_status(std::error_code error) {
    if (!error) return "ok";
    return is_full(error) ? "nospace" : "failed";
}

Json image(const Drive& drive) {
    Json json{{"virtual-size", drive.properties().size}, {"filename", drive.spec().source}, {"format", "raw"}};
    if (const auto allocated = drive.allocated()) json["actual-size"] = *allocated;
    json["dirty-flag"] = false;
    return json;
}

Json inserted(const Disk& disk) {
    const DiskSpec& spec = disk.drive->spec();
    Json json{{"file", spec.source},
              {"node-name", node_name(disk)},
              {"ro", disk.drive->properties().read_only},
              {"drv", "raw"},
              {"backing_file_depth", spec.snapshot ? 1 : 0},
              {"encrypted", false},
              {"detect_zeroes", "off"},
              {"write_threshold", 0},
              {"image", image(*disk.drive)},
              {"cache", {{"writeback", true}, {"direct", spec.direct}, {"no-flush", spec.snapshot}}}};
    if (spec.snapshot) json["backing_file"] = spec.source;
    for (const char* const limit : {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}) json[limit] = 0;
    return json;
}

void add(Json& stats, const std::string& name, const DriveCounts::Kind& kind, bool has_bytes) {
    if (has_bytes) stats[name + "_bytes"] = kind.bytes;
    stats[name + "_operations"] = kind.done;
    stats["failed_" + name + "_operations"] = kind.failed;
    stats[name + "_total_time_ns"] = kind.time.count();
}

}  // namespace

std::string node_name(const Disk& disk) { return "#" + disk.label; }

std::string device_path(const std::vector<Disk>& disks, const Disk& disk) {
    return fmt::format("/machine/disk[{}]", &disk - disks.data());
}

Json describe_disks(const std::vector<Disk>& disks) {
    Json all = Json::array();
    for (const Disk& disk : disks) {
        all.push_back({{"io-status", io_status(disk.drive->error())},
                       {"device", disk.label},
                       {"locked", false},
                       {"removable", false},
                       {"inserted", inserted(disk)},
                       {"qdev", device_path(disks, disk)},
                       {"type", "unknown"}});
    }
    return all;
}

Json count_disks(const std::vector<Disk>& disks) {
    Json all = Json::array();
    for (const Disk& disk : disks) {
        const DriveCounts& counts = disk.drive->counts();
        Json stats = Json::object();
        add(stats, "rd", counts.read, true);
        add(stats, "wr", counts.write, true);
        add(stats, "flush", counts.flush, false);
        add(stats, "unmap", counts.discard, true);
        for (const char* const none : {"rd_merged", "wr_merged", "unmap_merged"}) stats[none] = 0;
        stats["wr_highest_offset"] = counts.written_end;
        stats["account_invalid"] = false;
        stats["account_failed"] = true;
        stats["timed_stats"] = Json::array();
        all.push_back({{"device", disk.label},
                       {"qdev", device_path(disks, disk)},
                       {"node-name", node_name(disk)},
                       {"stats", std::move(stats)}});
    }
    return all;
}

Json io_error(const Disk& disk, bool writes, std::error_code error) {
    return {{"device", disk.label}, {"node-name", node_name(disk)}, {"operation", writes ? "write" : "read"},
            {"action", "report"},   {"nospace", is_full(error)},    {"reason", error.message()}};
}

}  // namespace asyncvm::control

#include "control/machine_commands.hpp"
#include "stats/state_name.hpp"

namespace asyncvm::control {

namespace {

Json times(const TimesTaken& taken) {
    return {{"count", taken.count},
            {"total-ns", taken.total.count()},
            {"p50-ns", taken.p50.count()},
            {"p99-ns", taken.p99.count()}};
}

std::string_view name_of(Space space) { return space == Space::port ? "port" : "memory"; }

Json place(const PlaceStatistics& at) {
    return {{"space", name_of(at.space)},
            {"address", at.range.first},
            {"size", at.range.size},
            {"device", at.device},
            {"reads", at.reads},
            {"writes", at.writes},
            {"bytes", at.bytes},
            {"posted", at.posted},
            {"in-guest", times(at.in_guest)},
            {"in-device", times(at.in_device)},
            {"waiting", times(at.waiting)}};
}

Json processor(const CpuStatistics& cpu) {
    Json json{{"state", state_name(cpu.state)},      {"since-ns", cpu.since.count()},
              {"in-guest-ns", cpu.in_guest.count()}, {"in-device-ns", cpu.in_device.count()},
              {"waiting-ns", cpu.waiting.count()},   {"wake-ups", cpu.wake_ups}};
    if (cpu.place) json["place"] = *cpu.place;
    return json;
}

}  // namespace

Json to_json(const Statistics& statistics) {
    Json exits = Json::object();
    for (const auto& [kind, count] : statistics.exits) exits[std::string(kind)] = count;
    Json places = Json::array();
    for (const auto& at : statistics.places) places.push_back(place(at));
    Json cpus = Json::array();
    for (const auto& cpu : statistics.cpus) cpus.push_back(processor(cpu));
    Json unclaimed = Json::array();
    for (const auto& [space, at] : statistics.unclaimed) {
        unclaimed.push_back(
            {{"space", name_of(space)}, {"address", at.address}, {"reads", at.reads}, {"writes", at.writes}});
    }
    return {{"elapsed-ns", statistics.elapsed.count()},
            {"exits", std::move(exits)},
            {"places", std::move(places)},
            {"cpus", std::move(cpus)},
            {"no-device", std::move(unclaimed)},
            {"loop-wake-ups", statistics.loop_wake_ups}};
}

}  // namespace asyncvm::control

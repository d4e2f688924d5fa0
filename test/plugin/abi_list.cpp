// What a plugin has compiled into it of the classes that it shares with the program: sizes, the places of members and of
// virtual functions. One line each; abi_test.py compares them.
#include <asyncvm/plugin.hpp>

#include <asyncvm/chardev.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/sleep.hpp>

#include <cstddef>
#include <cstdio>
#include <cstring>

using namespace asyncvm;

namespace {

void line(const char* what, std::size_t value) { std::printf("%s %zu\n", what, value); }

/// The place in the table of virtual functions: Itanium C++ ABI, 2.3, member function pointers.
template <class Function>
std::size_t slot(Function function) {
    std::size_t encoded = 0;
    std::memcpy(&encoded, &function, sizeof encoded);
    return (encoded - 1) / sizeof(void*);
}

#pragma GCC diagnostic ignored "-Winvalid-offsetof"  // g++ and clang++ do it for these, too
#define SIZE(type) line("size " #type, sizeof(type))
#define MEMBER(type, member) line("member " #type "::" #member, offsetof(type, member))
#define VIRTUAL(type, function) line("virtual " #type "::" #function, slot(&type::function))

}  // namespace

int main() {
    line("version", plugin_abi_version);

    SIZE(Access);
    MEMBER(Access, space);
    MEMBER(Access, size);
    MEMBER(Access, cpu);
    MEMBER(Access, address);
    MEMBER(Access, offset);
    MEMBER(Access, data);
    SIZE(Doorbell);
    MEMBER(Doorbell, offset);
    MEMBER(Doorbell, size);
    MEMBER(Doorbell, data);
    MEMBER(Doorbell, eventfd);

    SIZE(Device);
    VIRTUAL(Device, name);
    VIRTUAL(Device, attached);
    VIRTUAL(Device, affinity);
    VIRTUAL(Device, concurrent);
    VIRTUAL(Device, max_access_size);
    VIRTUAL(Device, write);
    VIRTUAL(Device, read);
    VIRTUAL(Device, write_string);
    VIRTUAL(Device, read_string);
    VIRTUAL(Device, posts);
    VIRTUAL(Device, doorbells);
    VIRTUAL(Device, rung);
    VIRTUAL(Device, run);
    VIRTUAL(Device, before_reset);
    VIRTUAL(Device, reset);
    VIRTUAL(Device, save);
    VIRTUAL(Device, restore);

    SIZE(DeviceContext);
    MEMBER(DeviceContext, log);
    MEMBER(DeviceContext, gate);
    MEMBER(DeviceContext, irq);
    MEMBER(DeviceContext, interrupts);
    MEMBER(DeviceContext, machine);
    VIRTUAL(MachineClock, now);
    VIRTUAL(MachineClock, time_of_day);
    VIRTUAL(MachineClock, wait_until);
    VIRTUAL(MachineClock, wait);
    VIRTUAL(RandomSource, fill);
    VIRTUAL(InterruptController, connect);
    VIRTUAL(InterruptController, set);
    VIRTUAL(InterruptController, expect_messages);
    VIRTUAL(InterruptController, signal);
    VIRTUAL(InterruptController, attach_irqfd);
    VIRTUAL(InterruptController, detach_irqfd);
    VIRTUAL(InterruptController, route);

    SIZE(DeviceHost);
    MEMBER(DeviceHost, finish);
    MEMBER(DeviceHost, open_chardev);
    MEMBER(DeviceHost, log);
    MEMBER(DeviceHost, occupant);
    MEMBER(DeviceHost, power_off);
    MEMBER(DeviceHost, reset);
    SIZE(DeviceKey);
    SIZE(DeviceKind);
    MEMBER(DeviceKind, name);
    MEMBER(DeviceKind, help);
    MEMBER(DeviceKind, keys);
    MEMBER(DeviceKind, ports);
    MEMBER(DeviceKind, size);
    MEMBER(DeviceKind, by_default);
    MEMBER(DeviceKind, reads);
    MEMBER(DeviceKind, movable);
    MEMBER(DeviceKind, make);
    SIZE(DeviceOptions);
    SIZE(DeviceRequest);
    SIZE(AddressRange);
    VIRTUAL(Bus, attach);
    VIRTUAL(Bus, attach_movable);
    VIRTUAL(Bus, devices);
    VIRTUAL(Bus, ranges);
    VIRTUAL(Bus, device_name);
    VIRTUAL(Bus, unclaimed);
    VIRTUAL(Bus, unclaimed_addresses);

    SIZE(PluginInfo);
    MEMBER(PluginInfo, abi_version);
    MEMBER(PluginInfo, trait_count);
    MEMBER(PluginInfo, traits);
    MEMBER(PluginInfo, compiler);
    MEMBER(PluginInfo, shared);
    MEMBER(PluginInfo, kind);

    SIZE(Chardev);
    VIRTUAL(Chardev, write_some);
    VIRTUAL(Chardev, writable);
    VIRTUAL(Chardev, room);
    VIRTUAL(Chardev, read_some);
    VIRTUAL(Chardev, take_break);
    VIRTUAL(Chardev, send_break);
    VIRTUAL(Chardev, give_back);
    VIRTUAL(Chardev, readable);
    VIRTUAL(Chardev, connected);
    VIRTUAL(Chardev, terminal_size);
    VIRTUAL(Chardev, ready);
    VIRTUAL(Chardev, drain);
    VIRTUAL(Chardev, traffic);
    VIRTUAL(Chardev, undelivered);
    VIRTUAL(Chardev, close);
    VIRTUAL(Chardev, description);

    SIZE(Error);
    SIZE(Event);
    SIZE(GuestMemory);
    SIZE(GuestMemory::Region);
    SIZE(IrqLine);
    SIZE(IrqPin);
    SIZE(Log);
    SIZE(MsiMessage);
    SIZE(OneShot);
    SIZE(Outcome);
    SIZE(PauseGate);
    SIZE(StateReader);
    SIZE(StateWriter);
}

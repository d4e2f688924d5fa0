// The control socket of the real program, with clients that speak for themselves and with the program's own.
#define BOOST_TEST_MODULE control
#include "control_vm.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <string>
#include <string_view>
#include <vector>

using namespace program_test;

namespace {

/// In 32-bit mode: mov al, 'S'; out 0xe9, al; mov dx, 0x3fd; poll: in al, dx; test al, 1; jz poll; ud2 -- dies of a byte
const std::string crashing_guest = guest_code("\xb0S\xe6\xe9\x66\xba\xfd\x03\xec\xa8\x01\x74\xfb\x0f\x0b");

/// mov al, 'S'; out 0xe9, al; mov dx, 0x3fd; poll: in al, dx; test al, 0x10; jz poll; mov al, 'B'; out 0xe9, al; jmp $ --
/// says when a BREAK has come
const std::string breakable_guest = guest_code("\xb0S\xe6\xe9\xba\xfd\x03\xec\xa8\x10\x74\xfb\xb0\x42\xe6\xe9\xeb\xfe");

/// xor ax, ax; mov ds, ax; mov word [8], nmi; mov [10], cs; mov al, 'S'; out 0xe9, al; jmp $; nmi: mov al, 'N'; out 0xe9,
/// al; iret
const std::string interrupted_guest =
    guest_code("\x31\xc0\x8e\xd8\xc7\x06\x08\x00\x14\x00\x8c\x0e\x0a\x00\xb0S\xe6\xe9\xeb\xfe\xb0N\xe6\xe9\xcf");

struct Counting : Running {
    Counting() : Running(spinning_guest, {"--stats"}) {}
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_guest_is_stopped_and_goes_on_and_the_events_come_before_the_answers, Running) {
    BOOST_TEST(peer->ask(R"({"execute":"query-status","id":1})") ==
               R"({"return":{"status":"running","singlestep":false,"running":true},"id":1})");
    peer->say(R"({"execute":"stop","id":2}{"execute":"stop","id":3}{"execute":"query-status"})");
    BOOST_TEST(peer->event() == R"("STOP"})");
    BOOST_TEST(peer->line() == R"({"return":{},"id":2})");
    BOOST_TEST(peer->line() == R"({"return":{},"id":3})");
    BOOST_TEST(peer->line() == R"({"return":{"status":"paused","singlestep":false,"running":false}})");
    peer->say(R"({"execute":"cont","id":4}{"execute":"cont","id":5})");
    BOOST_TEST(peer->event() == R"("RESUME"})");
    BOOST_TEST(peer->line() == R"({"return":{},"id":4})");
    BOOST_TEST(peer->line() == R"({"return":{},"id":5})");
}

BOOST_FIXTURE_TEST_CASE(a_reset_starts_the_guest_anew, Running) {
    peer->say(R"({"execute":"system_reset"})");
    BOOST_TEST(peer->event() == R"("RESET","data":{"guest":false,"reason":"host-qmp-system-reset"}})");
    BOOST_TEST(peer->line() == R"({"return":{}})");
    child->wait_for_output("SS");
}

BOOST_FIXTURE_TEST_CASE(quit_is_answered_and_ends_well, Running) {
    peer->say(R"({"execute":"quit","id":1})");
    BOOST_TEST(peer->event() == R"("SHUTDOWN","data":{"guest":false,"reason":"host-qmp-quit"}})");
    BOOST_TEST(peer->line() == R"({"return":{},"id":1})");
    BOOST_TEST(peer->line().empty());
    const auto& ended = child->wait();
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.err.find("stopped by quit") != std::string::npos, ended.err);
    struct stat status {};
    BOOST_TEST(::stat(socket.c_str(), &status) != 0);
}

BOOST_FIXTURE_TEST_CASE(a_paused_guest_can_be_ended, Running) {
    peer->say(R"({"execute":"stop"})");
    BOOST_TEST(peer->event() == R"("STOP"})");
    child->send_signal(SIGTERM);
    BOOST_TEST(peer->line() == R"({"return":{}})");
    BOOST_TEST(peer->event() == R"("SHUTDOWN","data":{"guest":false,"reason":"host-signal"}})");
    BOOST_TEST(child->wait().code == 143);
}

BOOST_AUTO_TEST_CASE(a_guest_that_dies_says_so_with_its_report) {
    TemporaryDirectory files;
    Running vm(crashing_guest, {"--mode", "32"}, "unix:" + files.file("serial"));
    const Peer key(files.file("serial"));
    BOOST_TEST(vm.peer->event() == R"("CLIENT-CONNECTED","data":{"label":"serial0"}})");
    key.say("x");
    const auto crash = vm.peer->event();
    BOOST_TEST(crash.starts_with(R"("CRASH","data":{"summary":"triple fault)"), crash);
    // What the guest had in its registers is lost on AMD.
    BOOST_TEST(crash.find("in 0x3fd -> 0x61") != std::string::npos, crash);
    BOOST_TEST(vm.peer->event() == R"("SHUTDOWN","data":{"guest":true,"reason":"guest-panic"}})");
    BOOST_TEST(vm.peer->event() == R"("CLIENT-DISCONNECTED","data":{"label":"serial0"}})");
    BOOST_TEST(vm.peer->line().empty());
    BOOST_TEST(vm.child->wait().code == 80);
}

BOOST_FIXTURE_TEST_CASE(memory_goes_to_a_file_by_both_addresses, Running) {
    const auto code = file("code");
    for (const std::string_view command : {"memsave", "pmemsave"}) {
        std::filesystem::remove(code);
        BOOST_TEST(peer->ask("{\"execute\":\"" + std::string(command) +
                             R"(","arguments":{"val":65536,"size":6,"filename":")" + code + "\"}}") == R"({"return":{}})");
        BOOST_TEST(read_file(code) == spinning_guest);
    }
    const auto outside =
        peer->ask(R"({"execute":"pmemsave","arguments":{"val":134217720,"size":16,"filename":")" + code + "\"}}");
    BOOST_TEST(outside.find("8 of 16 bytes") != std::string::npos, outside);
    BOOST_TEST(std::filesystem::file_size(code) == 8u);
    BOOST_TEST(peer->ask(R"({"execute":"pmemsave","arguments":{"val":0,"size":1,"filename":"/nowhere/at/all"}})")
                   .find("no such file") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(virtual_addresses_are_the_guests_and_physical_ones_are_not) {
    // In 64-bit mode a guest begins with the first 4 GiB mapped, and has memory above.
    Running vm(spinning_guest, {"--mode", "64", "--memory", "4G"});
    const auto save = [&](std::string_view command) {
        return vm.peer->ask("{\"execute\":\"" + std::string(command) +
                            R"(","arguments":{"val":4294967296,"size":16,"filename":")" + vm.file("page") + "\"}}");
    };
    BOOST_TEST(save("pmemsave") == R"({"return":{}})");
    BOOST_TEST(save("memsave").find("there is no memory at virtual address 0x100000000") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_nmi_reaches_each_vcpu_and_where_there_is_none_that_is_said) {
    Running vm(interrupted_guest, {"--cpus", "2"});
    vm.child->wait_for_output("SS");
    const auto answer = vm.peer->ask(R"({"execute":"inject-nmi"})");
    if (why_no_kvm().empty()) {
        BOOST_TEST(answer == R"({"return":{}})");
        vm.child->wait_for_output("SSNN");
    } else {
        BOOST_TEST(answer.find("the accelerator has none") != std::string::npos, answer);
    }
}

BOOST_AUTO_TEST_CASE(a_break_reaches_the_serial_port) {
    const TemporaryDirectory files;
    Running vm(breakable_guest, {}, "unix:" + files.file("serial"));
    BOOST_TEST(vm.peer->ask(R"({"execute":"chardev-send-break","arguments":{"id":"serial1"}})") ==
               R"({"error":{"class":"GenericError","desc":"Chardev 'serial1' not found"}})");
    BOOST_TEST(vm.child->out() == "S");
    BOOST_TEST(vm.peer->ask(R"({"execute":"chardev-send-break","arguments":{"id":"serial0"}})") == R"({"return":{}})");
    vm.child->wait_for_output("SB");
}

BOOST_FIXTURE_TEST_CASE(what_the_machine_consists_of_is_told, Counting) {
    BOOST_TEST(peer->ask(R"({"execute":"query-devices"})")
                   .find(R"({"device":"uart16550","space":"port","address":1016,"size":8})") != std::string::npos);
    BOOST_TEST(peer->ask(R"({"execute":"query-chardev"})").find(R"({"label":"serial0","filename":"null")") !=
               std::string::npos);
    BOOST_TEST(peer->ask(R"({"execute":"query-cpus-fast"})").find(R"({"cpu-index":0,)") != std::string::npos);
    BOOST_TEST(peer->ask(R"({"execute":"query-stats"})").find(R"("device":"debugcon","reads":0,"writes":1)") !=
               std::string::npos);
    const auto report = peer->ask(R"({"execute":"human-monitor-command","arguments":{"command-line":"info report"}})");
    BOOST_TEST(report.starts_with(R"({"return":"running at 0x1000)"), report);
    BOOST_TEST(peer->ask(R"({"execute":"human-monitor-command","arguments":{"command-line":"nope"}})") ==
               R"({"return":"unknown command: 'nope'\r\n"})");
}

BOOST_FIXTURE_TEST_CASE(memory_and_registers_are_looked_at_while_the_guest_runs, Running) {
    child->wait_for_output("S");
    const auto say = [this](const std::string& line, const std::string& more = "") {
        return peer->ask(R"({"execute":"human-monitor-command","arguments":{"command-line":")" + line + "\"" + more + "}}");
    };
    const std::string code = R"({"return":"0000000000010000: 0xb0 0x53 0xe6 0xe9 0xeb 0xfe\r\n"})";
    BOOST_TEST(say("x /6xb 0x10000") == code);
    BOOST_TEST(say("xp /6xb $cs.base+0x1*0x10000-$cs.base") == code);
    BOOST_TEST(say("x/1xb 0xfffffffff000").find("Cannot access memory") != std::string::npos);
    BOOST_TEST(say("x") == R"({"return":"unexpected end of expression\r\nTry \"help\" for more information\r\n"})");
    BOOST_TEST(say("xp /1048577xb 0").find("at most 1048576 bytes") != std::string::npos);
    BOOST_TEST(say("x /70000i 0").find("at most 1048576 bytes") != std::string::npos);
    BOOST_TEST(say("p $pc-0x10004") == R"({"return":"0x0\r\n"})");
    BOOST_TEST(say("print /d 2-3") == R"({"return":"-1\r\n"})");
    BOOST_TEST(say("gva2gpa 0x10004") == R"({"return":"gpa: 0x10004\r\n"})");
    BOOST_TEST(say("x /1i $pc").starts_with(R"({"return":"0x00010004:  eb fe )"));
    BOOST_TEST(say("x /3i 0xffffffffffff").find("unable to read memory") != std::string::npos);
    BOOST_TEST(say("info registers").find("EAX=") != std::string::npos);
    BOOST_TEST(say("info registers -a").starts_with(R"({"return":"\r\nCPU#0\r\n)"));
    BOOST_TEST(say("info registers 1") == R"({"return":"CPU#1 not available\r\n"})");
    BOOST_TEST(say("info cpus").starts_with(R"({"return":"* CPU #0: thread_id=)"));
    BOOST_TEST(say("x /1xb 0", R"(,"cpu-index":1)").find("Parameter 'cpu-index' expects") != std::string::npos);
    BOOST_TEST(say("xq") == R"({"return":"unknown command: 'xq'\r\n"})");
    BOOST_TEST(say("?").find("gva2gpa ADDRESS") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_client_that_says_nonsense_or_leaves_in_the_middle_disturbs_nobody, Running) {
    Peer other(socket);
    BOOST_TEST(!other.line().empty());
    BOOST_TEST(other.ask("}{]").find("JSON parse error") != std::string::npos);
    {
        Peer third(socket);
        third.say(R"({"execute":"qmp_cap)");
    }
    BOOST_TEST(peer->ask(R"({"execute":"query-status"})").find("running") != std::string::npos);
    BOOST_TEST(peer->ask(R"({"execute":"query-stats"})").find("--stats") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_client_that_comes_while_there_is_no_descriptor_is_served_later, Running) {
    rlimit before{};
    BOOST_TEST_REQUIRE(::prlimit(child->pid(), RLIMIT_NOFILE, nullptr, &before) == 0);
    const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
    BOOST_TEST_REQUIRE(::prlimit(child->pid(), RLIMIT_NOFILE, &none, nullptr) == 0);
    Peer late(socket);
    // Answered after the program has been woken by that client.
    BOOST_TEST(peer->ask(R"({"execute":"query-status"})").find("running") != std::string::npos);
    BOOST_TEST_REQUIRE(::prlimit(child->pid(), RLIMIT_NOFILE, &before, nullptr) == 0);
    BOOST_TEST(late.line().starts_with(R"({"QMP":)"));
}

BOOST_FIXTURE_TEST_CASE(a_client_too_many_waits_until_another_one_leaves, Running) {
    std::vector<std::unique_ptr<Peer>> others;
    while (others.size() < 15) {
        others.push_back(std::make_unique<Peer>(socket));
        BOOST_TEST(!others.back()->line().empty());
    }
    Peer late(socket);
    for (int i = 0; i < 3; ++i) BOOST_TEST(!peer->ask(R"({"execute":"query-status"})").empty());
    BOOST_TEST(late.has_nothing());
    others.pop_back();
    BOOST_TEST(late.line().starts_with(R"({"QMP":)"));
}

BOOST_FIXTURE_TEST_CASE(the_socket_is_its_users_alone, Running) {
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat(socket.c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 07777) == 0600);
}

BOOST_AUTO_TEST_CASE(clients_of_streams_are_events) {
    TemporaryDirectory files;
    const auto serial = files.file("serial");
    Running vm(spinning_guest, {"--console", "unix:" + serial});
    {
        const Peer client(serial);
        BOOST_TEST(vm.peer->event() == R"("CLIENT-CONNECTED","data":{"label":"console0"}})");
    }
    BOOST_TEST(vm.peer->event() == R"("CLIENT-DISCONNECTED","data":{"label":"console0"}})");
}

BOOST_AUTO_TEST_CASE(a_guest_can_be_held_before_its_first_instruction) {
    TemporaryDirectory files;
    write_file(files.file("guest"), spinning_guest);
    Child child(asyncvm({"--control", "unix:" + files.file("control"), "-S", "--serial", "null", files.file("guest")}));
    const auto said = child.wait_for_error_line("the control socket is");
    BOOST_TEST(said.ends_with("; the guest waits for cont (asyncvm ctl PATH cont)"), said);
    Peer peer(files.file("control"));
    BOOST_TEST(peer.line().starts_with(R"({"QMP":)"));
    BOOST_TEST(peer.ask(negotiate) == R"({"return":{}})");
    BOOST_TEST(peer.ask(R"({"execute":"query-status"})") ==
               R"({"return":{"status":"prelaunch","singlestep":false,"running":false}})");
    BOOST_TEST(peer.ask(R"({"execute":"stop"})") == R"({"return":{}})");
    BOOST_TEST(child.out().empty());
    peer.say(R"({"execute":"cont"})");
    BOOST_TEST(peer.event() == R"("RESUME"})");
    BOOST_TEST(peer.line() == R"({"return":{}})");
    child.wait_for_output("S");
    BOOST_TEST(peer.ask(R"({"execute":"query-status"})").find("running") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_connection_can_be_inherited) {
    TemporaryDirectory files;
    write_file(files.file("guest"), spinning_guest);
    int ends[2];
    BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    Child child(asyncvm({"--control", "fd:" + std::to_string(ends[1]), "--serial", "null", files.file("guest")}));
    ::close(ends[1]);
    Peer peer(ends[0]);
    BOOST_TEST(peer.line().starts_with(R"({"QMP":)"));
    BOOST_TEST(peer.ask(negotiate) == R"({"return":{}})");
    peer.say(R"({"execute":"quit"})");
    BOOST_TEST(child.wait().code == 0);
}

BOOST_FIXTURE_TEST_CASE(the_programs_own_client_asks_and_is_refused, Counting) {
    const auto status = run_asyncvm({"ctl", socket, "query-status"});
    BOOST_TEST(status.code == 0);
    BOOST_TEST(status.out == "{\n  \"status\": \"running\",\n  \"singlestep\": false,\n  \"running\": true\n}\n");
    const auto save =
        run_asyncvm({"ctl", "unix:" + socket, "pmemsave", "val=0x10000", "size=6", "filename=" + file("code")});
    BOOST_TEST(save.code == 0);
    BOOST_TEST(save.out.empty());
    BOOST_TEST(read_file(file("code")) == spinning_guest);
    const auto refused = run_asyncvm({"ctl", socket, "nope"});
    BOOST_TEST(refused.code == 88);
    BOOST_TEST(refused.err == "asyncvm: nope: The command nope has not been found (asyncvm ctl --commands lists them)\n");
    Child top(asyncvm({"top", socket, "0.1"}));
    top.wait_for_output("vcpu0 in-guest");
    Child events(asyncvm({"ctl", socket, "events"}));
    BOOST_TEST(run_asyncvm({"ctl", socket, "human-monitor-command", "command-line=info status"}).out ==
               "VM status: running\n");
    BOOST_TEST(run_asyncvm({"ctl", socket, "quit"}).code == 0);
    BOOST_TEST(top.wait().code == 0);
    static_cast<void>(events.wait());
}

BOOST_AUTO_TEST_CASE(page_tables_and_maps_are_looked_at_while_the_guest_runs) {
    Running vm(spinning_guest, {"--mode", "64", "--cpus", "2", "--memory", "16M"});
    const auto say = [&vm](const std::string& line, const std::string& more = "") {
        return vm.peer->ask(R"({"execute":"human-monitor-command","arguments":{"command-line":")" + line + "\"" + more + "}}");
    };
    BOOST_TEST(say("info mem") == R"({"return":"0000000000000000-0000000100000000 0000000100000000 -rw\r\n"})");
    const auto pages = say("info tlb", R"(,"cpu-index":1)");
    BOOST_TEST(pages.starts_with(R"({"return":"0000000000000000: 0000000000000000 )"), pages.substr(0, 200));
    BOOST_TEST(pages.find(R"(\r\n0000000000200000: 0000000000200000 --P)") != pages.npos, pages.substr(0, 200));
    BOOST_TEST(say("tlb 0x10004").find("0x10004 is at 0x10004, in a page of ") != std::string::npos);
    BOOST_TEST(say("info mtree").find(R"(0x0000000000000000-0x0000000000ffffff  ram\r\n)") != std::string::npos);
    BOOST_TEST(say("info exits").starts_with(R"({"return":"last exits, the newest last)"));
    BOOST_TEST(say("info irqchip").find("no interrupt controllers") != std::string::npos);
    BOOST_TEST(say("info lapic") == say("info pic"));
    BOOST_TEST(say("info registers", R"(,"cpu-index":1)").starts_with(R"({"return":"\r\nCPU#1\r\n)"));
    BOOST_TEST(say("info registers 1").starts_with(R"({"return":"\r\nCPU#1\r\n)"));
    BOOST_TEST(say("info mem 1").starts_with(R"({"return":"extraneous characters at the end of line\r\nTry \"help\")"));
    const auto help = say("help");
    for (const char* const part : {"cpu N", "info mem ", "info irqchip|info pic ", "tlb ADDRESS"})
        BOOST_TEST(help.find(part) != help.npos, part);
}

BOOST_FIXTURE_TEST_CASE(scripts_find_out_what_they_talk_to, Counting) {
    BOOST_TEST(peer->ask(R"({"execute":"query-name"})") == R"({"return":{}})");
    BOOST_TEST(peer->ask(R"({"execute":"query-target"})") == R"({"return":{"arch":"x86_64"}})");
    BOOST_TEST(peer->ask(R"({"execute":"query-memory-size-summary"})") == R"({"return":{"base-memory":134217728}})");
    const std::string kvm = why_no_kvm().empty() ? "true" : "false";
    BOOST_TEST(peer->ask(R"({"execute":"query-kvm"})") == R"({"return":{"enabled":)" + kvm + R"(,"present":)" + kvm + "}}");
    const auto say = [this](const std::string& line) {
        return peer->ask(R"({"execute":"human-monitor-command","arguments":{"command-line":")" + line + "\"}}");
    };
    // As QEMU answers.
    BOOST_TEST(say("cpu 0") == R"({"return":""})");
    BOOST_TEST(say("cpu 0x1-1") == R"({"return":""})");
    BOOST_TEST(say("cpu 1") == R"({"return":"invalid CPU index\r\n"})");
    BOOST_TEST(say("cpu -1") == R"({"return":"invalid CPU index\r\n"})");
    BOOST_TEST(say("cpu").starts_with(R"({"return":"unexpected end of expression\r\n)"));
    BOOST_TEST(say("cpus") == R"({"return":"unknown command: 'cpus'\r\n"})");
}

BOOST_AUTO_TEST_CASE(a_machine_that_is_emulated_says_whether_kvm_is_there) {
    const TemporaryDirectory files;
    write_file(files.file("guest"), halting_guest);
    if (const auto tried = run_asyncvm({"--accel", "unicorn", files.file("guest")}); tried.code != 0) {
        BOOST_TEST_MESSAGE("not tested, no Unicorn: " << tried.err);
        return;
    }
    Running vm(spinning_guest, {"--accel", "unicorn"});
    const std::string present = why_no_kvm().empty() ? "true" : "false";
    BOOST_TEST(vm.peer->ask(R"({"execute":"query-kvm"})") == R"({"return":{"enabled":false,"present":)" + present + "}}");
}

BOOST_AUTO_TEST_CASE(what_is_no_socket_is_named) {
    TemporaryDirectory files;
    const auto absent = run_asyncvm({"ctl", files.file("nobody"), "stop"});
    BOOST_TEST(absent.code == 72);
    BOOST_TEST(absent.err.find("no asyncvm runs with --control") != std::string::npos, absent.err);
    write_file(files.file("guest"), halting_guest);
    BOOST_TEST(run_asyncvm({"--control", "tcp:1", files.file("guest")}).code == 64);
    BOOST_TEST(run_asyncvm({"--control", "fd:99", files.file("guest")}).code == 72);
    BOOST_TEST(run_asyncvm({"--control", "unix:" + files.file("vm") + ",wait", files.file("guest")}).code == 64);
    BOOST_TEST(run_asyncvm({"--control", "unix:" + files.file("vm") + ",server=on,wait=off", files.file("guest")})
                   .err.find("the control socket is unix:" + files.file("vm") + "\n") != std::string::npos);
    BOOST_TEST(run_asyncvm({"--control", "unix:" + files.file("no/folder"), files.file("guest")}).code == 72);
    BOOST_TEST(run_asyncvm({"ctl", "x"}).code == 64);
    BOOST_TEST(run_asyncvm({"top", "x", "0"}).code == 64);
}

// A running program that is told to send its streams elsewhere: by QMP, by `asyncvm ctl`, by the monitor's words.
#define BOOST_TEST_MODULE chardev
#include "client.hpp"
#include "control_vm.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace program_test;

namespace {

/// mov dx, 0x3f8; mov al, 'S'; out 0xe9, al; xor cx, cx; next: inc cx; mov ax, cx; out dx, al; xchg ah, al; out dx, al; jmp
/// next -- counts without end
const std::string counting_guest = guest_code("\xba\xf8\x03\xb0S\xe6\xe9\x31\xc9\x41\x89\xc8\xee\x86\xc4\xee\xeb\xf7");

/// mov al, 'S'; out 0xe9, al; mov dx, 0x3fe; up: in al, dx; test al, 0x80; jz up; mov al, 'C'; out 0xe9, al; down: in al,
/// dx; test al, 0x80; jnz down; mov al, 'D'; out 0xe9, al; jmp up -- says when the carrier comes and goes
const std::string carrier_guest =
    guest_code("\xb0S\xe6\xe9\xba\xfe\x03\xec\xa8\x80\x74\xfb\xb0\x43\xe6\xe9\xec\xa8\x80\x75\xfb\xb0\x44\xe6\xe9\xeb\xec");

bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

std::string change(const std::string& backend) {
    return R"({"execute":"chardev-change","arguments":{"id":"serial0","backend":)" + backend + "}}";
}

std::string to_unix(const std::string& path) {
    return change(R"({"type":"socket","data":{"addr":{"type":"unix","data":{"path":")" + path + R"("}},"server":true}})");
}

std::string error(std::string_view description) {
    return R"({"error":{"class":"GenericError","desc":")" + std::string(description) + "\"}}";
}

/// The answer, whatever events come before it.
std::string answer(Peer& peer, std::string_view command) {
    auto line = peer.ask(command);
    while (line.find("\"event\"") != std::string::npos) line = peer.line();
    return line;
}

/// A client of a unix socket that reads as much as it likes.
class Reader {
public:
    explicit Reader(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        BOOST_TEST_REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        const timeval time{.tv_sec = patience.count(), .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    }
    ~Reader() { ::close(fd_); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// Up to `size` bytes: fewer at the end.
    std::string read(std::size_t size) const {
        std::string text(size, '\0');
        std::size_t done = 0;
        while (done < size) {
            const auto part = ::recv(fd_, text.data() + done, size - done, 0);
            if (part <= 0) break;
            done += static_cast<std::size_t>(part);
        }
        text.resize(done);
        return text;
    }
    bool write(std::string_view text) const { return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) > 0; }

private:
    int fd_;
};

/// Where counted text is wrong first; its size, if it is right.
std::size_t counted(const std::string& text) {
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto number = at / 2 + 1;
        if (static_cast<unsigned char>(text[at]) != (at % 2 == 0 ? number & 0xff : number >> 8 & 0xff)) return at;
    }
    return text.size();
}

struct Counting : Running {
    Counting() : Running(counting_guest, {}, "tcp:0,backlog=4K") {}
};
struct Echo : Running {
    Echo() : Running(guest_code("\xb0S\xe6\xe9") + echoing_guest, {"--stats"}, "tcp:0") {}
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_flood_arrives_complete_and_in_order_through_twenty_changes, Counting) {
    std::string all;
    std::unique_ptr<Reader> last;
    std::string file_before;
    for (unsigned number = 0; number < 20; ++number) {
        const auto place = file("place" + std::to_string(number));
        const bool to_file = number % 4 == 3;
        const auto command = to_file ? change(R"({"type":"file","data":{"out":")" + place + "\"}}") : to_unix(place);
        BOOST_TEST(answer(*peer, command) == R"({"return":{}})");
        if (last) all += last->read(1 << 24);
        last.reset();
        if (!file_before.empty()) all += read_file(file_before);
        file_before = to_file ? place : "";
        if (to_file) continue;
        last = std::make_unique<Reader>(place);
        all += last->read(number % 3 == 0 ? 0 : 500 * number);
    }
    child->send_signal(SIGTERM);
    static_cast<void>(child->wait());
    all += read_file(file_before);
    BOOST_TEST(all.size() > 10'000u);
    BOOST_TEST(counted(all) == all.size());
}

BOOST_FIXTURE_TEST_CASE(a_client_hears_its_end_and_the_events_come_before_the_answer, Echo) {
    BOOST_TEST(peer->ask(to_unix(file("one"))) == R"({"return":{}})");
    const Reader one(file("one"));
    BOOST_TEST(one.write("hello"));
    BOOST_TEST(one.read(5) == "hello");
    BOOST_TEST(peer->event() == R"("CLIENT-CONNECTED","data":{"label":"serial0"}})");
    peer->say(to_unix(file("two")));
    BOOST_TEST(peer->event() == R"("CLIENT-DISCONNECTED","data":{"label":"serial0"}})");
    BOOST_TEST(peer->line() == R"({"return":{}})");
    BOOST_TEST(one.read(1).empty());
    BOOST_TEST(!exists(file("one")));
    // Counters go on under the same name.
    const Reader two(file("two"));
    BOOST_TEST(two.write("again"));
    BOOST_TEST(two.read(5) == "again");
    BOOST_TEST(peer->event() == R"("CLIENT-CONNECTED","data":{"label":"serial0"}})");
    const auto chardev = peer->ask(R"({"execute":"query-chardev"})");
    BOOST_TEST(chardev.find(R"({"label":"serial0","filename":"unix:)" + file("two") +
                            R"(","frontend-open":true,"connected":true})") != std::string::npos,
               chardev);
    const auto stats = answer(*peer, R"({"execute":"human-monitor-command","arguments":{"command-line":"info stats"}})");
    BOOST_TEST(stats.find("serial0") != std::string::npos, stats);
    BOOST_TEST(answer(*peer, change(R"({"type":"pty","data":{}})")).starts_with(R"({"return":{"pty":"/dev/pts/)"));
}

BOOST_FIXTURE_TEST_CASE(refusals_are_qemus_and_leave_the_stream_where_it_was, Echo) {
    BOOST_TEST(peer->ask(to_unix(file("one"))) == R"({"return":{}})");
    const Reader one(file("one"));
    BOOST_TEST(
        answer(*peer, R"({"execute":"chardev-change","arguments":{"id":"nope","backend":{"type":"null","data":{}}}})") ==
        error("Chardev 'nope' does not exist"));
    BOOST_TEST(answer(*peer, R"({"execute":"chardev-change","arguments":{"id":"serial0"}})") ==
               error("Parameter 'backend' is missing"));
    BOOST_TEST(answer(*peer, R"({"execute":"chardev-change","arguments":{"backend":{}}})") ==
               error("Parameter 'id' is missing"));
    BOOST_TEST(answer(*peer, R"({"execute":"chardev-change","arguments":{"id":"serial0","backend":"tcp"}})") ==
               error("Invalid parameter type for 'backend', expected: object"));
    BOOST_TEST(answer(*peer, change(R"({"type":"bogus","data":{}})")) ==
               error("Parameter 'type' does not accept value 'bogus'"));
    BOOST_TEST(answer(*peer, to_unix("/no/such/socket")) ==
               error("cannot listen on unix:/no/such/socket: no such file or directory (the directory must exist)"));
    BOOST_TEST(answer(*peer, to_unix(file("control"))) ==
               error("cannot listen on unix:" + file("control") +
                     ": somebody listens there already (another asyncvm? take another path)"));
    // The guest's own file is not written.
    BOOST_TEST(answer(*peer, change(R"({"type":"file","data":{"out":")" + file("guest") + "\"}}"))
                   .find("is also the guest's file") != std::string::npos);
    BOOST_TEST(one.write("still"));
    BOOST_TEST(one.read(5) == "still");
}

BOOST_FIXTURE_TEST_CASE(people_have_a_short_form, Echo) {
    const auto tell = [&](const std::vector<std::string>& words) {
        std::vector<std::string> all{"ctl", socket, "chardev-change"};
        all.insert(all.end(), words.begin(), words.end());
        return run_asyncvm(all);
    };
    BOOST_TEST(tell({"id=serial0", "spec=null"}).code == 0);
    BOOST_TEST(child->wait_for_error_line("serial0 goes to") == "asyncvm: serial0 goes to null");
    const auto place = tell({"id=serial0", R"(backend={"type":"file","data":{"out":")" + file("out") + "\"}}"});
    BOOST_TEST(place.code == 0);
    BOOST_TEST(place.out.empty());
    const auto pty = tell({"id=serial0", "spec=pty,link=" + file("tty")});
    BOOST_TEST(pty.out.find("\"pty\": \"/dev/pts/") != std::string::npos, pty.out);
    BOOST_TEST(exists(file("tty")));
    const auto wrong = tell({"id=serial0", "spec=bogus"});
    BOOST_TEST(wrong.code == 88);
    BOOST_TEST(wrong.err.find("'bogus': unknown; one of tcp:[HOST:]PORT") != std::string::npos, wrong.err);
    BOOST_TEST(tell({"id=serial0", "spec=null", "backend={}"}).code == 88);
    const auto human = [&](const std::string& line) {
        return answer(*peer, R"({"execute":"human-monitor-command","arguments":{"command-line":")" + line + "\"}}");
    };
    BOOST_TEST(human("chardev-change serial0 unix:" + file("by-hand")) == R"({"return":""})");
    BOOST_TEST(human("info chardev").find("serial0: filename=unix:" + file("by-hand") + "\\r\\n") != std::string::npos);
    BOOST_TEST(!exists(file("tty")));
    BOOST_TEST(human("chardev-change nope null") == R"({"return":"Error: Chardev 'nope' does not exist\r\n"})");
    BOOST_TEST(human("chardev-change serial0").find("chardev-change: string expected") != std::string::npos);
    const Reader reader(file("by-hand"));
    BOOST_TEST(reader.write("x"));
    BOOST_TEST(reader.read(1) == "x");
}

BOOST_AUTO_TEST_CASE(the_carrier_follows) {
    Running vm(carrier_guest, {}, "null");
    vm.child->wait_for_output("SC");
    BOOST_TEST(answer(*vm.peer, to_unix(vm.file("one"))) == R"({"return":{}})");
    vm.child->wait_for_output("SCD");
    const auto reader = std::make_unique<Reader>(vm.file("one"));
    vm.child->wait_for_output("SCDC");
    BOOST_TEST(answer(*vm.peer, to_unix(vm.file("two"))) == R"({"return":{}})");
    vm.child->wait_for_output("SCDCD");
    BOOST_TEST(answer(*vm.peer, change(R"({"type":"null","data":{}})")) == R"({"return":{}})");
    vm.child->wait_for_output("SCDCDC");
}

BOOST_FIXTURE_TEST_CASE(a_paused_and_a_reset_guest_go_on_at_the_new_place, Counting) {
    static_cast<void>(answer(*peer, R"({"execute":"stop"})"));
    BOOST_TEST(answer(*peer, to_unix(file("paused"))) == R"({"return":{}})");
    static_cast<void>(answer(*peer, R"({"execute":"cont"})"));
    const Reader reader(file("paused"));
    const auto before = reader.read(3000);
    BOOST_TEST(counted(before) == before.size());
    // Two clients: a reset and a change at once.
    Peer other(socket);
    static_cast<void>(other.line());
    static_cast<void>(other.ask(negotiate));
    other.say(R"({"execute":"system_reset"})");
    BOOST_TEST(answer(*peer, to_unix(file("reset"))) == R"({"return":{}})");
    while (other.line() != R"({"return":{}})") continue;
    const auto old = reader.read(1 << 20);
    const Reader now(file("reset"));
    const auto text = old + now.read(8000);
    BOOST_TEST(text.find(std::string("\x01\x00\x02\x00\x03\x00", 6)) != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(two_clients_change_it_at_once, Counting) {
    Peer other(socket);
    static_cast<void>(other.line());
    static_cast<void>(other.ask(negotiate));
    for (unsigned round = 0; round < 5; ++round) {
        const auto number = std::to_string(round);
        peer->say(to_unix(file("a" + number)));
        other.say(to_unix(file("b" + number)));
        BOOST_TEST(peer->line() == R"({"return":{}})");
        BOOST_TEST(other.line() == R"({"return":{}})");
        BOOST_TEST(exists(file("a" + number)) != exists(file("b" + number)));
    }
    const Reader reader(exists(file("a4")) ? file("a4") : file("b4"));
    const auto text = reader.read(6000);
    BOOST_TEST(text.size() == 6000u);
    BOOST_TEST(counted(text) == text.size());
}

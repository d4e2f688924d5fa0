/// A machine on the host of usual_host.hpp, and who debugs its guest.
#pragma once

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "../../guest/machine_fixture.hpp"
#include "gdb/server.hpp"
#include "packets.hpp"
#include "usual_host.hpp"

namespace asyncvm::test {

inline constexpr gdb::DebugFeatures everything{
    .steps = true, .debug_registers = true, .watchpoints = true, .int3 = true, .trap_flag = true};

inline gdb::Spec unix_socket(std::string path) {
    gdb::Spec spec;
    spec.kind = gdb::Spec::Kind::unix_socket;
    spec.path = std::move(path);
    spec.wait = true;
    return spec;
}

inline awaitable<void> run(std::shared_ptr<gdb::Server> server, Machine& machine) {
    co_await gdb::Server::start(server, everything);
    const Outcome outcome = co_await machine.run();
    server->close(outcome.kind == Outcome::Kind::halted ? 0 : 1);
}

/// A machine on such a host, whose guest waits for a debugger, and a client of the debugger's protocol.
class Debugged {
public:
    explicit Debugged(std::initializer_list<std::uint8_t> code, Mode mode = Mode::protected32, unsigned cpus = 1)
        : test_(loop_, cpus, std::make_unique<UsualHost>(seen),
                [this](MachineConfig& config) {
                    config.on_stop = [this](unsigned cpu, const Exit& exit, Cpu& from) {
                        return server_->stopped(cpu, exit, from);
                    };
                }),
          server_(std::make_shared<gdb::Server>(
              unix_socket(path()),
              gdb::Server::Surroundings{
                  .loop = loop_, .machine = test_.machine, .log = [](std::string_view) {}, .monitor = {}})) {
        test_.load(code, mode);
    }
    ~Debugged() {
        test_.machine.stop();
        if (thread_.joinable()) thread_.join();
        if (socket_ >= 0) ::close(socket_);
        std::filesystem::remove_all(directory_);
    }
    Debugged(const Debugged&) = delete;
    Debugged& operator=(const Debugged&) = delete;

    /// What the guest begins with.
    void change(const std::function<void(Registers&)>& how) {
        Registers registers = test_.registers;
        how(registers);
        for (unsigned cpu = 0; cpu < test_.machine.cpus(); ++cpu) test_.machine.set_registers(cpu, registers);
    }

    std::string ask(std::string_view text) {
        if (socket_ < 0) begin();
        // Without the runs that gdb::frame() makes: gdb sends none.
        unsigned sum = 0;
        for (const char c : text) sum += static_cast<unsigned char>(c);
        const std::string packet = fmt::format("${}#{:02x}", text, sum & 0xff);
        BOOST_REQUIRE(::write(socket_, packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()));
        return receive();
    }
    std::string receive() {
        for (;;) {
            const auto start = got_.find('$');
            const auto end = got_.find('#', start);
            if (start != std::string::npos && end != std::string::npos && got_.size() >= end + 3) {
                const std::string text = unpack(std::string_view(got_).substr(start, end + 3 - start));
                got_.erase(0, end + 3);
                // The last packet may have come from a server that has gone since.
                static_cast<void>(::send(socket_, "+", 1, MSG_NOSIGNAL));
                return text;
            }
            std::array<char, 4096> bytes{};
            const auto count = ::read(socket_, bytes.data(), bytes.size());
            BOOST_REQUIRE_MESSAGE(count > 0, "the debugger's server says no more");
            got_.append(bytes.data(), static_cast<std::size_t>(count));
        }
    }
    /// Until the guest has ended.
    void end() { thread_.join(); }

    Seen seen;

private:
    std::string path() {
        std::string made = (std::filesystem::temp_directory_path() / "asyncvm-XXXXXX").string();
        BOOST_REQUIRE(::mkdtemp(made.data()) != nullptr);
        directory_ = made;
        return made + "/gdb";
    }
    void begin() {
        // As the program ends: whatever waits for the client ends with the loop.
        asio::co_spawn(loop_, run(server_, test_.machine), [this](const std::exception_ptr& failure) {
            if (failure) std::rethrow_exception(failure);
            loop_.stop();
        });
        thread_ = std::thread([this] { loop_.run(); });
        socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(directory_ + "/gdb", address.sun_path);
        BOOST_REQUIRE(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        const timeval limit{.tv_sec = patience.count(), .tv_usec = 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        BOOST_TEST(ask("?").starts_with("T05"));
    }

    std::string directory_;
    asio::io_context loop_{1};
    TestMachine test_;
    std::shared_ptr<gdb::Server> server_;
    std::thread thread_;
    int socket_ = -1;
    std::string got_;
};

}  // namespace asyncvm::test

#include "cli/session.hpp"

#include "cli/closing.hpp"
#include "cli/console.hpp"
#include "cli/core_dump.hpp"
#include "cli/debugger.hpp"
#include "cli/exit_status.hpp"
#include "cli/group.hpp"
#include "cli/reports.hpp"
#include "cli/setup.hpp"
#include "cli/signals.hpp"
#include "cli/streams.hpp"
#include "cli/tracing.hpp"
#include "cli/wiring.hpp"
#include "control/steering.hpp"
#include "metrics/server.hpp"
#include "vmcore/core_file.hpp"

#include <asyncvm/boot.hpp>
#include <asyncvm/machine.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::cli {

namespace {

using namespace std::chrono_literals;

/// The signal or key that ended the run before the guest did, or while its output was still being delivered.
struct Interruption {
    std::string by;  ///< "SIGTERM"
    int code;        ///< the program's exit code for it
    std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
};

// The coroutine keeps the chardev alive.
awaitable<void> ready(std::shared_ptr<Chardev> chardev) { co_await chardev->ready(); }
awaitable<void> drain(std::shared_ptr<Chardev> chardev) { static_cast<void>(co_await chardev->drain()); }

class Session {
public:
    Session(const Options& options, const Setup& setup, std::unique_ptr<Boot> boot)
        : options_(options),
          setup_(setup),
          boot_(std::move(boot)),
          trace_(start_trace(options, setup)),
          steering_(options.control ? std::make_unique<control::Steering>(loop_, *options.control, make_log()) : nullptr),
          machine_(
              config(), [this] { return make(); }, loop_),
          streams_(
              loop_, make_log(), [this] { interrupt({.by = "Ctrl-A x", .code = exit_code::signal_base + SIGINT}); },
              chardev_observer({steering_ ? steering_->observer() : nullptr, trace_})) {}

    int run();

private:
    [[nodiscard]] MachineConfig config();
    [[nodiscard]] std::unique_ptr<Accelerator> make();
    void check() const;
    void load();
    void attach();
    void restart(std::string why);
    void fail_restart(const std::exception_ptr& failure);
    void interrupt(Interruption by);
    void quit(std::string by, int code);
    void cancel_waits();
    void steer();
    void offer_metrics();
    [[nodiscard]] awaitable<bool> print_reports_of_a_run();
    [[nodiscard]] awaitable<int> run_to_end();
    [[nodiscard]] int code_for(const Outcome& outcome) const;
    [[nodiscard]] awaitable<Outcome> run_guest();
    [[nodiscard]] awaitable<void> deliver(const Outcome& outcome);
    void on_signal(int number);

    const Options& options_;
    const Setup setup_;
    std::unique_ptr<Boot> boot_;
    asio::io_context loop_{1};
    const std::shared_ptr<TraceRecorder> trace_;        ///< null: nothing is recorded
    std::unique_ptr<control::Steering> steering_;       ///< null: there is no control socket
    std::string accelerator_note_;                      ///< written while the machine is made; printed when it exists
    std::string accelerator_name_;                      ///< written then, too
    std::shared_ptr<gdb::Server> gdb_;                  ///< null: no debugger may come; vCPUs ask it
    std::vector<GuestMemory::Region> memory_at_start_;  ///< with interrupt controllers; read while the machine is made
    Machine machine_;
    Streams streams_;
    std::shared_ptr<metrics::Server> metrics_;  ///< null: nobody scrapes
    std::optional<Interruption> interruption_;
    std::atomic<bool> restarting_ = false;
    bool out_of_memory_ = false;
    bool run_has_ended_ = false;
    Group terminal_{loop_};  ///< the waits for the standard streams
    Group others_{loop_};    ///< and on the other chardevs
};

MachineConfig Session::config() {
    auto config = machine_config(options_, setup_);
    if (steering_) config.observers.push_back(steering_->observer());
    if (trace_) config.observers.push_back(trace_);
    // The registers are the start's.
    if (options_.gdb) {
        config.on_stop = [this](unsigned cpu, const Exit& exit, Cpu& from) {
            return gdb_ ? gdb_->stopped(cpu, exit, from) : StopAction::end;
        };
    }
    if (config.resettable)
        config.on_reset = [this] {
            machine_.memory().clear();
            static_cast<void>(boot_->load(machine_.memory()));
            // From here on the guest may ask again.
            restarting_ = false;
        };
    return config;
}

/// On a thread of its own.
std::unique_ptr<Accelerator> Session::make() {
    auto made = make_accelerator(options_.accelerator, [this](std::string_view line) { accelerator_note_ = line; },
                                 {.cpu_features = options_.cpu_features,
                                  .irqchip = setup_.irqchip,
                                  .cpus = options_.cpus,
                                  .pit = setup_.irqchip,
                                  .memory = memory_at_start_,
                                  .irqchip_optional = setup_.irqchip_optional});
    accelerator_name_ = made->name();
    return made;
}

void Session::load() {
    boot_->plan(surroundings(options_, setup_));
    for (const auto& note : boot_->notes()) print(note);
    const Registers start = boot_->load(machine_.memory());
    // On the pc machine the first vCPU starts the others.
    const unsigned cpus = setup_.machine == MachineKind::pc ? 1 : options_.cpus;
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        Registers registers = start;
        apply_all(registers, cpu, options_.registers, boot_->mode());
        machine_.set_registers(cpu, registers);
    }
}

void Session::attach() {
    attach_devices(options_, setup_,
                   {.ports = machine_.ports(),
                    .mmio = machine_.mmio(),
                    .open_stream = [this](const StreamRequest& request) { return streams_.open(request); },
                    .finish = [this](Outcome outcome) { machine_.finish(std::move(outcome)); },
                    .boot = boot_.get(),
                    .reset = options_.restart ? [this](std::string why) { restart(std::move(why)); } : PlatformRequest(),
                    .log = make_log(),
                    .loop = &loop_,
                    .steering = steering_.get(),
                    .observer = trace_,
                    .before_guest = [this](const auto& device_ready) { others_.start(device_ready(loop_)); }});
}

/// On the thread of the vCPU that asks, perhaps several times.
void Session::restart(std::string why) {
    if (restarting_.exchange(true)) return;
    machine_.expect_reset();
    asio::post(loop_, [this, why = std::move(why)] {
        if (options_.verbose) print(fmt::format("{}: it starts anew", why));
        asio::co_spawn(loop_, machine_.reset(), [this](const std::exception_ptr& failure) {
            if (failure) fail_restart(failure);
        });
    });
}

void Session::fail_restart(const std::exception_ptr& failure) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::failed;
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        outcome.summary = fmt::format("the guest can't start anew: {}", error.what());
    }
    machine_.finish(std::move(outcome));
}

/// The first interruption ends the session in order; one that comes `impatience` later ends the program at once.
void Session::interrupt(Interruption by) {
    if (interruption_) {
        if (by.at - interruption_->at < impatience) return;
        streams_.close();
        print(fmt::format("ended at once by {}", by.by));
        ::_exit(by.code);
    }
    interruption_ = std::move(by);
    asio::co_spawn(loop_, print_reports_of_a_run(), [this](const std::exception_ptr&, bool) {
        machine_.stop();
        cancel_waits();
    });
}

/// As the control socket or gdb asks: without a word about the guest.
void Session::quit(std::string by, int code) {
    if (interruption_) return;
    interruption_ = {.by = std::move(by), .code = code};
    machine_.stop();
    cancel_waits();
}

void Session::steer() {
    steering_->start({.machine = machine_,
                      .held = options_.held,
                      .statistics = options_.statistics,
                      .statistics_text = [this] { return statistics_text(machine_, streams_); },
                      .groups = {stream_commands(streams_, options_)},
                      .tell_debugger = [this] { return gdb::Server::interrupt(gdb_); },
                      .debugger_go_on = [this] { return gdb::Server::let_go(gdb_); },
                      .runs_on_kvm = [this] { return accelerator_name_ == "kvm"; },
                      .quit = [this] { asio::post(loop_, [this] { quit("quit (control socket)", exit_code::success); }); }});
}

void Session::offer_metrics() {
    const auto page = [this](metrics::Format format) { return metrics_page(machine_, streams_, format); };
    metrics_ = std::make_shared<metrics::Server>(loop_, options_.metrics, make_log(), page);
    metrics_->start();
}

void Session::cancel_waits() {
    terminal_.cancel();
    others_.cancel();
}

/// None while the output of a guest that has ended is delivered: whoever gives up then has seen how it ended.
awaitable<bool> Session::print_reports_of_a_run() {
    bool any = false;
    if (!run_has_ended_) any = co_await print_reports(machine_, loop_);
    co_return any;
}

/// From the first client on, if there has to be one.
awaitable<Outcome> Session::run_guest() {
    for (const auto& stream : streams_.all()) others_.start(ready(stream.chardev));
    // If no machine can be made, the error is printed without waiting for a client.
    co_await machine_.prepared();
    if (!accelerator_note_.empty()) print(accelerator_note_);
    if (gdb_) {
        const auto features = debug_features(accelerator_name_);
        co_await gdb::Server::start(gdb_, features);
    }
    if (options_.held) co_await steering_->hold();
    co_await others_.wait();
    Outcome outcome;
    outcome.kind = Outcome::Kind::stopped;
    if (!interruption_) outcome = co_await machine_.run();
    run_has_ended_ = true;
    const std::function<bool()> given_up = [this] { return interruption_.has_value(); };
    co_await write_core(machine_, options_.core, outcome, setup_.on_halt, given_up);
    if (steering_) co_await steering_->run_ended(outcome);
    co_return outcome;
}

/// Delivers the guest's output. After an interrupt it does not wait, but delivers what it can at once.
awaitable<void> Session::deliver(const Outcome& outcome) {
    // Less than what makes a chardev say that it waits.
    constexpr auto patience = 80ms;
    asio::steady_timer limit(loop_);
    if (interruption_) {
        limit.expires_after(patience);
        limit.async_wait([this](std::error_code error) {
            if (!error) cancel_waits();
        });
    }
    for (const auto& [label, spec, standard, chardev, reads] : streams_.all()) {
        if (interruption_ && !chardev->connected()) continue;
        (standard ? terminal_ : others_).start(drain(chardev));
    }
    // On a terminal the guest's last output comes before the messages about it.
    co_await terminal_.wait();
    print_outcome(outcome, machine_, options_, setup_);
    const bool in_detail = options_.verbose || setup_.on_halt == HaltPolicy::fail;
    if (in_detail && outcome.kind == Outcome::Kind::halted) static_cast<void>(co_await print_reports(machine_, loop_));
    co_await others_.wait();
}

void Session::on_signal(int number) {
    if (number == out_of_memory) {
        print("out of memory: the guest is stopped (take a smaller backlog=, or raise the limit that `ulimit -v` shows)");
        out_of_memory_ = true;
        machine_.stop();
    } else if (number == SIGQUIT) {
        asio::co_spawn(loop_, print_reports_of_a_run(), [](const std::exception_ptr&, bool any) {
            if (!any) print("SIGQUIT shows what the guest does: it does not run");
        });
    } else if (number != SIGUSR1) {
        interrupt({.by = std::string(signal_name(number)), .code = exit_code::signal_base + number});
    } else if (options_.statistics) {
        print_statistics(machine_, streams_);
    } else {
        print("SIGUSR1 shows statistics only if they are counted from the start (start asyncvm with --stats)");
    }
}

awaitable<int> Session::run_to_end() {
    const auto outcome = co_await run_guest();
    if (gdb_) gdb_->close(code_for(outcome));
    co_await deliver(outcome);
    if (interruption_) print(fmt::format("stopped by {}", interruption_->by));
    print_undelivered(streams_);
    if (options_.statistics) print_statistics(machine_, streams_);
    streams_.close();
    end_trace(trace_, options_);
    if (metrics_) metrics_->close();
    co_return code_for(outcome);
}

int Session::code_for(const Outcome& outcome) const {
    if (interruption_) return interruption_->code;
    if (out_of_memory_) return exit_code::host;
    if (outcome.kind == Outcome::Kind::halted && setup_.on_halt == HaltPolicy::fail) return exit_code::halted;
    return exit_status(outcome);
}

/// Throws what is wrong with the options, before anything is opened.
void Session::check() const {
    asio::io_context scratch(1);
    dry_run(options_, setup_, scratch);
    if (!options_.core.empty()) vmcore::CoreFile::check(options_.core);
}

int Session::run() {
    if (setup_.irqchip) memory_at_start_ = machine_.memory().regions();
    machine_.prepare();
    check();
    load();
    // From here on there is something to tidy up.
    Signals signals(loop_, [this](int number) { on_signal(number); });
    attach();
    if (steering_) steer();
    if (!options_.metrics.empty()) offer_metrics();
    if (options_.gdb) {
        gdb::MonitorSurroundings monitor{.kill = [this] { quit("gdb", exit_code::signal_base + SIGKILL); }};
        if (options_.statistics) monitor.statistics = [this] { return statistics_text(machine_, streams_); };
        auto watch = watch_for(steering_.get(), trace_);
        gdb_ = make_gdb_server(options_, streams_, {loop_, machine_, std::move(monitor), std::move(watch), boot_->elf64()});
    }
    std::optional<int> code;
    std::exception_ptr failure;
    asio::co_spawn(loop_, run_to_end(), [&](std::exception_ptr error, int result) {
        failure = std::move(error);
        code = result;
        loop_.stop();
    });
    signals.loop_runs();
    loop_.run();
    if (gdb_) gdb_->close(exit_code::kvm_failure);
    flush_console(interruption_ ? impatience : until_taken);
    if (failure) std::rethrow_exception(failure);
    return code.value();
}

}  // namespace

int run_session(const Options& options) {
    // It answers while the command line is looked at and the guest is loaded.
    const auto expected = options.accelerator != AcceleratorChoice::unicorn ? expect_kvm_accelerator() : nullptr;
    std::unique_ptr<Boot> boot;
    Setup setup = guess_setup(options);
    if (std::error_code ignored; std::filesystem::is_regular_file(options.guest, ignored)) {
        try {
            boot = std::make_unique<Boot>(boot_request(options), options.memory_size);
        } catch (const Error&) {
            // A mistake in the options comes first.
            asio::io_context scratch(1);
            dry_run(options, setup, scratch);
            throw;
        }
        setup = set_up(options, boot->format());
    } else {
        // To read a pipe may take for ever: mistakes are told before.
        asio::io_context scratch(1);
        dry_run(options, setup, scratch);
        boot = std::make_unique<Boot>(boot_request(options), options.memory_size);
        setup = set_up(options, boot->format());
    }
    if (options.inspect) {
        boot->plan(surroundings(options, setup));
        print_out(boot->inspect());
        return exit_code::success;
    }
    return Session(options, setup, std::move(boot)).run();
}

}  // namespace asyncvm::cli

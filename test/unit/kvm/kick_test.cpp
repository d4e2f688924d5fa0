// Which thread a kick goes to, and with which signal. Needs no KVM.
#include "accel/kvm/kick.hpp"

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include <csignal>
#include <future>
#include <thread>

using namespace asyncvm;
using namespace asyncvm::kvm;

namespace {

thread_local volatile sig_atomic_t signals_here = 0;

/// A signal of the test's own, whose handler counts on the thread that it comes to.
int counted_signal() {
    const int signal = SIGRTMIN + 3;
    struct sigaction action {};
    action.sa_handler = [](int) { signals_here = signals_here + 1; };
    sigaction(signal, &action, nullptr);
    return signal;
}

/// A thread that enters `target` and stays until it is let go.
class Runner {
public:
    explicit Runner(const std::shared_ptr<KickTarget>& target)
        : thread_([this, target] {
              target->enter(target);
              entered_.set_value(gettid());
              let_go_.get_future().wait();
              count_.set_value(static_cast<int>(signals_here));
          }),
          id_(entered_.get_future().get()) {}

    [[nodiscard]] pid_t id() const { return id_; }
    /// Ends the thread; returns how many signals came to it.
    int end() {
        let_go_.set_value();
        thread_.join();
        return count_.get_future().get();
    }

private:
    std::promise<pid_t> entered_;
    std::promise<void> let_go_;
    std::promise<int> count_;
    std::thread thread_;
    pid_t id_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(kicks)

BOOST_AUTO_TEST_CASE(a_kick_goes_to_the_thread_that_has_entered) {
    const auto target = std::make_shared<KickTarget>(counted_signal());
    target->kick();
    Runner runner(target);
    BOOST_TEST(target->thread() == runner.id());
    target->kick();
    BOOST_TEST(runner.end() == 1);
    BOOST_TEST(signals_here == 0);
}

BOOST_AUTO_TEST_CASE(no_kick_goes_to_a_thread_that_has_ended) {
    const auto target = std::make_shared<KickTarget>(counted_signal());
    Runner runner(target);
    BOOST_TEST(runner.end() == 0);
    BOOST_TEST(target->thread() == -1);
    target->kick();
}

BOOST_AUTO_TEST_CASE(kicks_follow_to_another_thread_and_stay_there_when_the_first_one_ends) {
    const auto target = std::make_shared<KickTarget>(counted_signal());
    Runner first(target), second(target);
    target->kick();
    BOOST_TEST(first.end() == 0);
    BOOST_TEST(target->thread() == second.id());
    target->kick();
    BOOST_TEST(second.end() >= 1);  // two that come together may be one
}

BOOST_AUTO_TEST_CASE(a_thread_may_outlive_what_it_has_entered) {
    auto target = std::make_shared<KickTarget>(counted_signal());
    Runner runner(target);
    BOOST_TEST(target.use_count() > 1);
    target.reset();
    BOOST_TEST(runner.end() == 0);
}

BOOST_AUTO_TEST_CASE(entering_unblocks_the_signal) {
    const int signal = counted_signal();
    std::thread([signal] {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        const auto target = std::make_shared<KickTarget>(signal);
        target->enter(target);
        target->kick();
        BOOST_TEST(signals_here == 1);
    }).join();
}

BOOST_AUTO_TEST_CASE(a_signal_is_claimed_with_a_handler_that_does_nothing) {
    const int signal = claim_kick_signal(0);
    BOOST_TEST(signal == SIGRTMIN);
    struct sigaction present {};
    sigaction(signal, nullptr, &present);
    BOOST_TEST((present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN));
    BOOST_TEST(claim_kick_signal(signal) == signal);
    ::raise(signal);
    BOOST_TEST(claim_kick_signal(SIGRTMIN + 5) == SIGRTMIN + 5);
}

BOOST_AUTO_TEST_CASE(an_ignored_signal_is_claimed) {
    std::signal(SIGRTMIN + 6, SIG_IGN);
    BOOST_TEST(claim_kick_signal(SIGRTMIN + 6) == SIGRTMIN + 6);
    struct sigaction present {};
    sigaction(SIGRTMIN + 6, nullptr, &present);
    BOOST_TEST((present.sa_handler != SIG_IGN));
}

BOOST_AUTO_TEST_CASE(a_signal_that_somebody_handles_is_left_to_them) {
    const int signal = counted_signal();
    const auto names_it = [](const Error& error) {
        return error.kind() == ErrorKind::usage && std::string(error.what()).find("kick_signal") != std::string::npos;
    };
    BOOST_CHECK_EXCEPTION(static_cast<void>(claim_kick_signal(signal)), Error, names_it);
    BOOST_CHECK_EXCEPTION(static_cast<void>(make_kvm_accelerator({.kick_signal = signal})), Error, names_it);
    struct sigaction present {};
    sigaction(signal, nullptr, &present);
    BOOST_TEST((present.sa_handler != SIG_DFL));
    const int before = signals_here;
    ::raise(signal);
    BOOST_TEST(signals_here == before + 1);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_handled_is_refused) {
    for (const int signal : {SIGKILL, -1, 1000}) BOOST_CHECK_THROW(static_cast<void>(claim_kick_signal(signal)), Error);
}

BOOST_AUTO_TEST_SUITE_END()

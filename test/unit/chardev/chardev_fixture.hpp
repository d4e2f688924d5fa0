/// A device loop on a thread of its own, with chardevs on it: what the tests of real descriptors share.
#pragma once

#include <asyncvm/chardev.hpp>
#include <asyncvm/error.hpp>
#include <asyncvm/open_chardev.hpp>

#include <asio/use_future.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace asyncvm::test {

using namespace std::chrono_literals;
constexpr auto safety = 20s;  ///< a safety net, never what a test waits for

/// Lines of a log, from any thread.
class Lines {
public:
    Log log() {
        return [this](std::string_view line) {
            const std::lock_guard lock(mutex_);
            lines_.emplace_back(line);
            grown_.notify_all();
        };
    }
    /// Waits for a line that contains `part` and returns it.
    std::string await(std::string_view part) {
        std::unique_lock lock(mutex_);
        std::string found;
        grown_.wait_for(lock, safety, [&] {
            for (const auto& line : lines_) {
                if (line.find(part) != line.npos) found = line;
            }
            return !found.empty();
        });
        return found;
    }
    std::size_t count(std::string_view part) {
        const std::lock_guard lock(mutex_);
        std::size_t n = 0;
        for (const auto& line : lines_) n += line.find(part) != line.npos ? 1U : 0U;
        return n;
    }
    std::string all() {
        const std::lock_guard lock(mutex_);
        std::string text;
        for (const auto& line : lines_) text += line + "\n";
        return text;
    }

private:
    std::mutex mutex_;
    std::condition_variable grown_;
    std::vector<std::string> lines_;
};

/// Waits until `condition` holds.
template <typename Condition>
bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + safety;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class Fixture {
public:
    Lines lines;
    std::chrono::milliseconds patience = 5ms;  ///< with new clients, of what is opened from now on
    std::shared_ptr<Observer> observer;        ///< of what is opened from now on

    template <typename Function>
    auto on_loop(Function function) {
        using Task = std::packaged_task<decltype(function())()>;
        const auto task = std::make_shared<Task>(std::move(function));
        auto result = task->get_future();
        asio::post(loop_, [task] { (*task)(); });
        return result.get();
    }

    Fixture() : thread_([this] { loop_.run(); }) {}
    ~Fixture() {
        on_loop([this] { chardevs_.clear(); });
        work_.reset();
        thread_.join();
    }

    std::shared_ptr<Chardev> open(const std::string& words, bool input = true, std::function<void()> on_quit = {}) {
        std::shared_ptr<Chardev> opened;
        // An exception that two threads share is a race in the eyes of ThreadSanitizer: its words travel instead.
        std::optional<std::pair<ErrorKind, std::string>> refusal;
        on_loop([&] {
            ChardevEnvironment environment{loop_, lines.log(), "serial" + std::to_string(chardevs_.size()), on_quit, input};
            environment.patience = patience;
            environment.observer = observer;
            try {
                opened = open_chardev(words, environment);
                chardevs_.push_back(opened);
            } catch (const Error& error) {
                refusal.emplace(error.kind(), error.what());
            }
        });
        if (refusal) throw Error(refusal->first, refusal->second);
        return opened;
    }
    void close(const std::shared_ptr<Chardev>& chardev) {
        on_loop([&] { chardev->close(); });
    }
    /// Completes with the words of the refusal, or with none.
    std::future<std::string> change(const std::shared_ptr<Chardev>& chardev, const std::string& words, bool input = true) {
        return asio::co_spawn(loop_, carry_out_change(chardev, parse_chardev_spec(words), input), asio::use_future);
    }
    std::future<std::uint64_t> drain(const std::shared_ptr<Chardev>& chardev) {
        return asio::co_spawn(loop_, chardev->drain(), asio::use_future);
    }
    std::future<void> ready(const std::shared_ptr<Chardev>& chardev) {
        return asio::co_spawn(loop_, chardev->ready(), asio::use_future);
    }
    std::future<void> write(const std::shared_ptr<Chardev>& chardev, std::string_view text) {
        return asio::co_spawn(loop_, chardev->write(std::as_bytes(std::span(text))), asio::use_future);
    }
    asio::io_context& loop() { return loop_; }
    /// So many turns of the loop: what had happened to its descriptors before has been seen.
    void poll(int times) {
        for (int i = 0; i < times; ++i) on_loop([] {});
    }

private:
    static awaitable<std::string> carry_out_change(std::shared_ptr<Chardev> chardev, ChardevSpec spec, bool input) {
        const ChardevChange to{.spec = std::move(spec), .input = input};
        std::string refusal;
        try {
            co_await change_chardev(chardev, to);
        } catch (const Error& error) {
            refusal = error.what();
        }
        co_return refusal;
    }

    asio::io_context loop_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(loop_);
    std::vector<std::shared_ptr<Chardev>> chardevs_;
    std::thread thread_;
};

/// What a guest prints, as much as is taken.
inline std::size_t put(Chardev& chardev, std::string_view text) {
    return chardev.write_some(std::as_bytes(std::span(text)));
}

/// Waits for `size` bytes of input.
inline std::string get(Chardev& chardev, std::size_t size) {
    std::string text;
    eventually([&] {
        std::string part(size - text.size(), '\0');
        part.resize(chardev.read_some(std::as_writable_bytes(std::span(part))));
        text += part;
        return text.size() == size;
    });
    return text;
}

template <typename T>
bool done(std::future<T>& future) {
    return future.wait_for(safety) == std::future_status::ready;
}

}  // namespace asyncvm::test

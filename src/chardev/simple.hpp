/// file:PATH and null.
#pragma once

#include <chardev/backend.hpp>

#include <string>

namespace asyncvm {

class FileBackend : public Backend {
public:
    /// Throws Error(host).
    FileBackend(const ChardevSpec& spec, ChardevEnvironment environment);

    [[nodiscard]] std::string description() const override { return "file:" + file_.path(); }

private:
    void run() override;
    void push() override { file_.flush(queue()); }
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut() noexcept override;

    FileSink file_;
};

/// Nobody: output vanishes (but for a log), input never comes.
class NullBackend : public Backend {
public:
    NullBackend(const ChardevSpec& spec, ChardevEnvironment environment);

    [[nodiscard]] std::string description() const override { return "null"; }

private:
    void run() override {}
    void push() override {}
    [[nodiscard]] std::string waiting(std::uint64_t) const override { return {}; }
    void shut() noexcept override {}
};

}  // namespace asyncvm

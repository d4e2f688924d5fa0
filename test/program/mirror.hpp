/// The other side of `--net vhost-user:PATH` for tests: it moves the guest's frames by the guest's own rings.
#pragma once

#include <memory>
#include <string>

namespace program_test {

/// A back end on a thread of its own, which lives as long as the object.
class Mirror {
public:
    enum class Conduct {
        sends_back,  ///< each frame, to the one who has sent it
        keeps_all,   ///< and never gives a buffer back
    };
    explicit Mirror(const std::string& path, Conduct conduct = Conduct::sends_back);
    Mirror(const Mirror&) = delete;
    Mirror& operator=(const Mirror&) = delete;
    ~Mirror();

    /// It has both rings of a driver.
    [[nodiscard]] bool serves() const;

private:
    struct Part;
    std::unique_ptr<Part> part_;
};

}  // namespace program_test

/// What the console device and its driver tell each other of the ports (virtio 1.2, 5.3.6.2). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::virtio {

/// It knows what the driver has been told, not what it is still to be told: that follows from how things are. So a port
/// whose other end comes and goes while the driver does not listen makes no list of news.
class PortControl {
public:
    /// A message: 4 bytes of port, 2 of event, 2 of value; behind a port's name there is the name.
    struct Message {
        std::uint32_t port = 0;
        std::uint16_t event = 0;
        std::uint16_t value = 0;
        bool operator==(const Message&) const = default;
    };
    static constexpr std::size_t message_size = 8;
    static constexpr std::uint16_t device_ready = 0, port_add = 1, port_ready = 3, port_open = 6, port_name = 7;

    /// `ports`: how many there are. Their numbers are 1 and up: the specification keeps 0 for a console.
    explicit PortControl(std::size_t ports) : ports_(ports) {}

    [[nodiscard]] std::size_t ports() const noexcept { return ports_.size(); }

    [[nodiscard]] static Message parse(std::span<const std::byte, message_size> bytes) noexcept;
    [[nodiscard]] static std::vector<std::byte> bytes_of(const Message& message, const std::string& name);

    /// The driver has sent this. What is of no use is ignored.
    void heard(const Message& message) noexcept;

    /// Whether the guest has opened port `index`, which counts from 0.
    [[nodiscard]] bool guest_has_open(std::size_t index) const noexcept { return ports_[index].guest_open; }

    /// What the driver does not know yet, one message at a time. `connected`: of each port, whether anybody is at the other
    /// end.
    [[nodiscard]] std::optional<Message> next(const std::vector<bool>& connected) const noexcept;
    /// The message that next() gives has been sent.
    void told(const Message& message) noexcept;

    void reset() noexcept { *this = PortControl(ports_.size()); }

    static constexpr unsigned state_version = 1;
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("ready", ready_);
        archive.field("ports", ports_);
    }

private:
    struct Port {
        bool added = false;  ///< the driver has been told that there is one
        bool ready = false;  ///< it has set the port up
        bool named = false;
        bool open = false;  ///< the driver has been told that somebody is at the other end
        bool guest_open = false;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("added", added);
            archive.field("ready", ready);
            archive.field("named", named);
            archive.field("open", open);
            archive.field("guest open", guest_open);
        }
    };

    bool ready_ = false;  ///< the driver is
    std::vector<Port> ports_;
};

}  // namespace asyncvm::virtio

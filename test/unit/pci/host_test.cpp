// The host bridge at its ports and at ECAM.
#include <asyncvm/error.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace asyncvm;

namespace {

/// Reads give the offset and the size; writes are noted.
class Noting final : public PciFunction {
public:
    struct Write {
        unsigned offset;
        unsigned size;
        std::uint32_t value;
        bool operator==(const Write&) const = default;
    };

    std::string_view name() const noexcept override { return "noting"; }
    awaitable<void> read(Access&) override { co_return; }
    awaitable<void> write(const Access&) override { co_return; }
    std::uint32_t bar_size() const noexcept override { return 0x1000; }
    void plug(PciPlace) override {}
    awaitable<std::uint32_t> read_config(unsigned offset, unsigned size) override { co_return offset << 8 | size; }
    awaitable<void> write_config(unsigned offset, unsigned size, std::uint32_t value) override {
        writes.push_back({offset, size, value});
        co_return;
    }
    std::vector<Write> writes;
};

struct HostFixture {
    HostFixture() { host->add(3, function); }

    template <class Coroutine>
    void run(Coroutine coroutine) {
        asio::co_spawn(loop, std::move(coroutine), [](std::exception_ptr failure) { BOOST_TEST(!failure); });
        loop.restart();
        loop.poll();
    }
    std::uint32_t read(Access access) {
        run(host->read(access));
        return static_cast<std::uint32_t>(access.data);
    }
    void write(const Access& access) { run(host->write(access)); }

    static Access port(unsigned number, unsigned size, std::uint32_t value = 0) {
        return {.space = Space::port,
                .size = static_cast<std::uint8_t>(size),
                .address = number,
                .offset = number - 0xcf8,
                .data = value};
    }
    static Access ecam(unsigned offset, unsigned size, std::uint32_t value = 0) {
        return {.space = Space::memory,
                .size = static_cast<std::uint8_t>(size),
                .address = 0xe000'0000 + offset,
                .offset = offset,
                .data = value};
    }
    void choose(unsigned slot, unsigned offset, unsigned function_number = 0, unsigned bus = 0) {
        write(port(0xcf8, 4, 0x8000'0000 | bus << 16 | slot << 11 | function_number << 8 | offset));
    }

    asio::io_context loop{1};
    std::vector<std::string> resets;
    std::shared_ptr<PciHost> host = make_pci_host([this](std::string why) { resets.push_back(std::move(why)); });
    std::shared_ptr<Noting> function = std::make_shared<Noting>();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pci_host, HostFixture)

BOOST_AUTO_TEST_CASE(the_ports_are_found_by_a_probe_and_show_a_host_bridge) {
    // Linux: a byte at 0xcfb changes nothing, and 0xcf8 reads back.
    write(port(0xcf8, 4, 0x8000'0000));
    write(port(0xcfb, 1, 1));
    BOOST_TEST(read(port(0xcf8, 4)) == 0x8000'0000u);
    BOOST_TEST(read(port(0xcf8, 1)) == 0xffu);
    BOOST_TEST(read(port(0xcfc, 4)) == 0x0008'1b36u);
    choose(0, 8);
    BOOST_TEST(read(port(0xcfe, 2)) == 0x0600u);
    write(port(0xcf8, 4, 0));
    BOOST_TEST(read(port(0xcfc, 4)) == 0xffff'ffffu);  // off
    write(port(0xcf8, 2, 0x1234));
    BOOST_TEST(read(port(0xcf8, 4)) == 0u);
}

BOOST_AUTO_TEST_CASE(a_function_gets_accesses_of_each_width) {
    choose(3, 0x10);
    BOOST_TEST(read(port(0xcfc, 4)) == 0x1004u);
    BOOST_TEST(read(port(0xcfe, 2)) == 0x1202u);
    BOOST_TEST(read(port(0xcff, 1)) == 0x1301u);
    write(port(0xcfc, 4, 0xfe00'0000));
    write(port(0xcfe, 2, 0x1234));
    write(port(0xcfd, 1, 0x56));
    const std::vector<Noting::Write> all{{0x10, 4, 0xfe00'0000}, {0x12, 2, 0x1234}, {0x11, 1, 0x56}};
    BOOST_TEST((function->writes == all));
}

BOOST_AUTO_TEST_CASE(ecam_is_the_same) {
    BOOST_TEST(read(ecam(0x0'0000, 4)) == 0x0008'1b36u);
    BOOST_TEST(read(ecam(0x1'8010, 4)) == 0x1004u);
    write(ecam(0x1'8004, 2, 6));
    BOOST_TEST((function->writes == std::vector<Noting::Write>{{4, 2, 6}}));
    BOOST_TEST(read(ecam(0x1'8100, 4)) == 0xffff'ffffu);  // no extended space
}

BOOST_AUTO_TEST_CASE(what_is_not_there_reads_as_ones) {
    const auto nobody = [this](unsigned slot, unsigned offset, unsigned function_number, unsigned bus) {
        choose(slot, offset, function_number, bus);
        write(port(0xcfc, 4, 1));
        return read(port(0xcfc, 4)) == 0xffff'ffffu;
    };
    BOOST_TEST(nobody(1, 0, 0, 0));
    BOOST_TEST(nobody(3, 0, 1, 0));
    BOOST_TEST(nobody(3, 0, 0, 1));
    choose(3, 0);
    BOOST_TEST(read(port(0xcfd, 4)) == 0xffff'ffffu);  // not aligned
    BOOST_TEST(read(port(0xcff, 2)) == 0xffffu);
    write(port(0xcff, 2, 1));
    BOOST_TEST(read(ecam(0x0'8000, 2)) == 0xffffu);
    BOOST_TEST(read(ecam(0x1'9000, 4)) == 0xffff'ffffu);
    BOOST_TEST(function->writes.empty());
}

BOOST_AUTO_TEST_CASE(the_reset_control_register_is_among_the_ports) {
    write(port(0xcf9, 1, 2));
    BOOST_TEST(resets.empty());
    BOOST_TEST(read(port(0xcf9, 1)) == 2u);
    write(port(0xcf8, 4, 0x8000'0600));  // its second byte is 6
    BOOST_TEST(resets.empty());
    write(port(0xcf9, 1, 6));
    BOOST_TEST(resets == std::vector<std::string>{"the guest wrote 0x06 to port 0xcf9 (reset control)"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_slot_takes_one_function) {
    const auto refuses = [this](unsigned slot) {
        try {
            host->add(slot, std::make_shared<Noting>());
        } catch (const Error& error) {
            return error.kind() == ErrorKind::usage;
        }
        return false;
    };
    BOOST_TEST(refuses(0));
    BOOST_TEST(refuses(3));
    BOOST_TEST(refuses(32));
    BOOST_TEST(!refuses(31));
}

BOOST_AUTO_TEST_CASE(the_address_is_saved_and_a_reset_clears_it) {
    choose(3, 0x10);
    StateWriter writer;
    host->save(writer);
    host->reset();
    BOOST_TEST(read(port(0xcf8, 4)) == 0u);
    StateReader reader(writer.bytes());
    host->restore(reader);
    BOOST_TEST(read(port(0xcfc, 4)) == 0x1004u);
    host->reset();
    BOOST_TEST(read(port(0xcfc, 4)) == 0xffff'ffffu);
}

BOOST_AUTO_TEST_SUITE_END()

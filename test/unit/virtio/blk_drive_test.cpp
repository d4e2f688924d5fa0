// A virtio disk that is changed while requests are under way and others wait for the change.
#define BOOST_TEST_MODULE virtio_blk
#include <asyncvm/drive.hpp>

#include <boost/test/unit_test.hpp>

#include "blk_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

namespace {

struct WithDrive {
    std::shared_ptr<Drive> drive;
};

struct InDrive : WithDrive, BlkFixture {
    InDrive()
        : BlkFixture(std::make_shared<FakeDisk>(),
                     [this](const std::shared_ptr<FakeDisk>& of, asio::io_context& device_loop) {
                         drive = std::make_shared<Drive>(parse_disk_spec("fake"), of, device_loop, Log());
                         return drive;
                     }) {}

    void begin(awaitable<void> change) {
        asio::co_spawn(loop, std::move(change), [this](const std::exception_ptr& failure) {
            BOOST_TEST(!failure);
            changed = true;
        });
        poll();
    }

    bool changed = false;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_reset_takes_back_what_waits_for_a_change, InDrive) {
    start(usual);
    disk->hold();
    ask(0, Kind::read, 0, 512);
    notify(0);
    begin(drive->resize(128 << 10));
    ask(3, Kind::write, 8, 512);
    notify(0);
    BOOST_TEST(disk->calls.size() == 1u);
    begin_write(R::status, 0);
    BOOST_TEST(!write_done);
    BOOST_TEST(!changed);
    disk->release();
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(changed);
    BOOST_TEST((disk->calls == std::vector<std::string>{"read", "resize 131072"}));
    BOOST_TEST(ring().used_index() == 0u);
    start(usual);
    BOOST_TEST(config<std::uint32_t>(0) == 256u);
    BOOST_TEST(answer(Kind::write, 255, 512) == ok);
}

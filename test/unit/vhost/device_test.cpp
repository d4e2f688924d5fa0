// A virtio device that a back end serves: rings, interrupts, resets, and back ends that can't be used.
#define BOOST_TEST_MODULE vhost_device
#include <boost/test/unit_test.hpp>

#include <set>

#include "vhost_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::vhost;

namespace {

struct CardFixture : VhostFixture {
    CardFixture() : VhostFixture(VhostUserSpec::Kind::network) { spec.mac = {0x52, 0x54, 0, 1, 2, 3}; }
};
struct DiskFixture : VhostFixture {
    DiskFixture() : VhostFixture(VhostUserSpec::Kind::disk) {}
};

/// The message of a back end that is refused; `limit` is for each of its answers.
std::string refusal(VhostFixture& fixture, Conduct conduct, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    fixture.back_end.reset();
    fixture.live(std::move(conduct));
    fixture.environment.reply_limit = limit;
    try {
        static_cast<void>(connect_vhost_user(fixture.spec, fixture.environment));
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::host));
        return error.what();
    }
    return {};
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_back_end_serves_the_rings_of_the_driver, VhostFixture) {
    begin();
    BOOST_TEST(driver->read(R::device_id) == 26u);
    BOOST_TEST(back_end->accepted_features() == (virtio::feature_version_1 | has_protocol_features));
    BOOST_TEST(back_end->count(Request::set_mem_table) == 1u);
    offer(0, "hello");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 5}));
    BOOST_TEST(answer(0, 5) == "olleh");
    until([this] { return driver->interrupted(); });
    BOOST_TEST(driver->acknowledge() == 1u);
    offer(2, "abc", 1);
    kick(1);
    BOOST_TEST((wait_for_used(1) == RingDriver::Used{2, 3}));
    BOOST_TEST(answer(2, 3, 1) == "cba");
    BOOST_TEST(lines.empty());
    BOOST_TEST(driver->log.empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_offered_and_notified_before_driver_ok_is_served_after_it, VhostFixture) {
    live();
    connect();
    BOOST_REQUIRE(driver->negotiate(virtio::feature_version_1));
    driver->rings.push_back(std::make_unique<RingDriver>(driver->memory, 0x1000, std::uint16_t{8}));
    driver->set_up_queue(0, driver->ring());
    offer(0, "early");
    kick();
    driver->be_ready();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 5}));
    BOOST_TEST(!back_end->enabled(1));
}

BOOST_FIXTURE_TEST_CASE(the_driver_is_offered_what_the_back_end_has, VhostFixture) {
    Conduct conduct;
    conduct.features &= ~virtio::feature_event_index;
    live(conduct);
    connect();
    BOOST_TEST(driver->offered() == (virtio::feature_version_1 | virtio::feature_indirect));
    BOOST_TEST(driver->read(R::config + 36) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_reset_of_the_driver_waits_until_the_back_end_has_let_go, VhostFixture) {
    begin();
    offer(0, "one");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    reset();
    BOOST_TEST(back_end->count(Request::get_vring_base) == 2u);
    BOOST_TEST(!back_end->enabled(0));
    BOOST_TEST(!back_end->enabled(1));
    BOOST_TEST(driver->read(R::status) == 0u);
    // It begins anew, with the memory that the back end has.
    driver->start(virtio::feature_version_1 | virtio::feature_indirect, 2);
    until([this] { return back_end->enabled(1); });
    BOOST_TEST(back_end->base(0) == 0u);
    BOOST_TEST(back_end->accepted_features() ==
               (virtio::feature_version_1 | virtio::feature_indirect | has_protocol_features));
    BOOST_TEST(back_end->count(Request::set_mem_table) == 1u);
    offer(0, "two");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "owt");
}

BOOST_FIXTURE_TEST_CASE(a_late_call_of_before_a_reset_interrupts_nobody, VhostFixture) {
    Conduct conduct;
    conduct.holds = true;
    begin(conduct);
    offer(0, "held");
    kick();
    until([this] { return back_end->held() == 1; });
    reset();
    back_end->release();
    driver->poll();
    BOOST_TEST(!driver->interrupted());
    BOOST_TEST(driver->read(R::interrupt_status) == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_paused_machine_s_driver_is_interrupted_when_it_goes_on, VhostFixture) {
    begin();
    driver->surroundings.gate->close();
    offer(0, "text");
    kick();
    BOOST_TEST((wait_for_used() == RingDriver::Used{0, 4}));
    driver->poll();
    BOOST_TEST(!driver->interrupted());
    driver->surroundings.gate->open();
    until([this] { return driver->interrupted(); });
}

BOOST_FIXTURE_TEST_CASE(the_end_of_the_machine_ends_the_connection, VhostFixture) {
    begin();
    driver->stop_run.emit(asio::cancellation_type::terminal);
    until([this] { return driver->run_ended; });
    BOOST_TEST(lines.empty());
}

BOOST_FIXTURE_TEST_CASE(a_loop_may_be_destroyed_while_a_back_end_serves, VhostFixture) {
    begin();
    offer(0, "text");
    kick();
    const std::lock_guard lock(mutex);
    driver.reset();
}

BOOST_FIXTURE_TEST_CASE(a_device_whose_state_is_elsewhere_is_not_saved, VhostFixture) {
    begin();
    const auto saved = [this] { static_cast<void>(driver->saved()); };
    BOOST_CHECK_EXCEPTION(saved(), Error, [](const Error& error) {
        return std::string_view(error.what()) ==
               "a machine with vhost-user-fs can't be saved: a part of its state is in the back end";
    });
}

BOOST_FIXTURE_TEST_CASE(memory_that_nobody_else_can_map_is_refused, VhostFixture) {
    live();
    const auto make = [this](asio::io_context&) { return connect_vhost_user(spec, environment); };
    BOOST_CHECK_EXCEPTION(virtio::MmioDriver{make}, Error, [](const Error& error) {
        return error.kind() == ErrorKind::usage &&
               std::string_view(error.what()).find("needs shared guest memory") != std::string_view::npos;
    });
}

BOOST_FIXTURE_TEST_CASE(a_disk_shows_the_back_end_s_configuration, DiskFixture) {
    Conduct conduct;
    conduct.features |= 1 << 12 | 1 << 5;
    conduct.config[1] = std::byte{2};  // a capacity of 512 sectors
    conduct.config.resize(48);
    live(conduct);
    connect();
    BOOST_TEST(driver->read(R::device_id) == 2u);
    BOOST_TEST(driver->read(R::config) == 512u);
    BOOST_TEST(driver->read(R::config + 34, 2) == 2u);
    BOOST_TEST((driver->offered() & 0xffff) == (1u << 12 | 1u << 5));
    BOOST_TEST(back_end->count(Request::get_config) == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_card_s_link_is_down_while_nobody_serves_it, CardFixture) {
    begin();
    BOOST_TEST(driver->read(R::config + 6, 2) == 1u);
    BOOST_TEST(driver->read(R::config, 1) == 0x52u);
    die();
    until([this] { return driver->interrupted(); });
    BOOST_TEST(driver->acknowledge() == 2u);
    BOOST_TEST(driver->read(R::config + 6, 2) == 0u);
    live();
    until([this] { return driver->interrupted(); });
    BOOST_TEST(driver->read(R::config + 6, 2) == 1u);
}

BOOST_FIXTURE_TEST_CASE(without_a_back_end_there_is_no_device, VhostFixture) {
    environment.start_limit = std::chrono::milliseconds(30);
    const auto open = [this] { static_cast<void>(connect_vhost_user(spec, environment)); };
    BOOST_CHECK_EXCEPTION(open(), Error, [this](const Error& error) {
        return error.kind() == ErrorKind::host &&
               error.what() == "cannot use the vhost-user back end at " + place.path() +
                                   ": no such file or directory (start it first, as this program's user)";
    });
    spec.path = "/tmp/" + std::string(200, 'x');
    BOOST_CHECK_EXCEPTION(open(), Error, [](const Error& error) { return error.kind() == ErrorKind::usage; });
}

BOOST_FIXTURE_TEST_CASE(a_back_end_that_is_a_moment_late_is_waited_for, VhostFixture) {
    environment.start_limit = std::chrono::seconds(20);
    std::thread late([this] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        live();
    });
    connect();
    late.join();
    BOOST_TEST(driver->read(R::device_id) == 26u);
}

BOOST_FIXTURE_TEST_CASE(a_back_end_that_can_not_be_used_is_refused_with_its_reason, VhostFixture) {
    const auto has = [](const std::string& text, std::string_view part) { return text.find(part) != text.npos; };
    Conduct old;
    old.features = 0;
    BOOST_TEST(has(refusal(*this, old), "it does not offer VIRTIO_F_VERSION_1"));
    Conduct small;
    small.queues = 1;
    BOOST_TEST(has(refusal(*this, small), "it serves 1 queues, too few"));
    spec.kind = VhostUserSpec::Kind::disk;
    Conduct no_disk;
    no_disk.config.clear();
    BOOST_TEST(has(refusal(*this, no_disk), "it is no vhost-user-blk: it has no such configuration"));
    Conduct silent;
    silent.protocol &= ~protocol_config;
    BOOST_TEST(has(refusal(*this, silent), "it does not tell its configuration"));
}

BOOST_FIXTURE_TEST_CASE(answers_that_break_the_protocol_are_refused_at_each_question, VhostFixture) {
    spec.kind = VhostUserSpec::Kind::disk;
    const std::map<Mischief, std::string> reasons{
        {Mischief::hang_up, "it has closed the connection"},
        {Mischief::no_answer, "it has not answered request"},
        {Mischief::wrong_request, "with 999"},
        {Mischief::no_reply_flag, "and was asked for an answer"},
        {Mischief::short_answer, " bytes"},
        {Mischief::long_answer, " bytes"},
        {Mischief::endless_answer, "it sends a message of 4294967295 bytes"},
        {Mischief::other_version, "it speaks version 2"},
        {Mischief::gift, "descriptors in place of 0"},
        {Mischief::two_answers, "and was not asked"},
    };
    for (const auto request :
         {Request::get_features, Request::get_protocol_features, Request::get_queue_num, Request::get_config}) {
        for (const auto& [mischief, reason] : reasons) {
            // The second answer to the last question comes when nobody reads any more.
            if (mischief == Mischief::two_answers && request == Request::get_config) continue;
            // Of the first question only: on a busy host an answer to an earlier one may take as long.
            const bool none = mischief == Mischief::no_answer;
            if (none && request != Request::get_features) continue;
            Conduct conduct;
            conduct.mischief[request] = mischief;
            const auto text = none ? refusal(*this, conduct, std::chrono::milliseconds(200)) : refusal(*this, conduct);
            BOOST_TEST(text.find(reason) != text.npos, static_cast<unsigned>(request)
                                                           << ' ' << static_cast<int>(mischief) << ": " << text);
        }
    }
}

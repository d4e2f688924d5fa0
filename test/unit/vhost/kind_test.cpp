// Disks, file systems and network cards of back ends: what the driver sees.
#include <asyncvm/error.hpp>
#include <asyncvm/vhost_user.hpp>

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <string>

#include "vhost/handshake.hpp"
#include "vhost/kind.hpp"

using namespace asyncvm;
using namespace asyncvm::vhost;

namespace {

constexpr std::uint64_t all = ~std::uint64_t{0};

BackEnd disk_back_end() {
    BackEnd back_end{.features = all, .protocol = known_protocol_features, .queues = 4};
    back_end.config.assign(60, std::byte{7});
    return back_end;
}

std::string complaint(std::string_view text) {
    try {
        static_cast<void>(parse_file_system_spec(text));
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::usage));
        return error.what();
    }
    return {};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_disk_has_the_back_end_s_configuration_and_as_many_queues_as_both_want) {
    Kind disk({.kind = VhostUserSpec::Kind::disk, .queues = 3});
    BOOST_TEST(disk.id() == 2u);
    BackEnd back_end = disk_back_end();
    BOOST_TEST(disk.queues(back_end).size() == 3u);
    const auto config = disk.config(back_end, true);
    BOOST_REQUIRE(config.size() == 60u);
    BOOST_TEST((config[0] == std::byte{7}));
    BOOST_TEST((config[34] == std::byte{3}));
    BOOST_TEST((config[35] == std::byte{0}));
    back_end.queues = 2;
    BOOST_TEST(disk.queues(back_end).size() == 2u);
    back_end.features &= ~(std::uint64_t{1} << 12);
    BOOST_TEST(disk.queues(back_end).size() == 1u);
    // Without a switch for the cache.
    BOOST_TEST(disk.features(disk_back_end()) == 0x7676u);
    BOOST_TEST(disk.own_features() == 0u);
}

BOOST_AUTO_TEST_CASE(a_file_system_has_a_name_and_two_queues) {
    Kind files({.kind = VhostUserSpec::Kind::file_system, .tag = "home"});
    BOOST_TEST(files.id() == 26u);
    BOOST_TEST(files.queues({.queues = 8}).size() == 2u);
    const auto config = files.config({}, true);
    BOOST_REQUIRE(config.size() == 40u);
    BOOST_TEST(std::memcmp(config.data(), "home\0", 5) == 0);
    BOOST_TEST((config[36] == std::byte{1}));
    BOOST_TEST(files.features({.features = all}) == 0u);
    BOOST_TEST(files.config_sizes().empty());
}

BOOST_AUTO_TEST_CASE(a_network_card_has_an_address_and_a_link_of_its_own) {
    Kind card({.kind = VhostUserSpec::Kind::network, .mac = {0x52, 0x54, 0, 1, 2, 3}});
    BOOST_TEST(card.id() == 1u);
    BOOST_TEST(card.queues({.queues = 8}).size() == 2u);
    BOOST_TEST(card.features({}) == ((1u << 5) | (1u << 16)));
    BOOST_TEST((card.features({.features = all}) & ((1u << 17) | (1u << 22))) == 0u);
    const auto up = card.config({}, true);
    BOOST_REQUIRE(up.size() == 8u);
    BOOST_TEST((up[0] == std::byte{0x52}));
    BOOST_TEST((up[6] == std::byte{1}));
    BOOST_TEST((card.config({}, false)[6] == std::byte{0}));
    Kind wide({.kind = VhostUserSpec::Kind::network, .mtu = 9000});
    BOOST_TEST(wide.own_features() == ((1u << 3) | (1u << 5) | (1u << 16)));
    const auto config = wide.config({}, true);
    BOOST_REQUIRE(config.size() == 12u);
    BOOST_TEST((config[10] == std::byte{9000 & 0xff} && config[11] == std::byte{9000 >> 8}));
}

BOOST_AUTO_TEST_CASE(the_features_of_the_rings_are_the_back_end_s_but_for_packed_ones) {
    Kind files({.kind = VhostUserSpec::Kind::file_system, .tag = "home"});
    const std::uint64_t ring = virtio::feature_version_1 | virtio::feature_indirect;
    BOOST_TEST((files.refused_features({.features = ring}) & ring) == 0u);
    BOOST_TEST((files.refused_features({.features = ring}) & virtio::feature_event_index) != 0u);
    BOOST_TEST(files.refused_features({.features = all}) == std::uint64_t{1} << 34);
}

BOOST_AUTO_TEST_CASE(a_back_end_that_lacks_what_the_guest_uses_can_not_follow_another) {
    Kind disk({.kind = VhostUserSpec::Kind::disk, .queues = 3});
    const BackEnd before = disk_back_end();
    BOOST_TEST(lacks(before, before, disk, all) == "");
    BackEnd now = before;
    now.features &= ~virtio::feature_indirect;
    BOOST_TEST(lacks(now, before, disk, virtio::feature_version_1) == "");
    BOOST_TEST(lacks(now, before, disk, virtio::feature_indirect | virtio::feature_version_1) ==
               "it lacks features that the guest uses (0x10000000)");
    now = before;
    now.queues = 2;
    BOOST_TEST(lacks(now, before, disk, 0) == "it has fewer queues than the one before");
    now = before;
    now.config.pop_back();
    BOOST_TEST(lacks(now, before, disk, 0) == "it has another configuration than the one before");
}

BOOST_AUTO_TEST_CASE(a_file_system_is_a_socket_and_a_tag_in_either_order) {
    for (const char* text : {"/tmp/a.sock,tag=home", "tag=home,socket=/tmp/a.sock", "socket=/tmp/a.sock,tag=home"}) {
        const auto spec = parse_file_system_spec(text);
        BOOST_TEST(spec.path == "/tmp/a.sock");
        BOOST_TEST(spec.tag == "home");
        BOOST_TEST((spec.kind == VhostUserSpec::Kind::file_system));
    }
    BOOST_TEST(parse_file_system_spec("/tmp/a,,b,tag=t").path == "/tmp/a,b");
    BOOST_TEST(complaint("/tmp/a") ==
               "'/tmp/a': tag= is missing: the name that the guest mounts (for example /tmp/fs.sock,tag=home)");
    BOOST_TEST(complaint("tag=home").find("the path of the back end's socket is missing") != std::string::npos);
    BOOST_TEST(complaint("/tmp/a,tag=home,cache=on").find("there is no option 'cache=on'") != std::string::npos);
    BOOST_TEST(complaint("/tmp/a,,tag=home").find("tag= is missing") != std::string::npos);
    BOOST_TEST(complaint("/tmp/a,tag=" + std::string(36, 'x')) == "");
    BOOST_TEST(complaint("/tmp/a,tag=" + std::string(37, 'x')).find("has 37 bytes") != std::string::npos);
}

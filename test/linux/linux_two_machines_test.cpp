// Two Linux machines on networks of their own: on a stream socket, and on datagrams.
#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace linux_test;

BOOST_AUTO_TEST_CASE(two_linux_machines_ping_each_other_and_streams_between_them_come_back_whole) {
    const TemporaryDirectory directory;
    const auto stream = directory.file("stream");
    const auto one = directory.file("one");
    const auto other = directory.file("other");
    SerialVm server("tcp:0", booting("", {"--net", "stream:unix:" + stream + ",server", "--net",
                                          "dgram:unix:" + one + ",remote=" + other}));
    server.wait_for_error("net0: listens on");
    SerialVm client("tcp:0", booting("", {"--net", "stream:unix:" + stream + ",mac=02:00:00:00:00:01", "--net",
                                          "dgram:unix:" + other + ",remote=" + one + ",mac=02:00:00:00:00:02"}));
    Shell at_server(server);
    Shell at_client(client);
    const auto configure = [](Shell& shell, const std::string& number) {
        shell.wait_for("guest# ");
        shell.type("for n in 0 1; do ip addr add 10.0.$n." + number +
                   "/24 dev eth$n; ip link set eth$n up; done; echo configured=$?\n");
        shell.wait_for("configured=0");
    };
    configure(at_server, "1");
    configure(at_client, "2");
    for (const std::string network : {"10.0.0.", "10.0.1."}) {
        at_server.forget();
        at_client.forget();
        at_client.type("ping -c 3 -s 1400 " + network + "1\n");
        at_client.wait_for("3 packets transmitted, 3 packets received, 0% packet loss");
        at_server.type("ping -c 1 " + network + "2\n");
        at_server.wait_for("1 packets transmitted, 1 packets received, 0% packet loss");
        at_server.type("peer echo tcp 7000\n");
        at_server.wait_for("tcp 7000 is open");
        at_client.type("peer send tcp " + network + "1 7000 1048576\n");
        at_client.wait_for("1048576 bytes came back, 0 wrong");
        at_server.wait_for("echoed 1048576 bytes");
    }
    at_client.type("poweroff -f\n");
    client.check_end(0);
    at_server.type("poweroff -f\n");
    server.check_end(0);
}

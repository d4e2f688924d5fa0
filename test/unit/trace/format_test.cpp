#define BOOST_TEST_MODULE trace
#include <boost/test/unit_test.hpp>

#include <nlohmann/json.hpp>
#include <random>

#include "trace/json_format.hpp"
#include "trace/perfetto_fields.hpp"
#include "trace/perfetto_format.hpp"

using namespace asyncvm::trace;
using wire::Field;
using wire::Reader;

namespace {

std::vector<Field> fields_of(std::string_view message) {
    std::vector<Field> fields;
    Reader reader(message);
    while (const auto field = reader.next()) fields.push_back(*field);
    BOOST_TEST(reader.rest().empty());
    return fields;
}

/// The only field of that number; number 0 if there is none.
Field only(std::string_view message, unsigned number) {
    Field found;
    for (const Field& field : fields_of(message)) {
        if (field.number != number) continue;
        BOOST_TEST(found.number == 0U);
        found = field;
    }
    return found;
}

/// A trace of a few events in a format.
template <typename AFormat>
std::string short_trace() {
    std::string out;
    AFormat format(out);
    format.begin({.boottime = 1000, .monotonic = 900, .realtime = 5000}, 7, "asyncvm \"x\"");
    format.declare(tracks::first_cpu, tracks::process, "vCPU 0", Format::TrackKind::slices);
    format.declare(tracks::first_chardev, tracks::process, "serial0", Format::TrackKind::slices);
    format.declare(tracks::first_chardev + 1, tracks::first_chardev, "serial0 output", Format::TrackKind::bytes);
    const Argument arguments[] = {{"port", 0x3f8, true}, {"size", 1}, {"why", 0, false, "so\n"}};
    Event event{.source = 0, .time = 2000, .track = tracks::first_cpu, .name = "uart write", .arguments = arguments};
    event.flow.begins = 3;
    format.slice_begins(event);
    format.slice_ends({.source = 0, .time = 2345, .track = tracks::first_cpu});
    format.slice_begins({.source = 0, .time = 2345, .track = tracks::first_cpu, .name = "guest", .flow = {.ends = 3}});
    format.counter({.source = 1, .time = 2400, .track = tracks::first_chardev + 1, .name = "serial0 output"}, 12);
    format.instant({.source = 1, .time = 2401, .track = tracks::first_chardev, .name = "client came"});
    format.slice_ends({.source = 0, .time = 2500, .track = tracks::first_cpu});
    format.gap(0);
    format.instant({.source = 0, .time = 9000, .track = tracks::first_cpu, .name = "guest"});
    format.end();
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(format)

BOOST_AUTO_TEST_CASE(varints_and_nested_messages_are_what_they_were) {
    std::string out;
    wire::Writer writer(out);
    const std::string long_text(300, 'x');
    writer.varint(1, ~std::uint64_t{0});
    {
        const wire::Writer::Nested nested(writer, 5000);
        writer.bytes(2, long_text);
        const wire::Writer::Nested deeper(writer, 3);
    }
    writer.fixed64(4, 0x0123456789abcdef);
    const auto all = fields_of(out);
    BOOST_TEST_REQUIRE(all.size() == 3U);
    BOOST_TEST(all[0].value == ~std::uint64_t{0});
    BOOST_TEST(all[1].number == 5000U);
    BOOST_TEST(only(all[1].bytes, 2).bytes == long_text);
    BOOST_TEST(only(all[1].bytes, 3).bytes.empty());
    BOOST_TEST(all[2].value == 0x0123456789abcdefU);
}

BOOST_AUTO_TEST_CASE(the_reader_takes_any_bytes_and_never_leaves_them) {
    std::mt19937 random(1);
    const std::string good = short_trace<PerfettoFormat>();
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = good.substr(0, random() % good.size());
        for (int changes = 0; changes < 3 && !bytes.empty(); ++changes)
            bytes[random() % bytes.size()] = static_cast<char>(random());
        Reader reader(bytes);
        while (const auto field = reader.next()) {
            BOOST_TEST_REQUIRE(field->bytes.size() <= bytes.size());
            Reader inner(field->bytes);
            while (inner.next()) {
            }
        }
    }
    BOOST_TEST(!Reader(std::string(11, '\xff')).next());
    BOOST_TEST(!Reader(std::string_view("\x0b\x0c", 2)).next());
    BOOST_TEST(!Reader(std::string_view("\x00\x01", 2)).next());
}

BOOST_AUTO_TEST_CASE(perfetto_gets_deltas_and_names_by_number_and_says_so) {
    const auto trace = short_trace<PerfettoFormat>();
    std::vector<std::string_view> packets;
    for (const Field& field : fields_of(trace)) {
        BOOST_TEST(field.number == perfetto::trace_packet);
        BOOST_TEST(only(field.bytes, perfetto::packet::sequence_id).value > 0U);
        packets.push_back(field.bytes);
    }
    BOOST_TEST_REQUIRE(packets.size() == 15U);
    // The clocks, the process and three tracks; then a sequence begins, whose own clock alone counts from packet to packet.
    std::vector<unsigned> incremental;
    for (const auto packet : {packets[0], packets[5]}) {
        for (const Field& clock : fields_of(only(packet, perfetto::packet::clock_snapshot).bytes))
            incremental.push_back(only(clock.bytes, perfetto::snapshot::clock_is_incremental).number);
    }
    BOOST_TEST(incremental == (std::vector<unsigned>{0, 0, 0, 0, perfetto::snapshot::clock_is_incremental}),
               boost::test_tools::per_element());
    const auto counter = only(packets[4], perfetto::packet::track_descriptor).bytes;
    BOOST_TEST(only(counter, perfetto::descriptor::parent_uuid).value == (7ULL << 32) + tracks::first_chardev);
    BOOST_TEST(only(only(counter, perfetto::descriptor::counter).bytes, perfetto::descriptor::counter_unit).value == 3U);
    BOOST_TEST(only(packets[5], perfetto::packet::sequence_flags).value == perfetto::flags::state_cleared);
    BOOST_TEST(only(packets[5], perfetto::packet::timestamp).value == 2000U);
    BOOST_TEST(only(packets[5], perfetto::packet::timestamp_clock_id).value == perfetto::clocks::boottime);
    const auto defaults = only(packets[5], perfetto::packet::defaults).bytes;
    BOOST_TEST(only(defaults, perfetto::defaults::timestamp_clock_id).value == perfetto::clocks::deltas);
    // The slice.
    BOOST_TEST(only(packets[6], perfetto::packet::timestamp).value == 0U);
    BOOST_TEST(only(packets[6], perfetto::packet::timestamp_clock_id).number == 0U);
    const auto begin = only(packets[6], perfetto::packet::track_event).bytes;
    BOOST_TEST(only(begin, perfetto::event::type).value == perfetto::event::slice_begin);
    BOOST_TEST(only(begin, perfetto::event::name_iid).value == 1U);
    BOOST_TEST(only(begin, perfetto::event::flow_ids).value == 3U);
    BOOST_TEST((only(begin, perfetto::event::flow_ids).type == wire::Type::fixed64));
    BOOST_TEST(only(begin, perfetto::event::track_uuid).number == 0U);
    BOOST_TEST(only(begin, perfetto::event::counter_value).number == 0U);
    std::string kinds;
    for (const Field& field : fields_of(begin)) {
        if (field.number != perfetto::event::annotation) continue;
        if (only(field.bytes, perfetto::annotation::pointer_value).value == 0x3f8) kinds += "pointer ";
        if (only(field.bytes, perfetto::annotation::uint_value).value == 1) kinds += "number ";
        if (only(field.bytes, perfetto::annotation::string_value).bytes == "so\n") kinds += "text";
    }
    BOOST_TEST(kinds == "pointer number text");
    BOOST_TEST(only(packets[7], perfetto::packet::timestamp).value == 345U);
    const auto guest = only(packets[8], perfetto::packet::track_event).bytes;
    BOOST_TEST(only(guest, perfetto::event::terminating_flow_ids).value == 3U);
    BOOST_TEST(only(guest, perfetto::event::name_iid).value == 2U);
    // Another source has numbers of its own.
    BOOST_TEST(only(packets[9], perfetto::packet::sequence_flags).value == perfetto::flags::state_cleared);
    BOOST_TEST(only(only(packets[10], perfetto::packet::track_event).bytes, perfetto::event::counter_value).value == 12U);
    // After the gap everything is introduced again.
    BOOST_TEST(only(packets[13], perfetto::packet::previous_packet_dropped).value == 1U);
    BOOST_TEST(only(packets[13], perfetto::packet::sequence_flags).value == perfetto::flags::state_cleared);
    BOOST_TEST(only(packets[14], perfetto::packet::interned_data).number != 0U);
}

BOOST_AUTO_TEST_CASE(perfetto_is_told_of_lost_packets_only_where_there_were_some_before) {
    std::string out;
    PerfettoFormat format(out);
    format.gap(0);
    format.instant({.source = 1, .time = 5, .track = tracks::machine, .name = "a"});
    format.gap(0);
    format.instant({.source = 0, .time = 6, .track = tracks::machine, .name = "b"});
    format.gap(1);
    format.instant({.source = 1, .time = 7, .track = tracks::machine, .name = "c"});
    std::vector<std::uint64_t> dropped;
    for (const Field& packet : fields_of(out)) {
        if (only(packet.bytes, perfetto::packet::sequence_flags).value == perfetto::flags::state_cleared)
            dropped.push_back(only(packet.bytes, perfetto::packet::previous_packet_dropped).value);
    }
    BOOST_TEST(dropped == (std::vector<std::uint64_t>{0, 0, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(perfettos_time_stands_where_an_event_comes_late) {
    std::string out;
    PerfettoFormat format(out);
    std::vector<std::uint64_t> deltas;
    for (const std::uint64_t time : {50, 40, 60})
        format.instant({.source = 0, .time = time, .track = tracks::machine, .name = "a"});
    for (const Field& packet : fields_of(out)) deltas.push_back(only(packet.bytes, perfetto::packet::timestamp).value);
    BOOST_TEST(deltas == (std::vector<std::uint64_t>{50, 0, 0, 10}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(json_is_json_with_and_without_its_end) {
    const auto trace = short_trace<JsonFormat>();
    const auto all = nlohmann::json::parse(trace);
    BOOST_TEST(nlohmann::json::parse(trace.substr(0, trace.size() - 3) + "]").size() == all.size());
    std::string phases;
    for (const auto& event : all) phases += event["ph"].get<std::string>();
    BOOST_TEST(phases == "MMMMMMBsEBfCiEi");
    BOOST_TEST(all[1]["args"]["name"] == "asyncvm \"x\"");
    BOOST_TEST(all[6]["args"]["port"] == "0x3f8");
    BOOST_TEST(all[6]["args"]["why"] == "so\n");
    BOOST_TEST(all[6]["ts"].get<double>() == 2.0);
    // The arrow ends at the slice around it, and not at the next one.
    BOOST_TEST(all[10].value("bp", "") == "e");
    BOOST_TEST(!all[7].contains("bp"));
    BOOST_TEST(trace.find("\"ts\":2.345,\"name\":\"guest\"") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

// Random transfers, many at once, on each kind of disk: what is read is what was written last, as a model in memory has it.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "block/file_backend.hpp"
#include "nbd_fixture.hpp"

#include <algorithm>
#include <list>
#include <random>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

constexpr std::size_t model_sector = 4096;  // what O_DIRECT wants
constexpr std::size_t model_size = 256 * model_sector;
constexpr unsigned at_once = 32;
constexpr unsigned transfers = 2'000;

struct Extent {
    std::size_t offset;
    std::size_t size;
    bool changes;
};

/// Makes transfers that do not race with each other, and knows what the disk has to have.
class Model {
public:
    Model(BlockBackend& disk, Bytes bytes) : disk_(disk), bytes_(std::move(bytes)) {}

    /// Everything, `at_once` at a time.
    void run(asio::io_context& loop) {
        for (unsigned i = 0; i < at_once; ++i) {
            asio::co_spawn(loop, work(*this), [this, &loop](const std::exception_ptr& failure) {
                BOOST_TEST(!failure);
                if (++ended_ == at_once) loop.stop();
            });
        }
        loop.restart();
        loop.run();
        BOOST_TEST(begun_ == transfers);
        BOOST_TEST(wrong_ == 0u);
        BOOST_TEST(most_under_way_ > at_once / 2);
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }

private:
    [[nodiscard]] static awaitable<void> work(Model& model) {
        while (model.begun_ < transfers) {
            ++model.begun_;
            const auto extent = model.choose();
            co_await model.transfer(*extent);
            model.under_way_.erase(extent);
            // A disk that answers at once shall be shared, too.
            co_await asio::post(use_awaitable);
        }
    }

    [[nodiscard]] std::list<Extent>::iterator choose() {
        for (;;) {
            const std::size_t size = (1 + random_() % 8) * model_sector;
            const std::size_t offset = random_() % ((model_size - size) / model_sector + 1) * model_sector;
            const Extent extent{offset, size, random_() % 2 == 0};
            const bool races = std::ranges::any_of(under_way_, [&extent](const Extent& other) {
                const bool apart = extent.offset + extent.size <= other.offset || other.offset + other.size <= extent.offset;
                return !apart && (extent.changes || other.changes);
            });
            if (races) continue;
            under_way_.push_back(extent);
            most_under_way_ = std::max(most_under_way_, under_way_.size());
            return std::prev(under_way_.end());
        }
    }

    [[nodiscard]] awaitable<void> transfer(const Extent& extent) {
        const auto place = bytes_.begin() + static_cast<std::ptrdiff_t>(extent.offset);
        Bytes memory(extent.size);
        const auto kind = random_() % 8;
        const std::size_t cut = random_() % extent.size;
        std::error_code error;
        if (!extent.changes) {
            const std::array<std::span<std::byte>, 2> to{std::span(memory).first(cut), std::span(memory).subspan(cut)};
            error = co_await disk_.read(extent.offset, to);
            if (!std::equal(memory.begin(), memory.end(), place)) ++wrong_;
        } else if (kind == 0) {
            error = co_await disk_.write_zeroes(extent.offset, extent.size, cut % 2 == 0);
            std::ranges::copy(memory, place);
        } else {
            memory = pattern(extent.size, static_cast<unsigned>(random_()));
            const std::array<std::span<const std::byte>, 2> from{std::span(memory).first(cut),
                                                                 std::span(memory).subspan(cut)};
            error = co_await disk_.write(extent.offset, from);
            std::ranges::copy(memory, place);
            if (!error && kind == 1) error = co_await disk_.flush();
        }
        if (error) ++wrong_;
    }

    BlockBackend& disk_;
    Bytes bytes_;
    std::mt19937 random_{20261129};  // NOLINT: the same sequence each time
    std::list<Extent> under_way_;
    std::size_t most_under_way_ = 0;
    unsigned begun_ = 0;
    unsigned ended_ = 0;
    unsigned wrong_ = 0;
};

struct ModelFixture : NbdFixture {
    void run_on(BlockBackend& disk) {
        Model model(disk, pattern(model_size, 1));
        model.run(loop);
        BOOST_TEST((read(disk, 0, model_size) == model.bytes()));
        last = model.bytes();
    }

    Bytes last;
    const std::string image = make_image(pattern(model_size, 1));
};

}  // namespace

BOOST_DATA_TEST_CASE_F(ModelFixture, a_file_has_what_was_written_last, boost::unit_test::data::make({"", ",cache=none"}),
                       options) {
    {
        std::shared_ptr<BlockBackend> disk;
        const auto why = refused([&] { disk = open_disk(parse_disk_spec(image + options), loop, log()); });
        if (has(why, "can't go past the page cache")) {
            BOOST_TEST_MESSAGE("SKIP: " << why);
            return;
        }
        BOOST_REQUIRE(disk);
        run_on(*disk);
    }
    BOOST_TEST((contents(image) == last));
}

BOOST_DATA_TEST_CASE_F(ModelFixture, threads_write_what_is_read, boost::unit_test::data::make({false, true}), direct) {
    {
        DiskSpec spec;
        spec.source = image;
        spec.direct = direct;
        std::shared_ptr<BlockBackend> disk;
        const auto why = refused([&] {
            disk = std::make_shared<block::FileBackend>(block::open_file(spec), loop, log(), block::Engines::threads);
        });
        if (has(why, "can't go past the page cache")) {
            BOOST_TEST_MESSAGE("SKIP: " << why);
            return;
        }
        run_on(*disk);
    }
    BOOST_TEST((contents(image) == last));
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_has_what_was_written_last_and_the_image_has_not, ModelFixture) {
    const auto disk = open_disk(parse_disk_spec(image + ",snapshot"), loop, log());
    run_on(*disk);
    BOOST_TEST((contents(image) == pattern(model_size, 1)));
}

BOOST_FIXTURE_TEST_CASE(an_nbd_server_has_what_was_written_last, ModelFixture, *with_nbdkit()) {
    Server server(nbdkit({"file", image}), socket);
    {
        const auto disk = open();
        run_on(*disk);
    }
    BOOST_TEST((contents(image) == last));
}

#include "services/store/rocksdb_node.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "services/cluster/circuit_breaker.h"
#include "services/store/record_format.h"
#include "tests/unit/store/fault_env.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

using Codes = std::vector<PageCode>;

PageName Named(Offset offset, Version version = 1) { return {1, offset, version}; }

std::vector<PageName> NamesFrom(Offset first, size_t count, Version version = 1) {
  std::vector<PageName> names;
  for (size_t i = 0; i < count; ++i) {
    names.push_back(Named(first + i, version));
  }
  return names;
}

void ExpectPlain(NodeCalls calls, const PageName& name, bool shrinks) {
  const auto reply = calls.Get({name});
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->pages[0].code, PageCode::kOk);
  EXPECT_EQ(PlainBytes(*reply, 0), PlainOf(name, shrinks));
}

// Writes a record's value as it is, past the node.
void Overwrite(StoreDb& store, const PageName& name, const std::string& value) {
  ASSERT_TRUE(store.db().Put({}, store.pages(), AsSlice(EncodePageKey(name)), value).ok());
}

std::string ValueOf(StoreDb& store, const PageName& name) {
  std::string value;
  const rocksdb::Status got =
      store.db().Get({}, store.pages(), AsSlice(EncodePageKey(name)), &value);
  EXPECT_TRUE(got.ok()) << got.ToString();
  return value;
}

TEST(RocksdbNode, APageComesBackAsItWas) {
  StoreSetup setup;
  const OwnedPage raw = RawPage(Named(1), /*shrinks=*/false);
  const OwnedPage lz4 = Lz4Page(Named(2));
  const auto put = setup.calls().Put({raw.put, lz4.put});
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->incarnation, setup.store().incarnation());
  EXPECT_EQ(put->pages[0].stored_bytes, kPageBytes);
  EXPECT_EQ(put->pages[1].stored_bytes, lz4.bytes.size());
  const auto got = setup.calls().Get({Named(2), Named(3), Named(1)});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->pages[1].code, PageCode::kNotFound);
  const std::pair<size_t, const OwnedPage*> wanted[] = {{0, &lz4}, {2, &raw}};
  for (const auto& [i, page] : wanted) {
    const GotPage& found = got->pages[i];
    EXPECT_EQ(found.code, PageCode::kOk);
    EXPECT_EQ(found.encoding, page->put.encoding);
    EXPECT_EQ(found.stamp, page->put.stamp);
    EXPECT_EQ(found.page_checksum, page->put.page_checksum);
    EXPECT_EQ(found.record_checksum, page->put.record_checksum);
    EXPECT_TRUE(std::ranges::equal(got->BytesOf(found), page->bytes));
  }
}

TEST(RocksdbNode, ARawPageThatShrinksIsCompressedUnlessItIsToStayAsItIs) {
  StoreSetup setup;
  OwnedPage raw = RawPage(Named(1), /*shrinks=*/true);
  OwnedPage as_is = RawPage(Named(2), /*shrinks=*/true);
  as_is.put.as_is = true;
  const auto put = setup.calls().Put({raw.put, as_is.put});
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_LT(put->pages[0].stored_bytes, kPageBytes / 2);
  EXPECT_EQ(put->pages[1].stored_bytes, kPageBytes);
  ExpectPlain(setup.calls(), Named(1), true);
  ExpectPlain(setup.calls(), Named(2), true);
  const auto got = setup.calls().Get({Named(1)});
  EXPECT_EQ(got->pages[0].page_checksum, raw.put.page_checksum);
  EXPECT_EQ(got->pages[0].record_checksum,
            RecordChecksum(Named(1), raw.put.stamp, raw.put.page_checksum, Encoding::kLz4,
                           got->BytesOf(got->pages[0])));
}

TEST(RocksdbNode, BadPagesAreToldApartAndTheirNeighboursKept) {
  StoreSetup setup;
  OwnedPage bad_record = RawPage(Named(1), true);
  bad_record.put.record_checksum ^= 1;
  OwnedPage bad_page = RawPage(Named(2), true);
  bad_page.put.page_checksum ^= 1;
  SetRecordChecksum(bad_page.put);
  OwnedPage bad_lz4 = Lz4Page(Named(3));
  bad_lz4.bytes.resize(bad_lz4.bytes.size() / 2);
  bad_lz4.put.bytes = bad_lz4.bytes;
  SetRecordChecksum(bad_lz4.put);
  OwnedPage short_raw = RawPage(Named(4), true);
  short_raw.put.bytes = short_raw.put.bytes.first(kPageBytes - 1);
  SetRecordChecksum(short_raw.put);
  OwnedPage zero = RawPage(Named(5), true);
  zero.put.encoding = Encoding::kZero;
  SetRecordChecksum(zero.put);
  const OwnedPage good = RawPage(Named(6), true);
  const auto put = setup.calls().Put(
      {bad_record.put, bad_page.put, bad_lz4.put, short_raw.put, zero.put, good.put});
  ASSERT_TRUE(put.ok()) << put.status();
  const Codes wanted = {PageCode::kCorrupt, PageCode::kCorrupt, PageCode::kInvalid,
                        PageCode::kInvalid, PageCode::kInvalid, PageCode::kOk};
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(put->pages[i].code, wanted[i]) << "page " << i + 1;
  }
  EXPECT_EQ(setup.calls().Statistics().pages, 1u);
  EXPECT_EQ(setup.calls().AllNames(), (std::vector<PageName>{Named(6)}));
}

TEST(RocksdbNode, ExactlyTheCapacityFits) {
  StoreSetup setup({10, 4});
  EXPECT_EQ(setup.calls().PutRaw(NamesFrom(0, 9)), Codes(9, PageCode::kOk));
  EXPECT_EQ(setup.calls().PutRaw(NamesFrom(20, 3)),
            (Codes{PageCode::kOk, PageCode::kResourceExhausted, PageCode::kResourceExhausted}));
  EXPECT_EQ(setup.calls().Statistics().pages, 10u);
  EXPECT_EQ(setup.calls().Statistics().pages_capacity, 10u);
  ASSERT_TRUE(setup.calls().Delete({Named(3)}).ok());
  EXPECT_EQ(setup.calls().PutRaw(NamesFrom(30, 2)),
            (Codes{PageCode::kOk, PageCode::kResourceExhausted}));
}

TEST(RocksdbNode, AReplacementMayOverlapUpToTheReserve) {
  StoreSetup setup({10, 4});
  setup.calls().PutRaw(NamesFrom(0, 10));
  EXPECT_EQ(setup.calls().PutRaw(NamesFrom(0, 5, 2), /*replaces_bytes=*/1000),
            (Codes{PageCode::kOk, PageCode::kOk, PageCode::kOk, PageCode::kOk,
                   PageCode::kResourceExhausted}));
  EXPECT_EQ(setup.calls().PutRaw(Named(50)), PageCode::kResourceExhausted);
  ASSERT_TRUE(setup.calls().Delete(NamesFrom(0, 4)).ok());
  EXPECT_EQ(setup.calls().Statistics().pages, 10u);
  EXPECT_EQ(setup.calls().PutRaw(Named(50)), PageCode::kResourceExhausted);
}

TEST(RocksdbNode, AFullStoreCanBeOverwrittenForEver) {
  StoreSetup setup({64, 16});
  setup.calls().PutRaw(NamesFrom(0, 64));
  for (Version version = 2; version < 20; ++version) {
    for (Offset first = 0; first < 64; first += 16) {
      ASSERT_EQ(setup.calls().PutRaw(NamesFrom(first, 16, version), 1000),
                Codes(16, PageCode::kOk));
      ASSERT_TRUE(setup.calls().Delete(NamesFrom(first, 16, version - 1)).ok());
    }
  }
  EXPECT_EQ(setup.calls().AllNames(), NamesFrom(0, 64, 19));
}

TEST(RocksdbNode, ATierThatIsOffTakesNothing) {
  StoreSetup setup({0, 256});
  EXPECT_EQ(setup.calls().PutRaw(Named(1)), PageCode::kResourceExhausted);
  EXPECT_EQ(setup.calls().PutRaw(Named(1), 1000), PageCode::kResourceExhausted);
  EXPECT_EQ(setup.calls().CodeOf(Named(1)), PageCode::kNotFound);
}

TEST(RocksdbNode, RepeatedPutsAndDeletesCountOnce) {
  StoreSetup setup({2, 0});
  setup.calls().PutRaw(NamesFrom(0, 2));
  const NodeStatistics full = setup.calls().Statistics();
  EXPECT_EQ(setup.calls().PutRaw(NamesFrom(0, 2)), Codes(2, PageCode::kOk));
  EXPECT_EQ(setup.calls().Statistics().pages, full.pages);
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, full.payload_bytes);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(setup.calls().Delete({Named(0), Named(9)}).ok());
    EXPECT_EQ(setup.calls().Statistics().pages, 1u);
    EXPECT_EQ(setup.calls().Statistics().payload_bytes, full.payload_bytes / 2);
  }
}

TEST(RocksdbNode, APutAgainInAnotherLengthIsCountedAnew) {
  StoreSetup setup;
  OwnedPage page = RawPage(Named(1), true);
  page.put.as_is = true;
  ASSERT_TRUE(setup.calls().Put({page.put}).ok());
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, kPageBytes);
  page.put.as_is = false;
  const auto put = setup.calls().Put({page.put});
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, put->pages[0].stored_bytes);
  ExpectPlain(setup.calls(), Named(1), true);
}

TEST(RocksdbNode, CountsStayExactUnderPutsAndDeletesOfTheSameNamesAtOnce) {
  StoreSetup setup({1000, 0}, /*threads=*/4);
  constexpr int kCalls = 600;
  SeededRandom random(17);
  std::vector<OwnedPage> pages;
  for (Offset offset = 0; offset < 8; ++offset) {
    pages.push_back(RawPage(Named(offset), offset % 2 == 0));
  }
  std::atomic<int> left = kCalls;
  std::promise<void> all;
  const auto answered = [&](const Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    if (left.fetch_sub(1) == 1) {
      all.set_value();
    }
  };
  for (int i = 0; i < kCalls; ++i) {
    const uint64_t first = random.Below(8);
    const uint64_t second = (first + 1 + random.Below(7)) % 8;
    if (random.Below(2) == 0) {
      setup.node().Put({pages[first].put, pages[second].put}, Lane::kPageOut,
                       [&](const auto& reply) { answered(reply.status()); });
    } else {
      setup.node().Delete({Named(first), Named(second)},
                          [&](const auto& reply) { answered(reply.status()); });
    }
  }
  all.get_future().wait();
  const std::vector<PageName> names = setup.calls().AllNames();
  uint64_t bytes = 0;
  for (const PageName& name : names) {
    bytes += setup.calls().Get({name})->pages[0].stored_bytes;
  }
  EXPECT_EQ(setup.calls().Statistics().pages, names.size());
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, bytes);
  const NodeStatistics before = setup.calls().Statistics();
  ASSERT_TRUE(setup.Reopen().ok());
  EXPECT_EQ(setup.calls().Statistics().pages, before.pages);
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, before.payload_bytes);
}

TEST(RocksdbNode, InventoryListsAllNamesInOrderInPieces) {
  StoreSetup setup;
  const std::vector<PageName> names = {{1, 5, 1}, {1, 5, 300}, {1, 256, 2}, {2, 1, 1}, {300, 0, 1}};
  ASSERT_EQ(setup.calls().PutRaw({names[3], names[0], names[4], names[2], names[1]}),
            Codes(5, PageCode::kOk));
  for (uint32_t limit = 1; limit <= 6; ++limit) {
    EXPECT_EQ(setup.calls().AllNames(limit), names) << "limit " << limit;
  }
}

TEST(RocksdbNode, PagesAndCountsOutliveADropAndADeleteStays) {
  StoreSetup setup;
  setup.calls().PutRaw(NamesFrom(0, 20));
  ASSERT_TRUE(setup.calls().Delete({Named(4)}).ok());
  const NodeStatistics before = setup.calls().Statistics();
  ASSERT_TRUE(setup.Reopen().ok());
  const NodeStatistics after = setup.calls().Statistics();
  EXPECT_EQ(after.incarnation, before.incarnation);
  EXPECT_EQ(after.pages, 19u);
  EXPECT_EQ(after.payload_bytes, before.payload_bytes);
  EXPECT_EQ(setup.calls().CodeOf(Named(4)), PageCode::kNotFound);
  ExpectPlain(setup.calls(), Named(5), true);
}

TEST(RocksdbNode, EveryFlippedByteOfARecordIsFound) {
  StoreSetup setup;
  setup.calls().PutRaw({Named(1), Named(2)});
  const std::string value = ValueOf(setup.store(), Named(1));
  SeededRandom random(5);
  uint64_t found = 0;
  for (size_t i = 0; i < value.size(); i += i < kRecordHeadBytes ? 1 : 97) {
    std::string damaged = value;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << random.Below(8)));
    Overwrite(setup.store(), Named(1), damaged);
    EXPECT_EQ(setup.calls().CodeOf(Named(1)), PageCode::kCorrupt) << "byte " << i;
    EXPECT_EQ(setup.node().corrupt_pages(), ++found);
  }
  for (const std::string& damaged : {std::string(), value.substr(0, 10), value + "x"}) {
    Overwrite(setup.store(), Named(1), damaged);
    EXPECT_EQ(setup.calls().CodeOf(Named(1)), PageCode::kCorrupt) << damaged.size() << " bytes";
  }
  ExpectPlain(setup.calls(), Named(2), true);
  Overwrite(setup.store(), Named(1), value);
  ExpectPlain(setup.calls(), Named(1), true);
}

TEST(RocksdbNode, ARecordUnderAnotherNameIsCorrupt) {
  StoreSetup setup;
  setup.calls().PutRaw({Named(1, 1), Named(1, 2)});
  Overwrite(setup.store(), Named(1, 2), ValueOf(setup.store(), Named(1, 1)));
  EXPECT_EQ(setup.calls().CodeOf(Named(1, 2)), PageCode::kCorrupt);
}

TEST(RocksdbNode, AVanishedRecordIsCorruptAndNotMissing) {
  StoreSetup setup;
  setup.calls().PutRaw({Named(1)});
  ASSERT_TRUE(
      setup.store().db().Delete({}, setup.store().pages(), AsSlice(EncodePageKey(Named(1)))).ok());
  EXPECT_EQ(setup.calls().CodeOf(Named(1)), PageCode::kCorrupt);
}

// RocksDB's checksum fails for the whole block; ours finds the one page.
TEST(RocksdbNode, AByteFlippedInAFileLosesExactlyThatPage) {
  StoreSetup setup;
  const std::vector<PageName> names = NamesFrom(0, 40);
  setup.calls().PutRaw(names);
  ASSERT_TRUE(setup.store().db().Flush({}, setup.store().pages()).ok());
  const std::string needle = ValueOf(setup.store(), names[17]).substr(kRecordHeadBytes, 64);
  setup.Drop();
  int flips = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(setup.options.directory + "/rocksdb")) {
    if (entry.path().extension() != ".sst") {
      continue;
    }
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const size_t at = bytes.find(needle);
    if (at != std::string::npos) {
      file.clear();
      file.seekp(static_cast<std::streamoff>(at + 20));
      file.put(static_cast<char>(bytes[at + 20] ^ 16));
      ++flips;
    }
  }
  ASSERT_EQ(flips, 1);
  ASSERT_TRUE(setup.Open().ok());
  const auto got = setup.calls().Get(names);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(got->pages[i].code, i == 17 ? PageCode::kCorrupt : PageCode::kOk) << "page " << i;
    if (i != 17) {
      EXPECT_EQ(PlainBytes(*got, i), PlainOf(names[i], true));
    }
  }
  EXPECT_EQ(setup.node().corrupt_pages(), 1u);
  // Its room comes back all the same.
  ASSERT_TRUE(setup.calls().Delete({names[17]}).ok());
  EXPECT_EQ(setup.calls().CodeOf(names[17]), PageCode::kNotFound);
  EXPECT_EQ(setup.calls().Statistics().pages, 39u);
}

// Its pages can be loaded, and are.
TEST(RocksdbNode, AStoreWhoseDiskTakesNoWritesIsNotTakenForSilent) {
  FaultEnv disk;
  StoreSetup setup({1000, 0});
  setup.options.env = disk.env();
  ASSERT_TRUE(setup.Reopen().ok());
  SteadyClock clock;
  CircuitBreaker breaker(setup.node(), {.failures_max = 3}, clock);
  NodeCalls calls(breaker);
  calls.PutRaw(NamesFrom(0, 3));
  disk.FailWrites(true);
  for (Offset offset = 10; offset < 20; ++offset) {
    EXPECT_EQ(calls.PutRaw(Named(offset)), PageCode::kUnset);
    EXPECT_FALSE(calls.Delete({Named(1)}).ok());
  }
  EXPECT_FALSE(breaker.open());
  for (Offset offset = 0; offset < 3; ++offset) {
    ExpectPlain(calls, Named(offset), true);
  }
  disk.FailWrites(false);
}

TEST(RocksdbNode, APutThatTheDiskRefusesIsAnsweredAndNotCounted) {
  FaultEnv disk;
  StoreSetup setup({1000, 0});
  setup.options.env = disk.env();
  ASSERT_TRUE(setup.Reopen().ok());
  setup.calls().PutRaw(NamesFrom(0, 3));
  const NodeStatistics before = setup.calls().Statistics();
  disk.FailWrites(true);
  const OwnedPage page = RawPage(Named(7), true);
  EXPECT_EQ(setup.calls().Put({page.put}).status().code(), StatusCode::kInternal);
  EXPECT_EQ(setup.calls().Delete({Named(0)}).code(), StatusCode::kInternal);
  EXPECT_EQ(setup.calls().Statistics().pages, before.pages);
  EXPECT_EQ(setup.calls().Statistics().payload_bytes, before.payload_bytes);
  EXPECT_GT(setup.store().background_errors(), 0u);
  ExpectPlain(setup.calls(), Named(1), true);
  disk.FailWrites(false);
  ASSERT_TRUE(setup.Reopen().ok());
  EXPECT_EQ(setup.calls().PutRaw(Named(7)), PageCode::kOk);
  EXPECT_EQ(setup.calls().Statistics().pages, 4u);
}

TEST(RocksdbNode, BadBatchesAreNamed) {
  StoreSetup setup;
  const auto expect_field = [](const Status& status, std::string_view field) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_NE(MessageOf(status).find(field), std::string_view::npos) << status;
    EXPECT_NE(MessageOf(status).find("allowed"), std::string_view::npos) << status;
  };
  for (const std::vector<PageName>& names :
       {std::vector<PageName>{}, NamesFrom(0, kBatchPagesMax + 1),
        std::vector<PageName>{Named(1), Named(1)}}) {
    std::vector<OwnedPage> owned;
    std::vector<PutPage> pages;
    for (const PageName& name : names) {
      owned.push_back(RawPage(name, true));
      pages.push_back(owned.back().put);
    }
    expect_field(setup.calls().Put(pages).status(), "pages");
    expect_field(setup.calls().Get(names).status(), "pages");
    expect_field(setup.calls().Delete(names), "pages");
  }
  expect_field(setup.calls().Inventory("", 0).status(), "limit");
  expect_field(setup.calls().Inventory("", 4097).status(), "limit");
  expect_field(setup.calls().Inventory("abc", 1).status(), "cursor");
  EXPECT_EQ(setup.calls().Statistics().pages, 0u);
}

}  // namespace
}  // namespace vswap

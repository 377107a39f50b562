#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "tests/support/node_calls.h"

// What every body of Node must do. A body's test, a program of its own, includes this and
// instantiates it:
//   INSTANTIATE_TEST_SUITE_P(Memory, NodeContract, testing::Values(NodeFactory(...)));
namespace vswap {

// A body and what it stands on. It answers without help of the test's thread.
class NodeSetup {
 public:
  virtual ~NodeSetup() = default;
  virtual Node& node() = 0;
  // Changes a byte of the record.
  virtual void Damage(const PageName& name) = 0;
};

// A node that is empty, with room for 40 to 4000 pages as RawPage(name, true) makes them (about 1
// KiB compressed), and an overlap reserve for at least 4 of them.
using NodeFactory = std::function<std::unique_ptr<NodeSetup>()>;

class NodeContract : public testing::TestWithParam<NodeFactory> {
 protected:
  using Codes = std::vector<PageCode>;
  static constexpr size_t kRoomPagesMin = 40;
  static constexpr size_t kRoomPagesMax = 4000;

  static PageName Named(Offset offset, Version version = 1) { return {1, offset, version}; }
  static std::vector<PageName> NamesFrom(Offset first, size_t count, Version version = 1) {
    std::vector<PageName> names;
    for (size_t i = 0; i < count; ++i) {
      names.push_back(Named(first + i, version));
    }
    return names;
  }
  NodeCalls calls() { return NodeCalls(setup_->node()); }
  void Damage(const PageName& name) { setup_->Damage(name); }

  void ExpectHeld(const PageName& name) {
    const auto got = calls().Get({name});
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(got->pages[0].code, PageCode::kOk) << Name(got->pages[0].code);
    EXPECT_EQ(PlainBytes(*got, 0), PlainOf(name, true));
  }
  uint32_t StoredBytes(const PageName& name) { return calls().Get({name})->pages[0].stored_bytes; }

  // Pages one by one until one finds no room: the number that did.
  size_t Fill(Offset first = 0) {
    size_t count = 0;
    while (count <= kRoomPagesMax && calls().PutRaw(Named(first + count)) == PageCode::kOk) {
      ++count;
    }
    EXPECT_GE(count, kRoomPagesMin);
    EXPECT_LE(count, kRoomPagesMax);
    return count;
  }
  void ExpectField(const Status& status, std::string_view field) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_NE(MessageOf(status).find(field), std::string_view::npos) << status;
    EXPECT_NE(MessageOf(status).find("allowed"), std::string_view::npos) << status;
  }

 private:
  std::unique_ptr<NodeSetup> setup_ = GetParam()();
};

TEST_P(NodeContract, APageComesBackWithWhatWasKeptWithIt) {
  const OwnedPage raw = RawPage(Named(1), true);
  const OwnedPage lz4 = Lz4Page(Named(2));
  const auto put = calls().Put({raw.put, lz4.put});
  ASSERT_TRUE(put.ok()) << put.status();
  const auto got = calls().Get({Named(2), Named(1)});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->incarnation, put->incarnation);
  for (const size_t i : {0u, 1u}) {
    const GotPage& page = got->pages[i];
    const OwnedPage& wanted = i == 0 ? lz4 : raw;
    ASSERT_EQ(page.code, PageCode::kOk);
    EXPECT_EQ(page.stored_bytes, put->pages[1 - i].stored_bytes);
    EXPECT_EQ(page.stamp, wanted.put.stamp);
    EXPECT_EQ(page.page_checksum, wanted.put.page_checksum);
    EXPECT_EQ(page.record_checksum, RecordChecksum(wanted.put.name, page.stamp, page.page_checksum,
                                                   page.encoding, got->BytesOf(page)));
    EXPECT_EQ(PlainBytes(*got, i), PlainOf(wanted.put.name, true));
  }
  EXPECT_TRUE(std::ranges::equal(got->BytesOf(got->pages[0]), lz4.bytes));
}

TEST_P(NodeContract, AMovedPageStaysExactlyAsItIs) {
  OwnedPage raw = RawPage(Named(1), true);
  OwnedPage noise = RawPage(Named(2), false);
  OwnedPage lz4 = Lz4Page(Named(3));
  for (OwnedPage* page : {&raw, &noise, &lz4}) {
    page->put.as_is = true;
    page->put.page_checksum ^= 1;  // not looked at: only the client can judge sealed bytes
    SetRecordChecksum(page->put);
  }
  const auto put = calls().Put({raw.put, noise.put, lz4.put});
  ASSERT_TRUE(put.ok()) << put.status();
  const auto got = calls().Get({Named(1), Named(2), Named(3)});
  ASSERT_TRUE(got.ok()) << got.status();
  const OwnedPage* const wanted[] = {&raw, &noise, &lz4};
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(got->pages[i].code, PageCode::kOk) << "page " << i;
    EXPECT_EQ(got->pages[i].encoding, wanted[i]->put.encoding);
    EXPECT_EQ(got->pages[i].record_checksum, wanted[i]->put.record_checksum);
    EXPECT_TRUE(std::ranges::equal(got->BytesOf(got->pages[i]), wanted[i]->bytes));
  }
}

TEST_P(NodeContract, OnlyTheExactVersionIsFound) {
  ASSERT_EQ(calls().PutRaw({Named(1, 5), Named(1, 7)}), Codes(2, PageCode::kOk));
  const auto got = calls().Get({Named(1, 6), Named(1, 7), Named(2, 5), {2, 1, 5}, Named(1, 5)});
  ASSERT_TRUE(got.ok()) << got.status();
  const Codes wanted = {PageCode::kNotFound, PageCode::kOk, PageCode::kNotFound,
                        PageCode::kNotFound, PageCode::kOk};
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(got->pages[i].code, wanted[i]) << "page " << i;
  }
  EXPECT_EQ(PlainBytes(*got, 1), PlainOf(Named(1, 7), true));
  EXPECT_EQ(PlainBytes(*got, 4), PlainOf(Named(1, 5), true));
}

TEST_P(NodeContract, LargestNamesAreNames) {
  const PageName name{~SpaceId{0}, kSpacePagesMax - 1, kVersionMax};
  ASSERT_EQ(calls().PutRaw(name), PageCode::kOk);
  ExpectHeld(name);
  EXPECT_EQ(calls().AllNames(), std::vector<PageName>{name});
}

TEST_P(NodeContract, DeleteTakesExactlyTheNamedVersions) {
  calls().PutRaw({Named(1, 5), Named(1, 7), Named(2, 5)});
  ASSERT_TRUE(calls().Delete({Named(1, 5), Named(2, 7)}).ok());
  EXPECT_EQ(calls().CodeOf(Named(1, 5)), PageCode::kNotFound);
  ExpectHeld(Named(1, 7));
  ExpectHeld(Named(2, 5));
}

TEST_P(NodeContract, PutsAndDeletesRepeatedAreHarmless) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(calls().PutRaw(NamesFrom(0, 3)), Codes(3, PageCode::kOk));
    EXPECT_EQ(calls().Statistics().pages, 3u);
    ExpectHeld(Named(1));
  }
  const uint64_t bytes = calls().Statistics().payload_bytes;
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(calls().Delete({Named(0), Named(9)}).ok());
    EXPECT_EQ(calls().Statistics().pages, 2u);
    EXPECT_LT(calls().Statistics().payload_bytes, bytes);
  }
  ExpectHeld(Named(1));
  EXPECT_EQ(calls().PutRaw(Named(0)), PageCode::kOk);
  EXPECT_EQ(calls().Statistics().payload_bytes, bytes);
}

TEST_P(NodeContract, BadPagesAreToldApartAndTheirNeighboursKept) {
  OwnedPage bad_record = RawPage(Named(1), true);
  bad_record.put.record_checksum ^= 1;
  OwnedPage bad_page = RawPage(Named(2), true);
  bad_page.put.page_checksum ^= 1;
  SetRecordChecksum(bad_page.put);
  OwnedPage bad_bytes = Lz4Page(Named(3));
  bad_bytes.bytes[10] ^= std::byte{1};
  OwnedPage short_lz4 = Lz4Page(Named(4));
  short_lz4.put.bytes = short_lz4.put.bytes.first(short_lz4.bytes.size() / 2);
  SetRecordChecksum(short_lz4.put);
  OwnedPage short_raw = RawPage(Named(5), true);
  short_raw.put.bytes = short_raw.put.bytes.first(kPageBytes - 1);
  SetRecordChecksum(short_raw.put);
  OwnedPage zero = RawPage(Named(6), true);
  zero.put.encoding = Encoding::kZero;
  SetRecordChecksum(zero.put);
  const OwnedPage good = RawPage(Named(7), true);
  const auto put = calls().Put({bad_record.put, bad_page.put, bad_bytes.put, short_lz4.put,
                                short_raw.put, zero.put, good.put});
  ASSERT_TRUE(put.ok()) << put.status();
  const Codes wanted = {PageCode::kCorrupt, PageCode::kCorrupt, PageCode::kCorrupt,
                        PageCode::kInvalid, PageCode::kInvalid, PageCode::kInvalid,
                        PageCode::kOk};
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(put->pages[i].code, wanted[i]) << "page " << i + 1;
  }
  EXPECT_EQ(calls().AllNames(), std::vector<PageName>{Named(7)});
  ExpectHeld(Named(7));
}

TEST_P(NodeContract, BadBatchesAreNamed) {
  std::vector<PageName> many = NamesFrom(0, kBatchPagesMax + 1);
  for (const std::vector<PageName>& names :
       {std::vector<PageName>{}, many, std::vector<PageName>{Named(1), Named(1)}}) {
    std::vector<OwnedPage> owned;
    std::vector<PutPage> pages;
    for (const PageName& name : names) {
      owned.push_back(RawPage(name, true));
      pages.push_back(owned.back().put);
    }
    ExpectField(calls().Put(pages).status(), "pages");
    ExpectField(calls().Get(names).status(), "pages");
    ExpectField(calls().Verify(names).status(), "pages");
    ExpectField(calls().Delete(names), "pages");
  }
  ExpectField(calls().Inventory("", 0).status(), "limit");
  ExpectField(calls().Inventory("", 4097).status(), "limit");
  ExpectField(calls().Inventory("?", 1).status(), "cursor");
  EXPECT_EQ(calls().Statistics().pages, 0u);
}

TEST_P(NodeContract, InventoryInPiecesListsEachNameOnce) {
  std::vector<PageName> names = {{1, 5, 1}, {1, 5, 300}, {1, 256, 2}, {2, 1, 1}, {300, 0, 1}};
  ASSERT_EQ(calls().PutRaw(names), Codes(5, PageCode::kOk));
  for (uint32_t limit = 1; limit <= 6; ++limit) {
    std::vector<PageName> listed = calls().AllNames(limit);
    std::ranges::sort(listed);
    EXPECT_EQ(listed, names) << "limit " << limit;
  }
}

// Names come and go between the pieces, also the one that the cursor stands on.
TEST_P(NodeContract, InventoryListsWhatStaysWhileOthersChange) {
  const std::vector<PageName> stay = NamesFrom(0, 12, 2);
  const std::vector<PageName> go = NamesFrom(0, 12, 1);
  const std::vector<PageName> come = NamesFrom(0, 12, 3);
  calls().PutRaw(stay);
  calls().PutRaw(go);
  std::set<PageName> listed;
  std::string cursor;
  size_t pieces = 0;
  do {
    const auto piece = calls().Inventory(cursor, 3);
    ASSERT_TRUE(piece.ok()) << piece.status();
    EXPECT_LE(piece->names.size(), 3u);
    listed.insert(piece->names.begin(), piece->names.end());
    cursor = piece->next_cursor;
    if (pieces < go.size()) {
      ASSERT_TRUE(calls().Delete({go[pieces]}).ok());
      ASSERT_EQ(calls().PutRaw(come[pieces]), PageCode::kOk);
    }
    if (!piece->names.empty() && piece->names.back().version == 1) {
      ASSERT_TRUE(calls().Delete({piece->names.back()}).ok());
    }
    ASSERT_LT(++pieces, 100u);
  } while (!cursor.empty());
  for (const PageName& name : stay) {
    EXPECT_TRUE(listed.contains(name)) << "offset " << name.offset;
  }
}

TEST_P(NodeContract, VerifyTellsSoundDamagedAndAbsentRecordsApart) {
  const std::vector<PageName> names = NamesFrom(0, 9);
  ASSERT_EQ(calls().PutRaw(names), Codes(9, PageCode::kOk));
  std::vector<PageName> asked = names;
  asked.push_back(Named(77));
  Codes expected(9, PageCode::kOk);
  expected.push_back(PageCode::kNotFound);
  for (const size_t bad : {0, 4, 5, 8}) {
    Damage(names[bad]);
    expected[bad] = PageCode::kCorrupt;
  }
  const uint64_t before = calls().Statistics().corrupt_pages;
  const auto reply = calls().Verify(asked);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->codes, expected);
  EXPECT_EQ(reply->incarnation, calls().Statistics().incarnation);
  EXPECT_EQ(calls().Statistics().corrupt_pages, before + 4);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(calls().Verify({names[i]})->codes, Codes{expected[i]}) << "offset " << i;
  }
}

TEST_P(NodeContract, AListingTellsOfDamagedRecordsTooAndCountsNothing) {
  const std::vector<PageName> names = NamesFrom(0, 9);
  ASSERT_EQ(calls().PutRaw(names), Codes(9, PageCode::kOk));
  Damage(names[4]);
  const uint64_t before = calls().Statistics().corrupt_pages;
  std::vector<PageName> all = calls().AllNames();
  std::ranges::sort(all);
  EXPECT_EQ(all, names);
  EXPECT_EQ(calls().Statistics().corrupt_pages, before);
}

TEST_P(NodeContract, StatisticsAddUp) {
  EXPECT_EQ(calls().Statistics().pages, 0u);
  EXPECT_EQ(calls().Statistics().payload_bytes, 0u);
  calls().PutRaw(NamesFrom(0, 9));
  ASSERT_TRUE(calls().Delete(NamesFrom(0, 2)).ok());
  uint64_t bytes = 0;
  for (const PageName& name : NamesFrom(2, 7)) {
    bytes += StoredBytes(name);
  }
  const NodeStatistics statistics = calls().Statistics();
  EXPECT_EQ(statistics.pages, 7u);
  EXPECT_EQ(statistics.payload_bytes, bytes);
  EXPECT_EQ(statistics.incarnation, calls().Inventory("", 1)->incarnation);
  EXPECT_EQ(statistics.incarnation, calls().Get({Named(2)})->incarnation);
  ASSERT_TRUE(calls().Delete(NamesFrom(2, 7)).ok());
  EXPECT_EQ(calls().Statistics().pages, 0u);
  EXPECT_EQ(calls().Statistics().payload_bytes, 0u);
}

TEST_P(NodeContract, ExactlyThePagesWithoutRoomAreRefused) {
  const size_t held = Fill();
  const NodeStatistics full = calls().Statistics();
  EXPECT_EQ(full.pages, held);
  // A page that is held already needs no room, the others find none.
  EXPECT_EQ(calls().PutRaw({Named(5000), Named(3), Named(5001)}),
            (Codes{PageCode::kResourceExhausted, PageCode::kOk, PageCode::kResourceExhausted}));
  EXPECT_EQ(calls().CodeOf(Named(5000)), PageCode::kNotFound);
  EXPECT_EQ(calls().Statistics().pages, held);
  EXPECT_EQ(calls().Statistics().payload_bytes, full.payload_bytes);
  for (const Offset offset : {Offset{0}, Offset{3}, held - 1}) {
    ExpectHeld(Named(offset));
  }
  // Room comes back with a delete, and is then taken.
  ASSERT_TRUE(calls().Delete({Named(3)}).ok());
  EXPECT_EQ(calls().PutRaw({Named(6000), Named(6001)}),
            (Codes{PageCode::kOk, PageCode::kResourceExhausted}));
  ExpectHeld(Named(6000));
}

TEST_P(NodeContract, AFullNodeCanBeOverwrittenForEver) {
  const size_t held = Fill();
  for (Version version = 2; version < 6; ++version) {
    for (Offset offset = 0; offset + 4 <= held; offset += 4) {
      const uint32_t replaces = StoredBytes(Named(offset, version - 1));
      ASSERT_EQ(calls().PutRaw(NamesFrom(offset, 4, version), replaces), Codes(4, PageCode::kOk))
          << "offset " << offset << " version " << version;
      ASSERT_TRUE(calls().Delete(NamesFrom(offset, 4, version - 1)).ok());
    }
  }
  ExpectHeld(Named(0, 5));
}

TEST_P(NodeContract, ReplacementsOverlapOnlyUpToTheReserve) {
  const size_t held = Fill();
  size_t over = 0;
  while (over < held && calls().PutRaw(Named(over, 2), StoredBytes(Named(over))) == PageCode::kOk) {
    ++over;
  }
  EXPECT_GE(over, 4u);
  // What was refused changed nothing, and who replaces nothing may not use the reserve.
  if (over < held) {
    EXPECT_EQ(calls().CodeOf(Named(over, 2)), PageCode::kNotFound);
    ExpectHeld(Named(over));
  }
  ASSERT_TRUE(calls().Delete({Named(0, 1)}).ok());
  EXPECT_EQ(calls().PutRaw(Named(7000)), PageCode::kResourceExhausted);
}

TEST_P(NodeContract, ThreadsDoNotDisturbEachOther) {
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kPages = 8;
  {
    std::vector<std::jthread> threads;
    for (uint64_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([this, thread] {
        for (Version version = 1; version <= 20; ++version) {
          const std::vector<PageName> names = NamesFrom(thread * kPages, kPages, version);
          ASSERT_EQ(calls().PutRaw(names), Codes(kPages, PageCode::kOk));
          ExpectHeld(names[version % kPages]);
          if (version < 20) {
            ASSERT_TRUE(calls().Delete(names).ok());
          }
        }
      });
    }
  }
  std::vector<PageName> listed = calls().AllNames(5);
  std::ranges::sort(listed);
  EXPECT_EQ(listed, NamesFrom(0, kThreads * kPages, 20));
  EXPECT_EQ(calls().Statistics().pages, kThreads * kPages);
}

}  // namespace vswap

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>

#include "tests/support/service.h"
#include "tests/support/tcp_proxy.h"

// Allocated spaces and folios through libvswap and a real vswapd.
namespace vswap {
namespace {

using testing::HasSubstr;

// Three stripes and a piece of a fourth one.
constexpr uint64_t kPages = 3 * uint64_t{kStripePages} + 1024;
constexpr uint64_t kCapacityPages = 256;
constexpr size_t kText = 1024;  // shrinks
constexpr size_t kNoise = kPageBytes;

PageBytes Pages(uint64_t key, uint64_t pages, size_t noise_bytes) {
  PageBytes bytes;
  for (uint64_t i = 0; i < pages; ++i) {
    const PageBytes page = NoisyPage(key + i, noise_bytes);
    bytes.insert(bytes.end(), page.begin(), page.end());
  }
  return bytes;
}

class AllocatedEntries : public testing::Test {
 protected:
  std::unique_ptr<SwapClient> Open(const std::string& frontend = "") {
    ClientOptions options = service_.OptionsFor("entries", kPages);
    options.kind = SpaceKind::kAllocated;
    if (!frontend.empty()) {
      options.frontend = frontend;
    }
    StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }
  Offset One(uint32_t order) {
    const auto ranges = client_->Allocate(order, 1);
    EXPECT_TRUE(ranges.ok() && ranges->size() == 1) << ranges.status();
    return ranges.ok() ? ranges->front().offset : 0;
  }
  uint64_t Freed(Offset offset, uint64_t pages) {
    const StatusOr<uint64_t> freed = client_->FreeCounted({{offset, pages}});
    EXPECT_TRUE(freed.ok()) << freed.status();
    return freed.value_or(0);
  }
  PageBytes Loaded(Offset offset, uint64_t pages) {
    PageBytes bytes(pages * kPageBytes);
    EXPECT_TRUE(client_->Load(offset, bytes).AllOk()) << offset;
    return bytes;
  }
  ErrorReason LoadReason(Offset offset, uint64_t pages) {
    PageBytes bytes(pages * kPageBytes);
    return ReasonOf(client_->LoadUnmixed(offset, bytes).status);
  }
  static std::vector<PageCode> All(size_t pages, PageCode code) { return {pages, code}; }

  Service service_{{"--memory-max", "4MiB", "--capacity-pages", std::to_string(kCapacityPages),
                    "--block-cache", "1MiB", "--shards", "8"}};
  std::unique_ptr<SwapClient> client_ = Open();
};

TEST_F(AllocatedEntries, AllOfTheSpaceIsHandedOutOnceOverAllShards) {
  std::set<Offset> seen;
  const auto take = [&](const std::vector<PageRange>& ranges, uint32_t order) {
    for (const PageRange& range : ranges) {
      EXPECT_EQ(range.pages, uint64_t{1} << order);
      EXPECT_EQ(range.offset % range.pages, 0u);
      EXPECT_LE(range.offset + range.pages, kPages);
      for (Offset slot = range.offset; slot < range.offset + range.pages; ++slot) {
        EXPECT_TRUE(seen.insert(slot).second) << slot;
      }
    }
  };
  for (uint32_t order = 0; order <= kOrderMax; ++order) {
    const auto ranges = client_->Allocate(order, 3);
    ASSERT_TRUE(ranges.ok()) << ranges.status();
    EXPECT_EQ(ranges->size(), 3u);
    take(*ranges, order);
  }
  // More than there is, of large ones first.
  for (const uint32_t order : {9, 4, 0}) {
    const auto ranges = client_->Allocate(order, kPages);
    ASSERT_TRUE(ranges.ok()) << ranges.status();
    take(*ranges, order);
    EXPECT_EQ(client_->Allocate(order, 1).status().code(), StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(seen.size(), kPages);
  // What is freed is handed out again, wherever it is.
  EXPECT_EQ(Freed(kPages - 512, 512), 512u);
  StatusOr<std::vector<PageRange>> again;
  ASSERT_TRUE(PollUntil([&] { return (again = client_->Allocate(9, 2)).ok(); })) << again.status();
  EXPECT_EQ(*again, (std::vector<PageRange>{{kPages - 512, 512}}));
  const StatusOr<uint64_t> freed = client_->FreeCounted({{0, kPages}});
  ASSERT_TRUE(freed.ok()) << freed.status();
  EXPECT_EQ(*freed, kPages);
}

TEST_F(AllocatedEntries, WhatIsAllocatedOneAfterTheOtherLiesTogether) {
  const Offset first = One(0);
  for (Offset i = 1; i < 100; ++i) {
    ASSERT_EQ(One(0), first + i);
  }
}

TEST_F(AllocatedEntries, ReferencesKeepAPageAndProtectItFromStores) {
  const Offset offset = One(2);
  const PageBytes bytes = Pages(1, 4, kText);
  ASSERT_TRUE(client_->Store(offset, bytes).AllOk());
  EXPECT_EQ(client_->Duplicate({{offset, 1}, {offset + 3, 2}}).codes,
            (std::vector{PageCode::kOk, PageCode::kOk, PageCode::kNotFound}));
  EXPECT_EQ(client_->Store(offset, Pages(9, 4, kText)).codes,
            (std::vector{PageCode::kFailedPrecondition, PageCode::kOk, PageCode::kOk,
                         PageCode::kFailedPrecondition}));
  EXPECT_EQ(client_->StoreWhole(offset, bytes).codes, All(4, PageCode::kFailedPrecondition));
  EXPECT_EQ(Freed(offset, 4), 4u);
  const PageBytes left = Loaded(offset, 1);
  EXPECT_TRUE(std::equal(left.begin(), left.end(), bytes.begin()));
  PageBytes back(4 * kPageBytes);
  EXPECT_EQ(client_->Load(offset, back).codes,
            (std::vector{PageCode::kOk, PageCode::kNotFound, PageCode::kNotFound, PageCode::kOk}));
  EXPECT_EQ(client_->Store(offset, NoisyPage(7, kText)).codes, All(1, PageCode::kOk));
  EXPECT_EQ(Freed(offset, 4), 2u);
  EXPECT_EQ(Freed(offset, 4), 0u);
  EXPECT_EQ(client_->Store(offset, NoisyPage(7, kText)).codes, All(1, PageCode::kNotFound));
  EXPECT_EQ(client_->Duplicate(offset, 1).codes, All(1, PageCode::kNotFound));
  service_.ExpectEmpty();
}

TEST_F(AllocatedEntries, AnEntryHasAtMostSoManyReferences) {
  const Offset offset = One(0);
  for (int i = 1; i < 255; ++i) {
    ASSERT_EQ(client_->Duplicate(offset, 1).codes, All(1, PageCode::kOk)) << i;
  }
  EXPECT_EQ(client_->Duplicate(offset, 1).codes, All(1, PageCode::kResourceExhausted));
  uint64_t freed = 0;
  while (const uint64_t pages = Freed(offset, 1)) {
    freed += pages;
  }
  EXPECT_EQ(freed, 255u);
}

TEST_F(AllocatedEntries, CallsOnTheSameSlotsKeepTheirOrder) {
  const Offset offset = One(0);
  std::vector<PageBytes> pages;
  std::promise<void> done;
  std::atomic<int> left = 200;
  std::vector<std::string> wrong;  // the one thread's that runs callbacks
  const auto expect_ok = [&](const PagesResult& result) {
    if (!result.AllOk()) {
      wrong.push_back(result.status.ToString());
    }
    if (--left == 0) {
      done.set_value();
    }
  };
  for (int i = 0; i < 50; ++i) {
    pages.push_back(NoisyPage(static_cast<uint64_t>(i), kText));
  }
  // Each store finds one reference, if the free before it is over, and no store is still under way
  // when the reference comes.
  for (int i = 0; i < 50; ++i) {
    client_->StoreAsync({{offset, 1}}, pages[static_cast<size_t>(i)], expect_ok);
    client_->DuplicateAsync({{offset, 1}}, expect_ok);
    client_->DuplicateAsync({{offset, 1}}, expect_ok);
    for (int k = 0; k < 2; ++k) {
      client_->FreeAsync({{offset, 1}}, [&, k](const Status& status) {
        if (k == 1) {
          expect_ok({status, {}});
        }
      });
    }
  }
  done.get_future().wait();
  EXPECT_TRUE(wrong.empty()) << wrong.size() << ": " << wrong.front();
  EXPECT_EQ(Loaded(offset, 1), pages.back());
  EXPECT_EQ(Freed(offset, 1), 1u);
  EXPECT_EQ(Freed(offset, 1), 0u);
}

TEST_F(AllocatedEntries, FoliosAreStoredAsAWholeOrNotAtAll) {
  // Noise finds room in the store alone.
  const Offset folio = One(9);
  EXPECT_EQ(client_->StoreWhole(folio, Pages(1, 512, kNoise)).codes,
            All(512, PageCode::kResourceExhausted));
  EXPECT_EQ(Loaded(folio, 512), PageBytes(512 * kPageBytes));
  const PageBytes text = Pages(2, 512, 64);
  EXPECT_TRUE(client_->StoreWhole(folio, text).AllOk());
  EXPECT_EQ(client_->StoreWhole(folio, Pages(3, 512, kNoise)).codes,
            All(512, PageCode::kResourceExhausted));
  EXPECT_EQ(Loaded(folio, 512), text);
  const Offset half = One(8);
  const PageBytes noise = Pages(4, 256, kNoise);
  EXPECT_TRUE(client_->StoreWhole(half, noise).AllOk());
  EXPECT_EQ(client_->StoreWhole(folio, Pages(3, 512, kNoise)).codes,
            All(512, PageCode::kResourceExhausted));
  // Page by page, some of it finds room where something is given back.
  EXPECT_EQ(Freed(half, 4), 4u);
  EXPECT_EQ(client_->StoreWhole(half + 8, Pages(5, 8, kNoise)).codes, All(8, PageCode::kOk));
  PageBytes back(8 * kPageBytes);
  EXPECT_TRUE(client_->Load(half + 8, back).AllOk());
  EXPECT_EQ(back, Pages(5, 8, kNoise));
}

TEST_F(AllocatedEntries, MixedFoliosAreToldAndTheBackingQueryTellsWhereToCut) {
  const Offset folio = One(4);
  EXPECT_EQ(client_->Backing(folio, 4000)->kind, BackingKind::kNone);
  EXPECT_EQ(client_->Backing(folio, 4000)->pages, 16u);
  EXPECT_EQ(client_->Backing(folio + 16, 100)->kind, BackingKind::kFree);
  EXPECT_EQ(client_->Backing(folio + 16, 100)->pages, 100u);
  const PageBytes text = Pages(1, 8, kText);
  const PageBytes noise = Pages(9, 8, kNoise);
  ASSERT_TRUE(client_->StoreWhole(folio, text).AllOk());
  ASSERT_TRUE(client_->StoreWhole(folio + 8, noise).AllOk());
  EXPECT_EQ(LoadReason(folio, 16), ErrorReason::kMixed);
  EXPECT_EQ(LoadReason(folio, 8), ErrorReason::kNone);
  EXPECT_EQ(LoadReason(folio + 8, 8), ErrorReason::kNone);
  EXPECT_EQ(*client_->Backing(folio, 16), (SlotRun{8, BackingKind::kCompressed}));
  EXPECT_EQ(*client_->Backing(folio + 8, 16), (SlotRun{8, BackingKind::kPhysical}));
  PageBytes back(8 * kPageBytes);
  EXPECT_TRUE(client_->LoadUnmixed(folio + 8, back).AllOk());
  EXPECT_EQ(back, noise);
  const auto runs = client_->Extents(folio, 32);
  ASSERT_TRUE(runs.ok());
  EXPECT_EQ(runs->back(), (SlotRun{16, BackingKind::kFree}));
  // A query never goes over the end of its stripe.
  EXPECT_LE(client_->Backing(folio + 16, kPages - folio - 16)->pages, kStripePages);
}

// The answers get lost, and the process dies before they are asked for again.
TEST_F(AllocatedEntries, WhatWasAppliedBeforeAKillIsNotAppliedAgainByTheRetry) {
  TcpProxy proxy(service_.process().listen());
  ASSERT_TRUE(proxy.listening());
  client_ = Open(proxy.address());
  ASSERT_NE(client_, nullptr);
  const auto lose_answer = [&](const std::string& metric, uint64_t pages) {
    EXPECT_TRUE(
        PollUntil([&] { return service_.Metric(metric) >= pages && proxy.swallowed() > 0; }));
    service_.process().Kill();
    proxy.SwallowAnswers(false);
    const Status started = service_.process().Start();
    EXPECT_TRUE(started.ok()) << started;
  };
  const Offset offset = One(3);
  ASSERT_TRUE(client_->Store(offset, Pages(1, 8, kText)).AllOk());

  proxy.SwallowAnswers(true);
  std::promise<PagesResult> duplicated;
  client_->DuplicateAsync({{offset, 8}},
                          [&](PagesResult r) { duplicated.set_value(std::move(r)); });
  lose_answer("vswap_duplicated_total", 8);
  const PagesResult result = duplicated.get_future().get();
  EXPECT_TRUE(result.AllOk()) << result.status;

  proxy.SwallowAnswers(true);
  std::promise<StatusOr<uint64_t>> freed;
  client_->FreeCountedAsync({{offset, 5}}, [&](StatusOr<uint64_t> r) { freed.set_value(r); });
  lose_answer("vswap_frees_total", 5);
  EXPECT_EQ(*freed.get_future().get(), 5u);

  proxy.SwallowAnswers(true);
  std::promise<StatusOr<std::vector<PageRange>>> allocated;
  client_->AllocateAsync(
      0, 7, [&](StatusOr<std::vector<PageRange>> r) { allocated.set_value(std::move(r)); });
  lose_answer("vswap_allocated_total", 7);
  const auto ranges = allocated.get_future().get();
  ASSERT_TRUE(ranges.ok()) << ranges.status();
  EXPECT_EQ(ranges->size(), 7u);

  EXPECT_GE(client_->stats().requests_resent, 3u);
  // Two references, of which five pages lost one; and the seven.
  EXPECT_EQ(Loaded(offset, 8), Pages(1, 8, kText));
  EXPECT_EQ(Freed(offset, 8), 8u);
  EXPECT_EQ(Freed(offset, 8), 3u);
  EXPECT_EQ(Freed(0, kPages), 7u);
}

TEST_F(AllocatedEntries, BadInputIsNamedAndNothingIsSent) {
  const auto invalid = [](const Status& status, const std::string& text) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(text));
  };
  const uint64_t sent = client_->stats().requests_sent;
  invalid(client_->Allocate(10, 1).status(), "order is 10, allowed: 0..9");
  invalid(client_->Allocate(0, 0).status(), "count is 0, allowed: 1..16777216");
  invalid(client_->Allocate(0, 16777217).status(), "count is 16777217");
  invalid(client_->Duplicate(kPages, 1).status, "offset is 99328");
  invalid(client_->Duplicate(0, 0).status, "pages is 0");
  invalid(client_->Duplicate({{7, 2}, {8, 1}}).status, "slot 8 twice");
  PageBytes three(3 * kPageBytes);
  PageBytes two(2 * kPageBytes);
  PageBytes large(1024 * kPageBytes);
  invalid(client_->StoreWhole(0, three).status, "bytes is 3 pages long, allowed: 2^order pages");
  invalid(client_->StoreWhole(0, large).status, "bytes is 1024 pages long");
  invalid(client_->StoreWhole(1, two).status, "offset is 1, allowed: multiples of 2");
  invalid(client_->StoreWhole(0, {}).status, "pages is 0");
  invalid(client_->LoadUnmixed(0, three).status, "bytes is 3 pages long");
  invalid(client_->LoadUnmixed(1, two).status, "offset is 1");
  invalid(client_->Backing(0, 0).status(), "pages is 0");
  invalid(client_->Backing(0, kPages + 1).status(), "pages is 99329");
  invalid(client_->FreeCounted({}).status(), "ranges is 0 long");
  EXPECT_EQ(client_->stats().requests_sent, sent);

  std::promise<Status> answer;
  client_->AllocateAsync(0, 1,
                         [&](const auto&) { answer.set_value(client_->Allocate(0, 1).status()); });
  EXPECT_THAT(std::string(MessageOf(answer.get_future().get())), HasSubstr("from a callback"));
}

TEST_F(AllocatedEntries, ASpaceIsOfOneKind) {
  EXPECT_EQ(client_->space_kind(), SpaceKind::kAllocated);
  ClientOptions options = service_.OptionsFor("entries", kPages);
  options.kind = SpaceKind::kDevice;
  EXPECT_EQ(SwapClient::Open(options).status().code(), StatusCode::kFailedPrecondition);
  options.kind = static_cast<SpaceKind>(3);
  EXPECT_EQ(SwapClient::Open(options).status().code(), StatusCode::kInvalidArgument);
  options.kind = SpaceKind::kUnset;
  client_ = *SwapClient::Open(options);
  EXPECT_EQ(client_->space_kind(), SpaceKind::kAllocated);
  const auto device = service_.Open("device", kPages);
  EXPECT_EQ(device->space_kind(), SpaceKind::kDevice);
  EXPECT_EQ(device->Allocate(0, 1).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(device->Duplicate(0, 1).status.code(), StatusCode::kFailedPrecondition);
  // Folios are for both.
  EXPECT_TRUE(device->StoreWhole(512, Pages(1, 8, kText)).AllOk());
  EXPECT_EQ(*device->FreeCounted({{512, 16}}), 8u);
}

}  // namespace
}  // namespace vswap

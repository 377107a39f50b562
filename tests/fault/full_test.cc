#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "services/common/mutex.h"
#include "tests/support/seed.h"
#include "tests/support/service.h"

// Both tiers of a real vswapd full: who is refused, what stays, what still goes.
namespace vswap {
namespace {

constexpr uint64_t kCapacityPages = 512;
constexpr size_t kText = 1408;  // the page shrinks to about a third
constexpr size_t kLonger = 2560;
constexpr size_t kNoise = kPageBytes;  // does not shrink

class Full : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 1 << 20;
  static constexpr uint64_t kBatch = 64;

  // One page a slot from `first` on, as many as there are codes; those that were stored are known
  // afterwards.
  std::vector<PageCode> Store(Offset first, uint64_t pages, size_t noise_bytes) {
    PageBytes bytes;
    std::vector<PageBytes> contents;
    for (uint64_t i = 0; i < pages; ++i) {
      contents.push_back(NoisyPage(random_.Next64(), noise_bytes));
      bytes.insert(bytes.end(), contents.back().begin(), contents.back().end());
    }
    const PagesResult result = client_->Store(first, bytes);
    EXPECT_TRUE(result.status.ok()) << result.status;
    for (uint64_t i = 0; i < result.codes.size(); ++i) {
      if (result.codes[i] == PageCode::kOk) {
        held_[first + i] = contents[i];
      }
    }
    return result.codes;
  }
  static uint64_t CountOf(const std::vector<PageCode>& codes, PageCode code) {
    return static_cast<uint64_t>(std::ranges::count(codes, code));
  }
  // Stores on from `first` until some page of a batch is refused; the slot behind the last batch.
  Offset FillUp(Offset first, size_t noise_bytes) {
    for (Offset next = first;; next += kBatch) {
      const std::vector<PageCode> codes = Store(next, kBatch, noise_bytes);
      const uint64_t refused = CountOf(codes, PageCode::kResourceExhausted);
      EXPECT_EQ(CountOf(codes, PageCode::kOk) + refused, kBatch);
      if (refused > 0 || testing::Test::HasFailure()) {
        return next + kBatch;
      }
    }
  }
  // Both tiers, to the last page of each. The slot behind.
  Offset FillBoth() {
    Offset end = FillUp(0, kText);
    // Less than a page of that length may be left: single pages, ever shorter ones.
    for (size_t noise = kText; noise > 0; noise -= 128) {
      end = FillUp(end, noise);
    }
    return end;
  }
  // Every slot: what was stored last, or zeros where nothing was.
  void ExpectContents(Offset end) {
    for (Offset at = 0; at < end; at += kBatch) {
      PageBytes bytes(kBatch * kPageBytes);
      ASSERT_TRUE(client_->Load(at, bytes).AllOk());
      for (uint64_t i = 0; i < kBatch; ++i) {
        const auto begin = bytes.begin() + static_cast<ptrdiff_t>(i * kPageBytes);
        const auto held = held_.find(at + i);
        ASSERT_TRUE(std::equal(begin, begin + kPageBytes,
                               held == held_.end() ? zero_.begin() : held->second.begin()))
            << "slot " << at + i;
      }
    }
  }
  std::vector<Offset> HeldSlots() const {
    std::vector<Offset> slots;
    for (const auto& [offset, bytes] : held_) {
      slots.push_back(offset);
    }
    return slots;
  }
  void Shuffle(std::vector<Offset>& slots) {
    for (size_t i = slots.size(); i > 1; --i) {
      std::swap(slots[i - 1], slots[random_.Below(i)]);
    }
  }
  // Every slot once, in this order, by calls of some pages of which many are under way. All must be
  // stored.
  void OverwriteAll(const std::vector<Offset>& slots, const std::map<Offset, size_t>& noise);
  void FreeAllAndExpectEmpty() {
    EXPECT_TRUE(client_->Free(0, kPages).ok());
    service_.ExpectEmpty();
  }

  SeededRandom random_{TestSeed()};
  Service service_{{"--memory-max", "4MiB", "--capacity-pages", std::to_string(kCapacityPages),
                    "--block-cache", "1MiB"}};
  std::unique_ptr<SwapClient> client_ = service_.Open("space", kPages);
  std::map<Offset, PageBytes> held_;
  const PageBytes zero_ = ZeroPage();
};

void Full::OverwriteAll(const std::vector<Offset>& slots, const std::map<Offset, size_t>& noise) {
  Mutex mutex;
  CondVar changed;
  int under_way = 0;
  std::vector<std::string> failures;
  for (size_t at = 0; at < slots.size();) {
    std::vector<PageRange> ranges;
    const auto bytes = std::make_shared<PageBytes>();
    for (uint64_t n = 1 + random_.Below(64); n > 0 && at < slots.size(); --n, ++at) {
      held_[slots[at]] = NoisyPage(random_.Next64(), noise.at(slots[at]));
      ranges.push_back({slots[at], 1});
      bytes->insert(bytes->end(), held_[slots[at]].begin(), held_[slots[at]].end());
    }
    {
      MutexLock lock(mutex);
      while (under_way >= 40) {
        changed.Wait(mutex);
      }
      ++under_way;
    }
    client_->StoreAsync(ranges, *bytes, [&, bytes](const PagesResult& result) {
      MutexLock answered(mutex);
      if (!result.AllOk()) {
        failures.push_back(result.status.ToString() + ", " +
                           std::to_string(CountOf(result.codes, PageCode::kResourceExhausted)) +
                           " refused");
      }
      --under_way;
      changed.NotifyAll();
    });
  }
  MutexLock lock(mutex);
  while (under_way > 0) {
    changed.Wait(mutex);
  }
  EXPECT_TRUE(failures.empty()) << failures.size() << " calls failed; the first: "
                                << (failures.empty() ? "" : failures[0]);
}

TEST_F(Full, OfABatchExactlyThePagesWithoutRoomAreRefused) {
  // Noise goes to the store alone.
  EXPECT_EQ(CountOf(Store(0, kCapacityPages - 37, kNoise), PageCode::kOk), kCapacityPages - 37);
  const std::vector<PageCode> codes = Store(1000, 192, kNoise);
  EXPECT_EQ(CountOf(codes, PageCode::kOk), 37u);
  EXPECT_EQ(CountOf(codes, PageCode::kResourceExhausted), 192u - 37);
  // Zero pages and those for the other tier are none of them.
  PageBytes bytes;
  for (int i = 0; i < 4; ++i) {
    const PageBytes page = i == 1   ? ZeroPage()
                           : i == 2 ? NoisyPage(random_.Next64(), kText)
                                    : NoisyPage(random_.Next64(), kNoise);
    bytes.insert(bytes.end(), page.begin(), page.end());
  }
  EXPECT_EQ(client_->Store(2000, bytes).codes,
            (std::vector{PageCode::kResourceExhausted, PageCode::kOk, PageCode::kOk,
                         PageCode::kResourceExhausted}));
  ASSERT_TRUE(client_->Free(2000, 4).ok());
  ExpectContents(2048);
  // As many as are freed fit again.
  ASSERT_TRUE(client_->Free(0, 20).ok());
  for (Offset i = 0; i < 20; ++i) {
    held_.erase(i);
  }
  EXPECT_EQ(CountOf(Store(3000, 64, kNoise), PageCode::kOk), 20u);
  ExpectContents(3072);
  FreeAllAndExpectEmpty();
}

TEST_F(Full, WhatIsRefusedLeavesWhatWasThere) {
  const Offset end = FillBoth();
  const auto status = service_.process().GetStatus();
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->spaces(0).physical_pages(), kCapacityPages);
  EXPECT_GT(status->spaces(0).compressed_pages(), 500u);
  ExpectContents(end);
  // New slots and old ones whose page would grow: refused or, in the little room that is left,
  // stored; nothing else.
  EXPECT_EQ(CountOf(Store(end, kBatch, kNoise), PageCode::kResourceExhausted), kBatch);
  uint64_t refused = 0;
  for (Offset at = 0; at < end; at += kBatch) {
    refused += CountOf(Store(at, kBatch, kLonger), PageCode::kResourceExhausted);
  }
  EXPECT_GT(refused, end / 4);
  ExpectContents(end + kBatch);
  // Through a restart as well.
  service_.Restart();
  ExpectContents(end + kBatch);
  EXPECT_EQ(CountOf(Store(end, kBatch, kNoise), PageCode::kResourceExhausted), kBatch);
  // Half of it freed makes room for pages of the same kinds.
  for (const Offset slot : HeldSlots()) {
    if (slot % 2 == 0) {
      ASSERT_TRUE(client_->Free(slot, 1).ok());
      held_.erase(slot);
    }
  }
  const uint64_t before = held_.size();
  const Offset filled = FillUp(end + kBatch, kText);
  EXPECT_GT(held_.size(), before + before / 2);
  ExpectContents(filled);
  FreeAllAndExpectEmpty();
}

TEST_F(Full, ItCanBeOverwrittenForEverByPagesThatShrinkNoWorse) {
  const Offset end = FillBoth();
  std::map<Offset, size_t> noise;
  std::vector<Offset> slots = HeldSlots();
  for (const Offset slot : slots) {
    // What it was filled with: the noise ends where the run begins.
    const PageBytes& page = held_[slot];
    const auto last = std::ranges::find_if(page.rbegin(), page.rend(),
                                           [](std::byte b) { return b != std::byte{0x5a}; });
    const auto length = static_cast<size_t>(page.rend() - last);
    noise[slot] = (length + 127) / 128 * 128;
  }
  constexpr int kRounds = 30;
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    Shuffle(slots);
    OverwriteAll(slots, noise);
    if (round % 10 == 5) {
      service_.Restart();
    }
    if (round % 10 == 9) {
      ExpectContents(end);
    }
  }
  std::printf("%d rounds over %zu pages; %llu waits for the overlap reserve\n", kRounds,
              slots.size(),
              static_cast<unsigned long long>(service_.Metric("vswap_overlap_waits_total")));
  FreeAllAndExpectEmpty();
}

// More than the compressed tier holds, then a store of a thousand pages.
TEST(Writeback, ColdPagesMakeRoomInMemoryForNewOnes) {
  constexpr uint64_t kPages = 12000;  // 18 MiB in the arena
  constexpr uint64_t kBatch = 100;
  Service service{{"--memory-max", "8MiB", "--capacity-pages", "20000", "--block-cache", "1MiB"}};
  const auto client = service.Open("space", kPages);
  const auto content = [](Offset offset) { return NoisyPage(offset + 1, kText); };
  for (Offset first = 0; first < kPages; first += kBatch) {
    PageBytes bytes;
    for (Offset offset = first; offset < first + kBatch; ++offset) {
      const PageBytes page = content(offset);
      bytes.insert(bytes.end(), page.begin(), page.end());
    }
    ASSERT_TRUE(client->Store(first, bytes).AllOk());
    if (first == kPages - 1000) {
      // The writer was faster than the writeback; what it wrote last finds room in memory again.
      ASSERT_TRUE(PollUntil([&] {
        return service.Metric(
                   "vswap_node_occupied_bytes{node=\"compressor-1\",tier=\"compressed\"}") <
               (uint64_t{8} << 20) * 96 / 100;
      }));
    }
  }
  EXPECT_GT(service.Metric("vswap_writebacks_total"), 0u);
  const auto kind_at = [&](Offset offset) {
    const auto run = client->Backing(offset, 1);
    EXPECT_TRUE(run.ok()) << run.status();
    return run.ok() ? run->kind : BackingKind::kUnset;
  };
  for (Offset i = 0; i < 1000; ++i) {
    EXPECT_EQ(kind_at(i), BackingKind::kPhysical) << i;
  }
  uint64_t in_memory = 0;
  for (Offset i = kPages - 1000; i < kPages; ++i) {
    in_memory += kind_at(i) == BackingKind::kCompressed ? 1 : 0;
  }
  EXPECT_GT(in_memory, 100u);  // 4 % of 8 MiB hold 200
  for (Offset first = 0; first < kPages; first += kBatch) {
    PageBytes bytes(kBatch * kPageBytes);
    ASSERT_TRUE(client->Load(first, bytes).AllOk());
    for (Offset i = 0; i < kBatch; ++i) {
      const auto begin = bytes.begin() + static_cast<ptrdiff_t>(i * kPageBytes);
      const PageBytes expected = content(first + i);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), begin)) << first + i;
    }
  }
  EXPECT_TRUE(client->Free(0, kPages).ok());
  service.ExpectEmpty();
}

}  // namespace
}  // namespace vswap

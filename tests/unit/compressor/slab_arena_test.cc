#include "services/compressor/slab_arena.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

PageName Named(Offset offset, Version version = 1) { return {1, offset, version}; }

TEST(SlabArena, ARecordComesBackAsItWas) {
  ArenaSetup setup;
  for (const size_t bytes : {1u, 255u, 256u, 257u, 1400u, 4095u, 4096u}) {
    const PageName name = Named(bytes);
    const std::vector<std::byte> payload = BytesOf(name, bytes);
    const SlabArena::Put put = ArenaSetup::PutOf(name, payload);
    ASSERT_EQ(setup.arena().Keep(put), std::optional<uint16_t>(bytes));
    std::vector<std::byte> copy(3);
    const auto record = setup.arena().CopyTo(name, copy);
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->name, name);
    EXPECT_EQ(record->stamp, put.record.stamp);
    EXPECT_EQ(record->page_checksum, put.record.page_checksum);
    EXPECT_EQ(record->record_checksum, put.record.record_checksum);
    EXPECT_EQ(record->encoding, put.record.encoding);
    EXPECT_EQ(record->stored_bytes, bytes);
    EXPECT_EQ(std::vector<std::byte>(copy.begin() + 3, copy.end()), payload);
  }
}

TEST(SlabArena, ANameThatIsHeldKeepsItsBytes) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(Named(1), 1000));
  const std::vector<std::byte> other(300, std::byte{9});
  EXPECT_EQ(setup.arena().Keep(ArenaSetup::PutOf(Named(1), other)), std::optional<uint16_t>(1000));
  EXPECT_TRUE(setup.HeldRight(Named(1), 1000));
  EXPECT_EQ(setup.arena().Statistics().pages, 1u);
  EXPECT_EQ(setup.arena().Statistics().payload_bytes, 1000u);
}

TEST(SlabArena, AWithdrawnPutKeepsNothing) {
  ArenaSetup setup;
  ASSERT_TRUE(setup.Keep(Named(9), 100));
  const uint64_t used = setup.arena().Statistics().used_bytes;
  const std::atomic<bool> withdrawn = true;
  const std::vector<std::byte> payload = BytesOf(Named(1), 500);
  SlabArena::Put put = ArenaSetup::PutOf(Named(1), payload);
  put.withdrawn = &withdrawn;
  EXPECT_TRUE(setup.arena().Keep(put).has_value());
  EXPECT_FALSE(setup.Held(Named(1)));
  setup.Reopen();
  EXPECT_EQ(setup.Names(), std::set<PageName>{Named(9)});
  EXPECT_EQ(setup.arena().Statistics().used_bytes, used);
}

TEST(SlabArena, FreeGivesTheSlabBack) {
  ArenaSetup setup(4 * kMiB);
  const uint64_t empty = setup.FileBytes();
  uint64_t count = 0;
  while (setup.Keep(Named(count), 1400)) {
    ++count;
  }
  const uint64_t full = setup.FileBytes();
  EXPECT_GT(full, 3 * kMiB);
  for (uint64_t i = count / 2; i < count; ++i) {
    setup.Delete(Named(i));
  }
  EXPECT_LT(setup.FileBytes(), full * 6 / 10);
  EXPECT_LT(setup.arena().Statistics().used_bytes, full * 6 / 10);
  for (uint64_t i = 0; i < count / 2; ++i) {
    ASSERT_TRUE(setup.HeldRight(Named(i), 1400));
    setup.Delete(Named(i));
  }
  EXPECT_EQ(setup.FileBytes(), empty);
  EXPECT_EQ(setup.arena().Statistics().pages, 0u);
  EXPECT_EQ(setup.arena().Statistics().payload_bytes, 0u);
}

TEST(SlabArena, APageThatComesAndGoesDoesNotMakeAndUnmakeASlab) {
  ArenaSetup setup;
  // The last one begins a second slab.
  uint64_t count = 0;
  ASSERT_TRUE(setup.Keep(Named(count++), 4096));
  const uint64_t one_slab = setup.FileBytes();
  while (setup.FileBytes() == one_slab) {
    ASSERT_TRUE(setup.Keep(Named(count++), 4096));
  }
  const uint64_t two_slabs = setup.FileBytes();
  setup.Delete(Named(count - 1));
  EXPECT_EQ(setup.FileBytes(), two_slabs);
}

// Ordinary puts leave the overlap reserve; whoever replaces a record that is as long may use it.
TEST(SlabArena, AFullArenaIsOverwrittenForEver) {
  ArenaSetup setup;
  SeededRandom random(7);
  struct Page {
    Version version;
    uint32_t bytes;
  };
  std::vector<Page> pages;
  while (true) {
    const auto bytes = static_cast<uint32_t>(1 + random.Below(4096));
    if (!setup.Keep(Named(pages.size()), bytes)) {
      break;
    }
    pages.push_back({1, bytes});
  }
  while (setup.Keep(Named(pages.size()), 1)) {
    pages.push_back({1, 1});
  }
  ASSERT_GT(pages.size(), 200u);
  for (int i = 0; i < 100'000; ++i) {
    // Pages that need fewer blocks now and then make room, which new pages take.
    while (i % 1000 == 999 && setup.Keep(Named(pages.size()), 700)) {
      pages.push_back({1, 700});
    }
    const Offset offset = random.Below(pages.size());
    Page& page = pages[offset];
    const auto room = (page.bytes + 255) / 256 * 256;
    const auto bytes = static_cast<uint32_t>(
        std::min<uint64_t>(4096, i % 4 == 0 ? 1 + random.Below(room) : room - random.Below(256)));
    ASSERT_TRUE(setup.Keep(Named(offset, page.version + 1), bytes, page.bytes)) << "step " << i;
    setup.Delete(Named(offset, page.version));
    page = {page.version + 1, bytes};
  }
  EXPECT_LE(setup.FileBytes(), setup.options.memory_max_bytes);
  for (Offset offset = 0; offset < pages.size(); ++offset) {
    ASSERT_TRUE(setup.HeldRight(Named(offset, pages[offset].version), pages[offset].bytes));
  }
}

// Slabs and hunks come and go all the while, and no replacement is refused for it.
TEST(SlabArena, OverwritesAreNotRefusedWhileOthersFillAndEmptyTheArena) {
  constexpr uint64_t kThreads = 3;
  constexpr uint64_t kPages = 30;
  ArenaSetup setup;
  for (Offset offset = 0; offset < kThreads * kPages; ++offset) {
    ASSERT_TRUE(setup.Keep(Named(offset), 1500));
  }
  std::vector<std::jthread> threads;
  std::atomic<uint64_t> running = kThreads;
  std::atomic<uint64_t> refused = 0;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (Version version = 2; version < 200; ++version) {
        for (Offset offset = thread * kPages; offset < (thread + 1) * kPages; ++offset) {
          refused += setup.Keep(Named(offset, version), 1500, 1500) ? 0 : 1;
          setup.Delete(Named(offset, version - 1));
        }
      }
      --running;
    });
  }
  uint64_t fills = 0;
  while (running > 0) {
    Offset offset = 1000;
    while (setup.Keep(Named(offset), fills % 2 == 0 ? 4096 : 100)) {
      ++offset;
    }
    while (offset > 1000) {
      setup.Delete(Named(--offset));
    }
    EXPECT_LE(setup.FileBytes(), setup.options.memory_max_bytes);
    ++fills;
  }
  threads.clear();
  EXPECT_EQ(refused, 0u);
  EXPECT_GT(fills, 0u);
  for (Offset offset = 0; offset < kThreads * kPages; ++offset) {
    EXPECT_TRUE(setup.HeldRight(Named(offset, 199), 1500));
  }
  EXPECT_EQ(setup.arena().Statistics().pages, kThreads * kPages);
}

TEST(SlabArena, TheReserveLetsManyReplacementsOverlap) {
  constexpr uint64_t kOverlap = 256;
  ArenaSetup setup(16 * kMiB, 1024 * 1024);
  uint64_t count = 0;
  while (setup.Keep(Named(count), 4096)) {
    ++count;
  }
  ASSERT_GT(count, 2 * kOverlap);
  for (Version version = 2; version < 8; ++version) {
    for (uint64_t i = 0; i < kOverlap; ++i) {
      ASSERT_TRUE(setup.Keep(Named(i, version), 4096, 4096)) << "page " << i;
    }
    EXPECT_FALSE(setup.Keep(Named(count + 1), 1));
    EXPECT_LE(setup.FileBytes(), setup.options.memory_max_bytes);
    for (uint64_t i = 0; i < kOverlap; ++i) {
      setup.Delete(Named(i, version - 1));
    }
  }
}

// Where header slots are short, not blocks.
TEST(SlabArena, TheReserveIsOfSlotsToo) {
  constexpr uint64_t kOverlap = 25;  // an eighth of 1 MiB, in pages of the longest kind
  ArenaSetup setup;
  uint64_t count = 0;
  while (setup.Keep(Named(count), 4096)) {
    ++count;
  }
  // Every slab stays, with half of its blocks free: there is no room for hunks.
  for (Offset offset = 0; offset < count; offset += 2) {
    setup.Delete(Named(offset));
  }
  Offset end = 1000;
  while (setup.Keep(Named(end), 1)) {
    ++end;
  }
  const ArenaStatistics full = setup.arena().Statistics();
  ASSERT_LT(full.payload_bytes, full.capacity_bytes * 6 / 10);
  for (Version version = 2; version < 5; ++version) {
    for (uint64_t i = 0; i < kOverlap; ++i) {
      ASSERT_TRUE(setup.Keep(Named(1000 + i, version), 1, 1)) << "page " << i;
    }
    for (uint64_t i = 0; i < kOverlap; ++i) {
      setup.Delete(Named(1000 + i, version - 1));
    }
  }
}

TEST(SlabArena, GrowthMustFitBesideTheReserve) {
  ArenaSetup setup;
  uint64_t count = 0;
  while (setup.Keep(Named(count), 256)) {
    ++count;
  }
  EXPECT_FALSE(setup.Keep(Named(0, 2), 257, 256));
  EXPECT_TRUE(setup.Keep(Named(0, 2), 256, 256));
  setup.Delete(Named(0));
  // Exactly one block more, and its slot.
  setup.Delete(Named(1));
  EXPECT_FALSE(setup.Keep(Named(0, 3), 3 * 256, 256));
  EXPECT_TRUE(setup.Keep(Named(0, 3), 2 * 256, 256));
}

TEST(SlabArena, TheLimitHoldsUnderRandomLoad) {
  ArenaSetup setup(2 * kMiB);
  const uint64_t seed = SystemRandom().Next64();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::map<PageName, uint32_t> model;
  Version version = 0;
  uint64_t refused = 0;
  for (int i = 0; i < 30'000; ++i) {
    // Long and short pages by turns, so that slabs and hunks compete for the limit.
    const uint64_t bytes_max = i / 3000 % 2 == 0 ? 4096 : 256;
    const PageName name = Named(random.Below(20'000), ++version);
    const auto bytes = static_cast<uint32_t>(1 + random.Below(bytes_max));
    if (random.Below(100) < 55) {
      setup.Keep(name, bytes) ? void(model[name] = bytes) : void(++refused);
    } else if (!model.empty()) {
      auto victim = model.lower_bound(Named(random.Below(20'000)));
      victim = victim == model.end() ? model.begin() : victim;
      setup.Delete(victim->first);
      model.erase(victim);
    }
    const ArenaStatistics statistics = setup.arena().Statistics();
    ASSERT_EQ(statistics.pages, model.size());
    ASSERT_LE(statistics.used_bytes, setup.options.memory_max_bytes);
    if (i % 16 == 0) {
      ASSERT_LE(setup.FileBytes(), statistics.used_bytes);
    }
  }
  EXPECT_GT(refused, 0u);
  for (const auto& [name, bytes] : model) {
    ASSERT_TRUE(setup.HeldRight(name, bytes));
  }
  setup.Reopen();
  EXPECT_EQ(setup.arena().recovery().damaged, 0u);
  EXPECT_EQ(setup.Names().size(), model.size());
  for (const auto& [name, bytes] : model) {
    ASSERT_TRUE(setup.HeldRight(name, bytes));
  }
  EXPECT_LE(setup.FileBytes(), setup.arena().Statistics().used_bytes);
}

}  // namespace
}  // namespace vswap

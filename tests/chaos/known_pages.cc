#include "tests/chaos/known_pages.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vswap {
namespace {

constexpr size_t kTextNoiseBytes = 2048;  // the rest shrinks

}  // namespace

std::unique_ptr<SwapClient> OpenSpace(const std::string& frontends, const std::string& space,
                                      SpaceKind kind, uint64_t pages) {
  ClientOptions options;
  options.frontend = frontends;
  options.space = space;
  options.holder = "chaos";
  options.create_pages = pages;
  options.kind = kind;
  StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

KnownPages::KnownPages(const std::string& frontends, const std::string& space)
    : client_(OpenSpace(frontends, space)) {}

PageBytes KnownPages::Make(const Stored& stored) {
  switch (stored.kind) {
    case Kind::kText:
      return NoisyPage(stored.number, kTextNoiseBytes);
    case Kind::kNoise:
      return NoisyPage(stored.number, kPageBytes);
    default:
      return ZeroPage();
  }
}

PageBytes KnownPages::PageOf(Offset offset) const { return Make(stored_.at(offset)); }

uint64_t KnownPages::Store(Extent slots, Kind kind) {
  std::vector<Stored> pages;
  PageBytes bytes;
  for (uint32_t i = 0; i < slots.pages; ++i) {
    pages.push_back({kind, next_number_++});
    const PageBytes page = Make(pages.back());
    bytes.insert(bytes.end(), page.begin(), page.end());
  }
  const PagesResult result = client_->Store(slots.offset, bytes);
  EXPECT_TRUE(result.status.ok()) << result.status;
  uint64_t count = 0;
  for (size_t i = 0; i < result.codes.size(); ++i) {
    if (result.codes[i] == PageCode::kOk) {
      stored_[slots.offset + i] = pages[i];
      ++count;
    } else {
      EXPECT_EQ(result.codes[i], PageCode::kResourceExhausted);
    }
  }
  return count;
}

void KnownPages::FreeAll() {
  const Status status = client_->Free(0, client_->space_pages());
  EXPECT_TRUE(status.ok()) << status;
  stored_.clear();
}

uint64_t KnownPages::CountOnDisk(Extent slots) {
  const auto runs = client_->Extents(slots.offset, slots.pages);
  EXPECT_TRUE(runs.ok()) << runs.status();
  uint64_t count = 0;
  for (size_t i = 0; runs.ok() && i < runs->size(); ++i) {
    count += (*runs)[i].kind == BackingKind::kPhysical ? (*runs)[i].pages : 0;
  }
  return count;
}

std::map<KnownPages::Kind, KnownPages::Found> KnownPages::LoadAll() {
  std::map<Kind, Found> found;
  for (auto next = stored_.begin(); next != stored_.end();) {
    const auto first = next;
    std::vector<PageRange> ranges;
    for (; next != stored_.end() && ranges.size() < kBatchPagesMax; ++next) {
      ranges.push_back({next->first, 1});
    }
    PageBytes bytes(ranges.size() * kPageBytes);
    const PagesResult result = client_->Load(ranges, bytes);
    EXPECT_TRUE(result.status.ok()) << result.status;
    auto at = first;
    for (size_t i = 0; i < result.codes.size(); ++i, ++at) {
      Found& kind = found[at->second.kind];
      if (result.codes[i] == PageCode::kDataLoss) {
        ++kind.lost;
        continue;
      }
      EXPECT_EQ(result.codes[i], PageCode::kOk) << "slot " << at->first;
      const bool right =
          std::ranges::equal(Make(at->second), ByteView(bytes).subspan(i * kPageBytes, kPageBytes));
      ++(right ? kind.right : kind.wrong);
    }
  }
  return found;
}

}  // namespace vswap

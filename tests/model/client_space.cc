#include "tests/model/client_space.h"

#include <algorithm>
#include <memory>

#include "tests/support/extents.h"

namespace vswap {
namespace {

// Shared with whoever borrows them.
std::shared_ptr<PageBytes> BytesOf(const std::vector<ContentAt>& pages) {
  auto bytes = std::make_shared<PageBytes>();
  for (const ContentAt& page : pages) {
    bytes->insert(bytes->end(), page.bytes.begin(), page.bytes.end());
  }
  return bytes;
}

SwapClient::PagesDone Loaded(std::shared_ptr<const PageBytes> bytes,
                             SpaceUnderTest::LoadDone done) {
  return [bytes = std::move(bytes), done = std::move(done)](const PagesResult& result) {
    if (!result.status.ok()) {
      return done(result.status);
    }
    std::vector<LoadedPage> pages;
    for (size_t i = 0; i < result.codes.size(); ++i) {
      const auto begin = bytes->begin() + static_cast<ptrdiff_t>(i * kPageBytes);
      pages.push_back({result.codes[i], PageBytes(begin, begin + kPageBytes)});
    }
    done(std::move(pages));
  };
}

}  // namespace

SwapClient::PagesDone ClientSpace::Judged(std::shared_ptr<const PageBytes> bytes, StoreDone done) {
  return [this, bytes = std::move(bytes), done = std::move(done),
          deaths = deaths_.load()](PagesResult result) {
    if (!result.status.ok()) {
      return done(result.status);
    }
    if (deaths != deaths_) {
      std::ranges::replace_if(
          result.codes, [](PageCode code) { return code != PageCode::kOk; }, PageCode::kUnset);
    }
    done(std::move(result.codes));
  };
}

void ClientSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  std::vector<Offset> offsets;
  for (const ContentAt& page : pages) {
    offsets.push_back(page.offset);
  }
  const auto bytes = BytesOf(pages);
  client_->StoreAsync(ExtentsOf<PageRange>(offsets), *bytes, Judged(bytes, std::move(done)));
}

void ClientSpace::StoreWhole(std::vector<ContentAt> pages, StoreDone done) {
  const auto bytes = BytesOf(pages);
  client_->StoreWholeAsync(pages.front().offset, *bytes, Judged(bytes, std::move(done)));
}

void ClientSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  const auto bytes = std::make_shared<PageBytes>(offsets.size() * kPageBytes);
  client_->LoadAsync(ExtentsOf<PageRange>(offsets), *bytes, Loaded(bytes, std::move(done)));
}

void ClientSpace::LoadUnmixed(Extent folio, LoadDone done) {
  const auto bytes = std::make_shared<PageBytes>(folio.pages * kPageBytes);
  client_->LoadUnmixedAsync(folio.offset, *bytes, Loaded(bytes, std::move(done)));
}

void ClientSpace::Free(Extent extent, FreeDone done) {
  client_->FreeAsync({{extent.offset, extent.pages}}, std::move(done));
}

void ClientSpace::FreeCounted(std::vector<Offset> offsets, CountDone done) {
  client_->FreeCountedAsync(ExtentsOf<PageRange>(offsets), std::move(done));
}

void ClientSpace::Backing(Extent extent, BackingDone done) {
  client_->BackingAsync({extent.offset, extent.pages}, std::move(done));
}

void ClientSpace::Allocate(uint32_t order, uint32_t count, AllocateDone done) {
  client_->AllocateAsync(order, count,
                         [done = std::move(done)](const StatusOr<std::vector<PageRange>>& ranges) {
                           if (!ranges.ok()) {
                             return done(ranges.status());
                           }
                           std::vector<Extent> extents;
                           for (const PageRange& range : *ranges) {
                             extents.push_back({range.offset, static_cast<uint32_t>(range.pages)});
                           }
                           done(std::move(extents));
                         });
}

void ClientSpace::Duplicate(std::vector<Offset> offsets, CodesDone done) {
  client_->DuplicateAsync(
      ExtentsOf<PageRange>(offsets), [done = std::move(done)](PagesResult result) {
        result.status.ok() ? done(std::move(result.codes)) : done(result.status);
      });
}

}  // namespace vswap

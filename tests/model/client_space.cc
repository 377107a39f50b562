#include "tests/model/client_space.h"

#include <algorithm>
#include <memory>

namespace vswap {
namespace {

std::vector<PageRange> RangesOf(const std::vector<Offset>& offsets) {
  std::vector<PageRange> ranges;
  for (const Offset offset : offsets) {
    if (!ranges.empty() && ranges.back().offset + ranges.back().pages == offset) {
      ++ranges.back().pages;
    } else {
      ranges.push_back({offset, 1});
    }
  }
  return ranges;
}

}  // namespace

void ClientSpace::Store(std::vector<ContentAt> pages, StoreDone done) {
  std::vector<Offset> offsets;
  const auto bytes = std::make_shared<PageBytes>();
  for (const ContentAt& page : pages) {
    offsets.push_back(page.offset);
    bytes->insert(bytes->end(), page.bytes.begin(), page.bytes.end());
  }
  client_->StoreAsync(
      RangesOf(offsets), *bytes, [this, bytes, done, deaths = deaths_.load()](PagesResult result) {
        if (!result.status.ok()) {
          return done(result.status);
        }
        if (deaths != deaths_) {
          std::ranges::replace_if(
              result.codes, [](PageCode code) { return code != PageCode::kOk; }, PageCode::kUnset);
        }
        done(std::move(result.codes));
      });
}

void ClientSpace::Load(std::vector<Offset> offsets, LoadDone done) {
  const auto bytes = std::make_shared<PageBytes>(offsets.size() * kPageBytes);
  client_->LoadAsync(RangesOf(offsets), *bytes, [bytes, done](const PagesResult& result) {
    if (!result.status.ok()) {
      return done(result.status);
    }
    std::vector<LoadedPage> pages;
    for (size_t i = 0; i < result.codes.size(); ++i) {
      const auto begin = bytes->begin() + static_cast<ptrdiff_t>(i * kPageBytes);
      pages.push_back({result.codes[i], PageBytes(begin, begin + kPageBytes)});
    }
    done(std::move(pages));
  });
}

void ClientSpace::Free(Extent extent, FreeDone done) {
  client_->FreeAsync({{extent.offset, extent.pages}}, std::move(done));
}

}  // namespace vswap

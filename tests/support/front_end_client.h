#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "services/common/checksum.h"
#include "services/compressor/codec.h"
#include "services/frontend/front_end.h"
#include "tests/support/page_bytes.h"

namespace vswap {

// What a client of one attachment does before the wire: numbers requests, stamps pages, sums them
// up, and checks what comes back. Thread-confined.
class FrontEndClient {
 public:
  explicit FrontEndClient(const OpenReply& opened) : opened_(opened) {}

  SpaceId space() const { return opened_.space; }
  Token token() const { return opened_.token; }
  uint64_t pages() const { return opened_.pages; }
  void SetEpochs(const ShardMap& map) { opened_.shard_map = map; }
  uint32_t shard_count() const { return static_cast<uint32_t>(opened_.shard_map.epochs.size()); }
  ShardId ShardAt(Offset offset) const { return ShardOf(space(), offset, shard_count()); }

  // A header for a request on the offset's shard; its sequence counts as waited for until Answered.
  RequestHeader Next(Offset offset) { return NextOn(ShardAt(offset)); }
  RequestHeader NextOn(ShardId shard) {
    RequestHeader header;
    header.space = space();
    header.token = token();
    header.sequence = next_sequence_++;
    waiting_.insert(header.sequence);
    RefreshOn(header, shard);
    return header;
  }
  // The same request's header as of now: a retry.
  void Refresh(RequestHeader& header, Offset offset) const { RefreshOn(header, ShardAt(offset)); }
  void RefreshOn(RequestHeader& header, ShardId shard) const {
    header.shard = shard;
    header.epoch = opened_.shard_map.epochs[header.shard];
    header.floor = *waiting_.begin();
  }
  void Answered(const RequestHeader& header) { waiting_.erase(header.sequence); }

  StoreCall MakeStore(std::vector<ContentAt> pages) {
    const RequestHeader header = Next(pages.front().offset);
    return MakeStore(header, std::move(pages));
  }
  static StoreCall MakeStore(const RequestHeader& header, std::vector<ContentAt> contents) {
    StoreCall call;
    call.header = header;
    const Stamp stamp{header.token, header.sequence};
    auto owned = std::make_shared<std::vector<ContentAt>>(std::move(contents));
    for (const ContentAt& page : *owned) {
      call.extents.push_back({page.offset, 1});
      const PageView plain(page.bytes.data(), kPageBytes);
      call.pages.push_back({page.offset, Encoding::kRaw,
                            PageChecksum(header.space, page.offset, stamp, plain), page.bytes});
    }
    call.owner = std::move(owned);
    return call;
  }

  // The bytes of a loaded page; nothing where they do not match their checksum.
  std::optional<PageBytes> Plain(Offset offset, const PageOut& page) const {
    PageBytes plain(kPageBytes);
    if (page.encoding == Encoding::kZero) {
      return plain;
    }
    if (page.encoding == Encoding::kRaw) {
      plain.assign(page.bytes.begin(), page.bytes.end());
    } else if (!ExpandPage(page.bytes, MutablePageView(plain.data(), kPageBytes))) {
      return std::nullopt;
    }
    const bool sound = PageChecksum(space(), offset, page.stamp,
                                    PageView(plain.data(), kPageBytes)) == page.checksum;
    return sound ? std::optional(std::move(plain)) : std::nullopt;
  }

 private:
  OpenReply opened_;
  Sequence next_sequence_ = 1;
  std::set<Sequence> waiting_;
};

}  // namespace vswap

#include "services/frontend/wire.h"

namespace vswap {
namespace {

template <typename Request>
std::vector<Extent> ToExtents(const Request& request) {
  std::vector<Extent> extents;
  extents.reserve(static_cast<size_t>(request.extents_size()));
  for (const v1::Extent& extent : request.extents()) {
    extents.push_back({extent.offset(), extent.pages()});
  }
  return extents;
}

// As many fields of each kind as pages.
Status CheckCounts(const v1::StoreRequest& request) {
  const size_t pages = request.encodings().size();
  if (pages == 0 || pages > kBatchPagesMax) {
    return InvalidField("encodings", std::to_string(pages) + " pages", "1..512");
  }
  if (static_cast<size_t>(request.lengths_size()) != pages) {
    return InvalidField("lengths", std::to_string(request.lengths_size()) + " pages",
                        std::to_string(pages) + ", as many as encodings");
  }
  if (static_cast<size_t>(request.checksums_size()) != pages) {
    return InvalidField("checksums", std::to_string(request.checksums_size()) + " pages",
                        std::to_string(pages) + ", as many as encodings");
  }
  return Status();
}

// Cuts `pages` by the lengths and gives each piece its slot.
StatusOr<std::vector<PageIn>> CutPages(const v1::StoreRequest& request, ByteView pages) {
  std::vector<PageIn> cut;
  cut.reserve(request.encodings().size());
  for (const v1::Extent& extent : request.extents()) {
    for (uint32_t i = 0; i < extent.pages(); ++i) {
      if (cut.size() == request.encodings().size()) {
        return InvalidField("encodings", std::to_string(cut.size()) + " pages",
                            "as many as the extents cover");
      }
      const auto index = static_cast<int>(cut.size());
      const uint32_t length = request.lengths(index);
      if (length > pages.size()) {
        return InvalidField("lengths", "more than the bytes of pages", "their sum");
      }
      cut.push_back({extent.offset() + i, static_cast<Encoding>(request.encodings()[cut.size()]),
                     request.checksums(index), pages.first(length)});
      pages = pages.subspan(length);
    }
  }
  if (cut.size() != request.encodings().size()) {
    return InvalidField("encodings", std::to_string(request.encodings().size()) + " pages",
                        std::to_string(cut.size()) + ", as many as the extents cover");
  }
  if (!pages.empty()) {
    return InvalidField("pages", std::to_string(pages.size()) + " bytes more than lengths",
                        "the sum of lengths");
  }
  return cut;
}

}  // namespace

RequestHeader ToHeader(const v1::RequestHeader& header) {
  return {.space = header.space(),
          .token = header.token(),
          .shard = header.shard(),
          .epoch = header.shard_epoch(),
          .sequence = header.sequence(),
          .floor = header.sequence_floor(),
          .lane = static_cast<Lane>(header.lane())};
}

StatusOr<StoreCall> ToStoreCall(const v1::StoreRequest& request, ByteView pages,
                                std::shared_ptr<const void> owner) {
  VSWAP_RETURN_IF_ERROR(CheckCounts(request));
  StatusOr<std::vector<PageIn>> cut = CutPages(request, pages);
  if (!cut.ok()) {
    return cut.status();
  }
  return StoreCall{.header = ToHeader(request.header()),
                   .extents = ToExtents(request),
                   .pages = *std::move(cut),
                   .owner = std::move(owner),
                   .whole = request.whole()};
}

LoadCall ToLoadCall(const v1::LoadRequest& request) {
  return {.header = ToHeader(request.header()),
          .extents = ToExtents(request),
          .unmixed = request.unmixed()};
}

LoadCall ToLoadCall(const v1::PrefetchRequest& request) {
  return {.header = ToHeader(request.header()), .extents = ToExtents(request)};
}

FreeCall ToFreeCall(const v1::FreeRequest& request) {
  return {.header = ToHeader(request.header()), .extents = ToExtents(request)};
}

AllocateCall ToAllocateCall(const v1::AllocateRequest& request) {
  return {.header = ToHeader(request.header()),
          .shape = {.order = request.order(), .count = request.count()}};
}

DuplicateCall ToDuplicateCall(const v1::DuplicateRequest& request) {
  return {.header = ToHeader(request.header()), .extents = ToExtents(request)};
}

void FillStore(const MutationResult& result, Epoch epoch, v1::StoreResponse* response) {
  response->set_shard_epoch(epoch);
  response->mutable_codes()->assign(reinterpret_cast<const char*>(result.codes.data()),
                                    result.codes.size());
}

void FillFree(const MutationResult& result, Epoch epoch, v1::FreeResponse* response) {
  response->set_shard_epoch(epoch);
  response->set_freed_pages(result.freed_pages);
}

void FillAllocate(const MutationResult& result, Epoch epoch, v1::AllocateResponse* response) {
  response->set_shard_epoch(epoch);
  response->mutable_offsets()->Assign(result.offsets.begin(), result.offsets.end());
}

void FillDuplicate(const MutationResult& result, Epoch epoch, v1::DuplicateResponse* response) {
  response->set_shard_epoch(epoch);
  response->mutable_codes()->assign(reinterpret_cast<const char*>(result.codes.data()),
                                    result.codes.size());
}

void FillLoadHead(const LoadReply& reply, Epoch epoch, v1::LoadResponse* response) {
  response->set_shard_epoch(epoch);
  for (const PageOut& page : reply.pages) {
    response->mutable_codes()->push_back(static_cast<char>(page.code));
    response->mutable_encodings()->push_back(static_cast<char>(page.encoding));
    response->add_lengths(static_cast<uint32_t>(page.bytes.size()));
    response->add_checksums(page.checksum);
    response->add_stamp_tokens(page.stamp.token);
    response->add_stamp_sequences(page.stamp.sequence);
  }
}

void FillExtents(const std::vector<BackingRun>& runs, Epoch epoch, v1::ExtentsResponse* response) {
  response->set_shard_epoch(epoch);
  for (const BackingRun& run : runs) {
    v1::BackingRun* out = response->add_runs();
    out->set_pages(run.pages);
    // The numbers of the wire begin at 1.
    const int kind = static_cast<int>(run.first.word.kind()) + 1;
    out->set_kind(run.free ? v1::BACKING_KIND_FREE : static_cast<v1::BackingKind>(kind));
  }
}

void FillShardMap(const ShardMap& map, v1::ShardMap* response) {
  response->set_shard_count(static_cast<uint32_t>(map.epochs.size()));
  response->mutable_epochs()->Assign(map.epochs.begin(), map.epochs.end());
  response->mutable_front_ends()->Assign(map.front_ends.begin(), map.front_ends.end());
  response->mutable_owners()->Assign(map.owners.begin(), map.owners.end());
}

}  // namespace vswap

#include "client/messages.h"

#include <lz4.h>

#include <cstring>

#include "services/common/checksum.h"
#include "services/common/frame.h"

namespace vswap::client {
namespace {

template <typename Message>
Message WithHeader(const SendHeader& header, const Request& request) {
  Message message;
  v1::RequestHeader& out = *message.mutable_header();
  out.set_space(header.space);
  out.set_token(header.token);
  out.set_shard(request.shard);
  out.set_shard_epoch(header.epoch);
  out.set_sequence(request.sequence);
  out.set_sequence_floor(header.floor);
  out.set_lane(static_cast<v1::Lane>(request.lane));
  return message;
}

void Fill(const Extent& extent, v1::Extent* out) {
  out->set_offset(extent.offset);
  out->set_pages(extent.pages);
}

template <typename Message>
Message WithExtents(const SendHeader& header, const Request& request) {
  auto message = WithHeader<Message>(header, request);
  for (const Extent& extent : request.extents) {
    Fill(extent, message.add_extents());
  }
  return message;
}

std::string MakeStore(const SendHeader& header, const Request& request,
                      std::vector<ByteView>* pages) {
  auto store = WithExtents<v1::StoreRequest>(header, request);
  for (size_t i = 0; i < request.pages.size(); ++i) {
    const bool raw = request.encodings[i] == Encoding::kRaw;
    store.mutable_encodings()->push_back(static_cast<char>(request.encodings[i]));
    store.add_lengths(raw ? kPageBytes : 0);
    store.add_checksums(request.checksums[i]);
    if (raw) {
      pages->push_back(request.pages[i]);
    }
  }
  return store.SerializeAsString();
}

std::string MakeInner(const SendHeader& header, const Request& request,
                      std::vector<ByteView>* pages) {
  switch (request.kind) {
    case RequestKind::kStore:
      return MakeStore(header, request, pages);
    case RequestKind::kLoad:
      return WithExtents<v1::LoadRequest>(header, request).SerializeAsString();
    case RequestKind::kFree:
      return WithExtents<v1::FreeRequest>(header, request).SerializeAsString();
    case RequestKind::kPrefetch:
      return WithExtents<v1::PrefetchRequest>(header, request).SerializeAsString();
    case RequestKind::kExtents:
      break;
  }
  auto extents = WithHeader<v1::ExtentsRequest>(header, request);
  Fill(request.extents.front(), extents.mutable_extent());
  return extents.SerializeAsString();
}

template <typename Message>
bool Parse(ByteView head, Message* message) {
  return message->ParseFromArray(head.data(), static_cast<int>(head.size()));
}

template <typename Message>
bool ParseWithEpoch(ByteView head, Message* message, Epoch* epoch) {
  const bool parsed = Parse(head, message);
  *epoch = message->shard_epoch();
  return parsed;
}

bool ParseError(ByteView head, Status* status) {
  v1::Error error;
  if (!Parse(head, &error)) {
    return false;
  }
  const auto code = static_cast<StatusCode>(error.code());
  *status = MakeError(code == StatusCode::kOk ? StatusCode::kUnknown : code,
                      static_cast<ErrorReason>(error.reason()), error.message());
  return true;
}

bool ParseInner(const Frame& frame, Answer* answer) {
  switch (frame.field) {
    case v1::ExchangeResponse::kStoreFieldNumber:
      return ParseWithEpoch(frame.head, &answer->store, &answer->epoch);
    case v1::ExchangeResponse::kLoadFieldNumber:
      return ParseWithEpoch(frame.head, &answer->load, &answer->epoch);
    case v1::ExchangeResponse::kFreeFieldNumber:
      return ParseWithEpoch(frame.head, &answer->free, &answer->epoch);
    case v1::ExchangeResponse::kPrefetchFieldNumber: {
      v1::PrefetchResponse prefetch;
      return ParseWithEpoch(frame.head, &prefetch, &answer->epoch);
    }
    case v1::ExchangeResponse::kExtentsFieldNumber:
      return ParseWithEpoch(frame.head, &answer->extents, &answer->epoch);
    case v1::ExchangeResponse::kErrorFieldNumber:
      return ParseError(frame.head, &answer->status);
    default:
      return false;
  }
}

Status Unfit(std::string_view what) {
  return MakeError(StatusCode::kInternal,
                   "the server's answer does not fit its request: " + std::string(what));
}

size_t PageCount(const Request& request) {
  size_t pages = 0;
  for (const Extent& extent : request.extents) {
    pages += extent.pages;
  }
  return pages;
}

Status CheckLoad(size_t pages, const Answer& answer) {
  const v1::LoadResponse& load = answer.load;
  const int count = static_cast<int>(pages);
  if (load.codes().size() != pages || load.encodings().size() != pages ||
      load.lengths_size() != count || load.checksums_size() != count ||
      load.stamp_tokens_size() != count || load.stamp_sequences_size() != count) {
    return Unfit("number of pages");
  }
  uint64_t bytes = 0;
  for (const uint32_t length : load.lengths()) {
    bytes += length;
  }
  return bytes == answer.pages.size() ? Status() : Unfit("lengths of pages");
}

Status CheckExtents(size_t pages, const v1::ExtentsResponse& extents) {
  uint64_t covered = 0;
  for (const v1::BackingRun& run : extents.runs()) {
    covered += run.pages();
  }
  return covered == pages ? Status() : Unfit("pages that the runs cover");
}

}  // namespace

void PrepareStore(SpaceId space, Token token, Request* request) {
  const Stamp stamp{token, request->sequence};
  size_t page = 0;
  for (const Extent& extent : request->extents) {
    for (uint32_t i = 0; i < extent.pages; ++i, ++page) {
      const PageView plain = request->pages[page];
      request->encodings.push_back(IsZeroPage(plain) ? Encoding::kZero : Encoding::kRaw);
      request->checksums.push_back(PageChecksum(space, extent.offset + i, stamp, plain));
    }
  }
}

std::string MakeRequestHead(const SendHeader& header, const Request& request,
                            std::vector<ByteView>* pages) {
  const std::string inner = MakeInner(header, request, pages);
  return FrameHead(request.sequence, static_cast<uint32_t>(request.kind), inner,
                   pages->size() * kPageBytes);
}

StatusOr<Answer> ParseAnswer(ByteView message) {
  const StatusOr<Frame> frame = SplitFrame(message);
  if (!frame.ok()) {
    return frame.status();
  }
  Answer answer;
  answer.id = frame->id;
  answer.kind = static_cast<RequestKind>(frame->field);
  answer.pages = frame->pages;
  if (!ParseInner(*frame, &answer)) {
    return MakeError(StatusCode::kInvalidArgument, "message: not an ExchangeResponse of vswap.v1");
  }
  return answer;
}

Status CheckAnswer(const Request& request, const Answer& answer) {
  if (answer.kind != request.kind) {
    return Unfit("kind");
  }
  const size_t pages = PageCount(request);
  switch (request.kind) {
    case RequestKind::kStore:
      return answer.store.codes().size() == pages ? Status() : Unfit("number of pages");
    case RequestKind::kLoad:
      return CheckLoad(pages, answer);
    case RequestKind::kExtents:
      return CheckExtents(pages, answer.extents);
    case RequestKind::kFree:
    case RequestKind::kPrefetch:
      break;
  }
  return Status();
}

bool DecodePage(SpaceId space, Offset offset, const LoadedPage& page, MutablePageView plain) {
  switch (page.encoding) {
    case Encoding::kZero:
      // Nothing is kept of a zero page, so nothing can be checked either.
      std::memset(plain.data(), 0, kPageBytes);
      return page.bytes.empty();
    case Encoding::kRaw:
      if (page.bytes.size() != kPageBytes) {
        return false;
      }
      std::memcpy(plain.data(), page.bytes.data(), kPageBytes);
      break;
    case Encoding::kLz4:
      if (LZ4_decompress_safe(reinterpret_cast<const char*>(page.bytes.data()),
                              reinterpret_cast<char*>(plain.data()),
                              static_cast<int>(page.bytes.size()),
                              static_cast<int>(kPageBytes)) != static_cast<int>(kPageBytes)) {
        return false;
      }
      break;
    case Encoding::kUnset:
    default:
      return false;
  }
  return PageChecksum(space, offset, page.stamp, plain) == page.checksum;
}

}  // namespace vswap::client

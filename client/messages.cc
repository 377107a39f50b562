#include "client/messages.h"

#include <lz4.h>

#include <algorithm>
#include <cstring>

#include "services/common/checksum.h"
#include "services/common/frame.h"
#include "services/common/wire_format.h"

namespace vswap::client {
namespace {

uint32_t WireLength(Encoding encoding) {
  return encoding == Encoding::kRaw ? static_cast<uint32_t>(kPageBytes) : 0;
}

// The messages of frontend.proto, written field by field. `Out`: a sizer or a writer.

template <typename Out>
void PutHeader(Out& out, const SendHeader& header, const Request& request) {
  PutNested(out, v1::StoreRequest::kHeaderFieldNumber, [&](auto& inner) {
    using Field = v1::RequestHeader;
    PutVarint(inner, Field::kSpaceFieldNumber, header.space);
    PutVarint(inner, Field::kTokenFieldNumber, header.token);
    PutVarint(inner, Field::kShardFieldNumber, request.shard);
    PutVarint(inner, Field::kShardEpochFieldNumber, header.epoch);
    PutVarint(inner, Field::kSequenceFieldNumber, request.sequence);
    PutVarint(inner, Field::kSequenceFloorFieldNumber, header.floor);
    PutVarint(inner, Field::kLaneFieldNumber, static_cast<uint64_t>(request.lane));
  });
}

// Header and extents have the same numbers in every request that has them.
template <typename Out>
void PutExtents(Out& out, const Request& request) {
  for (const Piece& piece : request.pieces) {
    PutNested(out, v1::StoreRequest::kExtentsFieldNumber, [&](auto& inner) {
      PutVarint(inner, v1::Extent::kOffsetFieldNumber, piece.extent.offset);
      PutVarint(inner, v1::Extent::kPagesFieldNumber, piece.extent.pages);
    });
  }
}

template <typename Out>
void PutStorePages(Out& out, const Request& request) {
  PutBytes(out, v1::StoreRequest::kEncodingsFieldNumber, std::as_bytes(request.encodings.view()));
  PutNested(out, v1::StoreRequest::kLengthsFieldNumber, [&](auto& inner) {
    for (const Encoding encoding : request.encodings) {
      inner.Varint(WireLength(encoding));
    }
  });
  PutNested(out, v1::StoreRequest::kChecksumsFieldNumber, [&](auto& inner) {
    for (const uint32_t checksum : request.checksums) {
      inner.Fixed32(checksum);
    }
  });
  if (const size_t bytes = WirePageBytes(request); bytes > 0) {
    out.Varint(WireTag(kPagesField, WireType::kBytes));
    out.Varint(bytes);  // which follow
  }
}

template <typename Out>
void PutBody(Out& out, const SendHeader& header, const Request& request) {
  PutHeader(out, header, request);
  PutExtents(out, request);
  if (request.kind == RequestKind::kStore) {
    PutStorePages(out, request);
  }
}

template <typename Out>
void PutHead(Out& out, const SendHeader& header, const Request& request) {
  WireSizer body;
  PutBody(body, header, request);
  PutVarint(out, v1::ExchangeRequest::kIdFieldNumber, request.sequence);
  out.Varint(WireTag(static_cast<uint32_t>(request.kind), WireType::kBytes));
  out.Varint(body.bytes() + WirePageBytes(request));
  PutBody(out, header, request);
}

// Reading: each function takes one field's value, and is false where that is cut off or too long.

template <typename T, size_t kMax, typename Value>
bool Append(std::optional<Value> value, FixedVector<T, kMax>& out) {
  if (!value || out.full()) {
    return false;
  }
  out.push_back(static_cast<T>(*value));
  return true;
}

template <typename T, size_t kMax>
bool ReadCodes(WireReader& reader, FixedVector<T, kMax>& out) {
  const std::optional<ByteView> bytes = reader.Bytes();
  if (!bytes || bytes->size() > kMax) {
    return false;
  }
  out.clear();
  for (const std::byte byte : *bytes) {
    out.push_back(static_cast<T>(byte));
  }
  return true;
}

// A packed list; `read` takes one value from the reader that it is given.
template <typename T, size_t kMax, typename Read>
bool ReadPacked(WireReader& reader, FixedVector<T, kMax>& out, const Read& read) {
  const std::optional<ByteView> bytes = reader.Bytes();
  if (!bytes) {
    return false;
  }
  for (WireReader list(*bytes); !list.done();) {
    if (!Append(read(list), out)) {
      return false;
    }
  }
  return true;
}

template <typename T, size_t kMax>
bool ReadVarints(WireReader& reader, FixedVector<T, kMax>& out) {
  return ReadPacked(reader, out, [](WireReader& list) { return list.Varint(); });
}

template <typename T, size_t kMax>
bool ReadFixed32s(WireReader& reader, FixedVector<T, kMax>& out) {
  return ReadPacked(reader, out, [](WireReader& list) { return list.Fixed32(); });
}

bool ReadEpoch(WireReader& reader, Epoch& epoch) {
  const std::optional<uint64_t> value = reader.Varint();
  epoch = value.value_or(0);
  return value.has_value();
}

// Calls read(reader, tag) for each field. A field of another type than expected is as one that is
// not known: it is skipped, and missed by CheckAnswer.
template <typename Read>
bool ForEachField(ByteView message, const Read& read) {
  WireReader reader(message);
  while (!reader.done()) {
    const std::optional<uint64_t> tag = reader.Varint();
    if (!tag || !read(reader, *tag)) {
      return false;
    }
  }
  return true;
}

constexpr uint64_t VarintTag(int field) {
  return WireTag(static_cast<uint32_t>(field), WireType::kVarint);
}
constexpr uint64_t BytesTag(int field) {
  return WireTag(static_cast<uint32_t>(field), WireType::kBytes);
}

bool ParseStore(ByteView head, Answer& answer) {
  using Field = v1::StoreResponse;
  return ForEachField(head, [&](WireReader& reader, uint64_t tag) {
    switch (tag) {
      case VarintTag(Field::kShardEpochFieldNumber):
        return ReadEpoch(reader, answer.epoch);
      case BytesTag(Field::kCodesFieldNumber):
        return ReadCodes(reader, answer.codes);
      default:
        return reader.Skip(tag);
    }
  });
}

// Lists of numbers are packed, as proto3 writes them (of one page too).
bool ParseLoad(ByteView head, Answer& answer) {
  using Field = v1::LoadResponse;
  return ForEachField(head, [&](WireReader& reader, uint64_t tag) {
    switch (tag) {
      case VarintTag(Field::kShardEpochFieldNumber):
        return ReadEpoch(reader, answer.epoch);
      case BytesTag(Field::kCodesFieldNumber):
        return ReadCodes(reader, answer.codes);
      case BytesTag(Field::kEncodingsFieldNumber):
        return ReadCodes(reader, answer.encodings);
      case BytesTag(Field::kLengthsFieldNumber):
        return ReadVarints(reader, answer.lengths);
      case BytesTag(Field::kChecksumsFieldNumber):
        return ReadFixed32s(reader, answer.checksums);
      case BytesTag(Field::kStampTokensFieldNumber):
        return ReadVarints(reader, answer.stamp_tokens);
      case BytesTag(Field::kStampSequencesFieldNumber):
        return ReadVarints(reader, answer.stamp_sequences);
      default:
        return reader.Skip(tag);
    }
  });
}

// Of a free and a prefetch, whose other fields nobody asks for.
bool ParsePlain(ByteView head, Answer& answer) {
  return ForEachField(head, [&](WireReader& reader, uint64_t tag) {
    return tag == VarintTag(v1::FreeResponse::kShardEpochFieldNumber)
               ? ReadEpoch(reader, answer.epoch)
               : reader.Skip(tag);
  });
}

template <typename Message>
bool Parse(ByteView head, Message& message) {
  return message.ParseFromArray(head.data(), static_cast<int>(head.size()));
}

bool ParseExtents(ByteView head, Answer& answer) {
  const bool parsed = Parse(head, answer.extents);
  answer.epoch = answer.extents.shard_epoch();
  return parsed;
}

bool ParseError(ByteView head, Status& status) {
  v1::Error error;
  if (!Parse(head, error)) {
    return false;
  }
  const auto code = static_cast<StatusCode>(error.code());
  status = MakeError(code == StatusCode::kOk ? StatusCode::kUnknown : code,
                     static_cast<ErrorReason>(error.reason()), error.message());
  return true;
}

bool ParseInner(const Frame& frame, Answer& answer) {
  switch (frame.field) {
    case v1::ExchangeResponse::kStoreFieldNumber:
      return ParseStore(frame.head, answer);
    case v1::ExchangeResponse::kLoadFieldNumber:
      return ParseLoad(frame.head, answer);
    case v1::ExchangeResponse::kFreeFieldNumber:
    case v1::ExchangeResponse::kPrefetchFieldNumber:
      return ParsePlain(frame.head, answer);
    case v1::ExchangeResponse::kExtentsFieldNumber:
      return ParseExtents(frame.head, answer);
    case v1::ExchangeResponse::kErrorFieldNumber:
      return ParseError(frame.head, answer.status);
    default:
      return false;
  }
}

void Clear(Answer& answer) {
  answer.status = Status();
  answer.epoch = 0;
  answer.codes.clear();
  answer.encodings.clear();
  answer.lengths.clear();
  answer.checksums.clear();
  answer.stamp_tokens.clear();
  answer.stamp_sequences.clear();
  answer.extents.Clear();
}

Status Unfit(std::string_view what) {
  return MakeError(StatusCode::kInternal,
                   "the server's answer does not fit its request: " + std::string(what));
}

Status CheckLoad(size_t pages, const Answer& answer) {
  if (answer.codes.size() != pages || answer.encodings.size() != pages ||
      answer.lengths.size() != pages || answer.checksums.size() != pages ||
      answer.stamp_tokens.size() != pages || answer.stamp_sequences.size() != pages) {
    return Unfit("number of pages");
  }
  uint64_t bytes = 0;
  for (const uint32_t length : answer.lengths) {
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

void PrepareStore(SpaceId space, Token token, Request& request) {
  const Stamp stamp{token, request.sequence};
  ForEachSlot(request, [&](Offset offset, uint64_t page, size_t) {
    const PageView plain(request.PageAt(page), kPageBytes);
    request.encodings.push_back(IsZeroPage(plain) ? Encoding::kZero : Encoding::kRaw);
    request.checksums.push_back(PageChecksum(space, offset, stamp, plain));
  });
}

size_t WirePageBytes(const Request& request) {
  size_t bytes = 0;
  for (const Encoding encoding : request.encodings) {
    bytes += WireLength(encoding);
  }
  return bytes;
}

std::span<std::byte> WriteRequest(const SendHeader& header, const Request& request,
                                  std::span<std::byte> room) {
  const size_t page_bytes = WirePageBytes(request);
  std::byte* page_at = room.data() + kRequestHeadBytesMax;
  WireSizer sizer;
  PutHead(sizer, header, request);
  std::byte* const begin = page_at - sizer.bytes();
  WireWriter writer(begin);
  PutHead(writer, header, request);
  if (page_bytes > 0) {
    ForEachSlot(request, [&](Offset, uint64_t page, size_t index) {
      if (request.encodings[index] == Encoding::kRaw) {
        std::memcpy(page_at, request.PageAt(page), kPageBytes);
        page_at += kPageBytes;
      }
    });
  }
  return {begin, page_at};
}

Status ParseAnswer(ByteView message, Answer& answer) {
  Clear(answer);
  const StatusOr<Frame> frame = SplitFrame(message);
  if (!frame.ok()) {
    return frame.status();
  }
  answer.id = frame->id;
  answer.kind = static_cast<RequestKind>(frame->field);
  answer.pages = frame->pages;
  return ParseInner(*frame, answer) ? Status()
                                    : MakeError(StatusCode::kInvalidArgument,
                                                "message: not an ExchangeResponse of vswap.v1");
}

Status CheckAnswer(const Request& request, const Answer& answer) {
  if (answer.kind != request.kind) {
    return Unfit("kind");
  }
  switch (request.kind) {
    case RequestKind::kStore:
      return answer.codes.size() == request.pages ? Status() : Unfit("number of pages");
    case RequestKind::kLoad:
      return CheckLoad(request.pages, answer);
    case RequestKind::kExtents:
      return CheckExtents(request.pages, answer.extents);
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

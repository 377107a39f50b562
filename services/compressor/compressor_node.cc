#include "services/compressor/compressor_node.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "services/common/checksum.h"
#include "services/compressor/codec.h"

namespace vswap {
namespace {

constexpr uint32_t kInventoryNamesMax = 4096;
// What costs less than handing it to another thread (about 45 us to wake one): a get copies and
// checks a page in under 1 us, a delete wipes one in less.
constexpr size_t kInlineGetPages = 16;
constexpr size_t kInlineDeletePages = 64;

Status ValidateBatch(const std::vector<PageName>& names) {
  if (names.empty() || names.size() > kBatchPagesMax) {
    return InvalidField("pages", std::to_string(names.size()),
                        "1.." + std::to_string(kBatchPagesMax));
  }
  const std::unordered_set<PageName, PageNameHash> distinct(names.begin(), names.end());
  if (distinct.size() != names.size()) {
    return InvalidField("pages", "a batch with a name twice", "each name once");
  }
  return absl::OkStatus();
}

std::vector<PageName> NamesOf(const std::vector<PutPage>& pages) {
  std::vector<PageName> names;
  names.reserve(pages.size());
  for (const PutPage& page : pages) {
    names.push_back(page.name);
  }
  return names;
}

}  // namespace

void CompressorNode::Put(std::vector<PutPage> pages, Lane, Callback<PutReply> done) {
  std::vector<PageName> names = NamesOf(pages);
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  executor_.Dispatch([this, pages = std::move(pages), batch = under_way_.Begin(std::move(names)),
                      done = std::move(done)]() mutable {
    PutReply reply = DoPut(pages, *batch);
    batch.reset();
    done(std::move(reply));
  });
}

PutReply CompressorNode::DoPut(const std::vector<PutPage>& pages,
                               const PutsUnderWay::Batch& batch) {
  PutReply reply{arena_.incarnation(), {}};
  reply.pages.reserve(pages.size());
  for (size_t i = 0; i < pages.size(); ++i) {
    reply.pages.push_back(PutOne(pages[i], batch.withdrawn(i)));
  }
  return reply;
}

PutOutcome CompressorNode::PutOne(const PutPage& page, const std::atomic<bool>& withdrawn) {
  const PageCode code = VerifyPut(page);
  if (code != PageCode::kOk) {
    return {code, 0};
  }
  SlabArena::Put put{{page.name, page.stamp, page.page_checksum, page.record_checksum,
                      page.encoding, static_cast<uint16_t>(page.bytes.size())},
                     page.bytes,
                     page.replaces_bytes,
                     &withdrawn};
  std::optional<std::vector<std::byte>> compressed;
  if (!page.as_is && page.encoding == Encoding::kRaw) {
    compressed = CompressPage(PageView(page.bytes.data(), kPageBytes));
    if (!compressed) {
      return {PageCode::kIncompressible, 0};
    }
    put.bytes = *compressed;
    put.record.encoding = Encoding::kLz4;
    put.record.stored_bytes = static_cast<uint16_t>(compressed->size());
    put.record.record_checksum =
        RecordChecksum(page.name, page.stamp, page.page_checksum, Encoding::kLz4, put.bytes);
  }
  const auto stored_bytes = arena_.Keep(put);
  return stored_bytes ? PutOutcome{PageCode::kOk, *stored_bytes}
                      : PutOutcome{PageCode::kResourceExhausted, 0};
}

void CompressorNode::Get(std::vector<PageName> names, Lane, Callback<GetReply> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  if (names.size() <= kInlineGetPages) {
    done(DoGet(names));
    return;
  }
  executor_.Dispatch(
      [this, names = std::move(names), done = std::move(done)] { done(DoGet(names)); });
}

GetReply CompressorNode::DoGet(const std::vector<PageName>& names) {
  GetReply reply{arena_.incarnation(), {}, {}};
  reply.pages.reserve(names.size());
  reply.payload.reserve(names.size() * kPageBytes);
  for (const PageName& name : names) {
    reply.pages.push_back(GetOne(name, reply.payload));
  }
  return reply;
}

GotPage CompressorNode::GetOne(const PageName& name, std::vector<std::byte>& payload) {
  const size_t begin = payload.size();
  const auto record = arena_.CopyTo(name, payload);
  GotPage page;
  if (!record) {
    page.code = PageCode::kNotFound;
    return page;
  }
  if (RecordChecksum(name, record->stamp, record->page_checksum, record->encoding,
                     ByteView(payload).subspan(begin)) != record->record_checksum) {
    payload.resize(begin);
    ++corrupt_pages_;
    page.code = PageCode::kCorrupt;
    return page;
  }
  return {PageCode::kOk,         record->encoding,
          record->stored_bytes,  static_cast<uint32_t>(begin),
          record->page_checksum, record->record_checksum,
          record->stamp};
}

void CompressorNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  under_way_.Withdraw(names);
  const auto work = [this](const std::vector<PageName>& deleted,
                           const Callback<Incarnation>& answer) {
    arena_.Delete(deleted);
    answer(arena_.incarnation());
  };
  if (names.size() <= kInlineDeletePages) {
    work(names, done);
    return;
  }
  executor_.Dispatch(
      [work, names = std::move(names), done = std::move(done)] { work(names, done); });
}

void CompressorNode::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  if (limit == 0 || limit > kInventoryNamesMax) {
    done(InvalidField("limit", std::to_string(limit), "1.." + std::to_string(kInventoryNamesMax)));
    return;
  }
  uint32_t slot = 0;
  if (!cursor.empty() && cursor.size() != sizeof(slot)) {
    done(InvalidField("cursor", std::to_string(cursor.size()) + " bytes", "as answered"));
    return;
  }
  std::memcpy(&slot, cursor.data(), cursor.size());
  InventoryReply reply{arena_.incarnation(), {}, {}};
  if (const auto next = arena_.List(slot, limit, reply.names)) {
    reply.next_cursor.assign(reinterpret_cast<const char*>(&*next), sizeof(*next));
  }
  done(std::move(reply));
}

void CompressorNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  if (const Status valid = ValidateBatch(names); !valid.ok()) {
    done(valid);
    return;
  }
  executor_.Dispatch(
      [this, names = std::move(names), done = std::move(done)] { done(ToVerified(DoGet(names))); });
}

void CompressorNode::Statistics(Callback<NodeStatistics> done) {
  const ArenaStatistics arena = arena_.Statistics();
  done(NodeStatistics{.incarnation = arena_.incarnation(),
                      .pages = arena.pages,
                      .payload_bytes = arena.payload_bytes,
                      .used_bytes = arena.used_bytes,
                      .capacity_bytes = arena.capacity_bytes,
                      .occupied_bytes = arena.occupied_bytes,
                      .corrupt_pages = corrupt_pages()});
}

}  // namespace vswap

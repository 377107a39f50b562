#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/common/fill.h"
#include "services/common/ids.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// One page to keep. `bytes` is borrowed until the call's callback has run.
struct PutPage {
  PageName name;
  Stamp stamp;
  uint32_t page_checksum = 0;  // the client's, see PageChecksum; kept with the page
  uint32_t record_checksum =
      0;  // RecordChecksum over `bytes` as given here; verified before anything else
  Encoding encoding = Encoding::kUnset;  // kRaw or kLz4
  // Keep the bytes exactly as they are (a move between nodes). Otherwise the node may compress, and
  // verifies the page checksum against the plain bytes.
  bool as_is = false;
  // Stored bytes of a record of the same slot on this node that is deleted once this one is
  // published; 0: none. Its room counts towards this page: a page that needs no more room may use
  // the node's overlap reserve.
  uint32_t replaces_bytes = 0;
  ByteView bytes;
};

struct PutOutcome {
  PageCode code = PageCode::kUnset;  // kOk, kResourceExhausted, kIncompressible, kInvalid, kCorrupt
  uint16_t stored_bytes = 0;         // where kOk; 1..4096
};

struct PutReply {
  Incarnation incarnation = 0;
  std::vector<PutOutcome> pages;  // as many as asked, in order
};

// One page got: where the code is kOk, a verified record whose bytes are payload[begin, begin +
// stored_bytes).
struct GotPage {
  PageCode code = PageCode::kUnset;  // kOk, kNotFound, kCorrupt
  Encoding encoding = Encoding::kUnset;
  uint16_t stored_bytes = 0;
  uint32_t begin = 0;
  uint32_t page_checksum = 0;
  uint32_t record_checksum = 0;
  Stamp stamp;
};

struct GetReply {
  Incarnation incarnation = 0;
  std::vector<GotPage> pages;      // as many as asked, in order
  std::vector<std::byte> payload;  // never shared
  ByteView BytesOf(const GotPage& page) const {
    return ByteView(payload).subspan(page.begin, page.stored_bytes);
  }
};

struct InventoryReply {
  Incarnation incarnation = 0;
  std::vector<PageName> names;
  std::string next_cursor;  // empty: the end
};

struct VerifyReply {
  Incarnation incarnation = 0;
  std::vector<PageCode> codes;  // kOk, kNotFound, kCorrupt; as many as asked, in order
};

// What a Get says of its pages.
inline VerifyReply ToVerified(const GetReply& got) {
  VerifyReply reply{got.incarnation, {}};
  reply.codes.reserve(got.pages.size());
  for (const GotPage& page : got.pages) {
    reply.codes.push_back(page.code);
  }
  return reply;
}

struct NodeStatistics {
  Incarnation incarnation = 0;
  uint64_t pages = 0;
  uint64_t pages_capacity = 0;     // 0: no limit in pages
  uint64_t payload_bytes = 0;      // sum of stored bytes
  uint64_t used_bytes = 0;         // memory or disk in use, all overhead included
  uint64_t capacity_bytes = 0;     // 0: no limit in bytes
  uint64_t occupied_bytes = 0;     // what new pages cannot have
  uint64_t corrupt_pages = 0;      // since its start: records found damaged
  uint64_t background_errors = 0;  // since its start: of its storage engine
};

inline double FillOf(const NodeStatistics& statistics) {
  return FillOf(statistics.pages, statistics.pages_capacity, statistics.occupied_bytes,
                statistics.capacity_bytes);
}

template <typename T>
using Callback = std::function<void(StatusOr<T>)>;

// A node keeps records named by exact versions: it knows nothing of words, spaces' sizes or
// tenants.
//
// Bodies: CompressorNode, RocksdbNode, RemoteNode (gRPC), CircuitBreaker, MemoryNode and the fault
// bodies (tests). Thread-safe. Every callback runs exactly once, on any thread, possibly within the
// call; the node holds no lock while it runs. An error status means the call's effect is unknown
// (Put, Delete) or absent (the others): the caller retries with the same names, which is harmless.
// Batches hold 1..512 pages, a duplicate-free list of names. Verify and Inventory are of the
// background lane.
class Node {
 public:
  virtual ~Node() = default;
  // The pages' bytes stay as they are until it is answered.
  virtual void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) = 0;
  virtual void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) = 0;
  // Names that are not held are no error. When it has answered, the pages are gone, also after a
  // crash.
  virtual void Delete(std::vector<PageName> names, Callback<Incarnation> done) = 0;
  // Every record that exists during the whole listing is listed, sound or not; `limit` 1..4096.
  virtual void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) = 0;
  // Checks each record, and counts damage, as Get does. UNIMPLEMENTED: a process of an earlier
  // version, which cannot.
  virtual void Verify(std::vector<PageName> names, Callback<VerifyReply> done) = 0;
  virtual void Statistics(Callback<NodeStatistics> done) = 0;
};

}  // namespace vswap

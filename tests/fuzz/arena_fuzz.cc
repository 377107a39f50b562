// An arena whose file was changed: refused, or recovered so that every page listed is either what
// its record checksum says or told to be corrupt, no two share a byte, and the arena goes on
// working.

#include <set>

#include "services/common/checksum.h"
#include "tests/fuzz/arena_edits.h"

namespace vswap {
namespace {

struct Seen {
  PageCode code = PageCode::kUnset;
  std::vector<std::byte> bytes;
  bool operator==(const Seen&) const = default;
};
using Pages = std::map<PageName, Seen>;

Seen Look(NodeCalls& calls, const PageName& name) {
  const StatusOr<GetReply> reply = calls.Get({name});
  FUZZ_CHECK(reply.ok() && reply->pages.size() == 1);
  const GotPage& page = reply->pages[0];
  if (page.code != PageCode::kOk) {
    return {page.code, {}};
  }
  const ByteView bytes = reply->BytesOf(page);
  FUZZ_CHECK(RecordChecksum(name, page.stamp, page.page_checksum, page.encoding, bytes) ==
             page.record_checksum);
  return {page.code, {bytes.begin(), bytes.end()}};
}

Pages LookAtAll(NodeCalls& calls) {
  Pages pages;
  for (const PageName& name : calls.AllNames(7)) {
    const bool first = pages.emplace(name, Look(calls, name)).second;
    FUZZ_CHECK(first);
  }
  for (const auto& [name, page] : pages) {
    FUZZ_CHECK(page.code == PageCode::kOk || page.code == PageCode::kCorrupt);
  }
  FUZZ_CHECK(calls.Statistics().pages == pages.size());
  return pages;
}

void PutMore(NodeCalls& calls, Pages& pages) {
  for (uint64_t i = 0; i < 2; ++i) {
    const PageName name{77, i, 1};
    if (!pages.contains(name) && calls.PutRaw(name) == PageCode::kOk) {
      pages[name] = Look(calls, name);
      FUZZ_CHECK(pages[name].code == PageCode::kOk);
    }
  }
}

void DeleteEveryOther(NodeCalls& calls, Pages& pages) {
  bool stays = false;
  for (auto it = pages.begin(); it != pages.end(); stays = !stays) {
    if (stays) {
      ++it;
      continue;
    }
    FUZZ_CHECK(calls.Delete({it->first}).ok());
    it = pages.erase(it);
  }
}

void Use(SlabArena& arena) {
  ManualExecutor executor;
  CompressorNode node(arena, executor);
  NodeCalls calls(node);
  Pages pages = LookAtAll(calls);
  PutMore(calls, pages);
  FUZZ_CHECK(LookAtAll(calls) == pages);
  DeleteEveryOther(calls, pages);
  PutMore(calls, pages);
  FUZZ_CHECK(LookAtAll(calls) == pages);
  for (const auto& [name, page] : pages) {
    FUZZ_CHECK(calls.Delete({name}).ok());
  }
  FUZZ_CHECK(LookAtAll(calls).empty());
  FUZZ_CHECK(arena.Statistics().payload_bytes == 0);
}

void Run(fuzz::Input input) {
  static fuzz::EditedArena edited;
  edited.Rewrite(input);
  {
    const auto arena = edited.Open();
    if (!arena.ok()) {
      return;
    }
    Use(**arena);
  }
  const auto again = edited.Open();
  FUZZ_CHECK(again.ok());
  const ArenaRecovery& found = (*again)->recovery();
  FUZZ_CHECK(found.pages == 0 && found.unfinished == 0 && found.damaged == 0 &&
             found.conflicting == 0);
}

}  // namespace
}  // namespace vswap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t data_bytes) {
  vswap::Run(vswap::fuzz::Input(data, data_bytes));
  return 0;
}

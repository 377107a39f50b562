#pragma once

#include <string>
#include <vector>

#include "services/cluster/node.h"
#include "tests/support/await.h"
#include "tests/support/pages.h"

namespace vswap {

// The calls of a node, waited for.
class NodeCalls {
 public:
  explicit NodeCalls(Node& node) : node_(node) {}

  StatusOr<PutReply> Put(const std::vector<PutPage>& pages) {
    return Await<PutReply>([&](auto done) { node_.Put(pages, Lane::kPageOut, done); });
  }
  // Raw pages of these names; the code of each, none of it kUnset unless the call failed.
  std::vector<PageCode> PutRaw(const std::vector<PageName>& names, uint32_t replaces_bytes = 0,
                               bool shrinks = true) {
    std::vector<OwnedPage> owned;
    for (const PageName& name : names) {
      owned.push_back(RawPage(name, shrinks));
    }
    std::vector<PutPage> pages;
    for (OwnedPage& page : owned) {
      page.put.replaces_bytes = replaces_bytes;
      pages.push_back(page.put);
    }
    const auto reply = Put(pages);
    std::vector<PageCode> codes(names.size(), PageCode::kUnset);
    for (size_t i = 0; reply.ok() && i < codes.size(); ++i) {
      codes[i] = reply->pages[i].code;
    }
    return codes;
  }
  PageCode PutRaw(const PageName& name, uint32_t replaces_bytes = 0) {
    return PutRaw(std::vector<PageName>{name}, replaces_bytes)[0];
  }
  StatusOr<GetReply> Get(const std::vector<PageName>& names) {
    return Await<GetReply>([&](auto done) { node_.Get(names, Lane::kDemand, done); });
  }
  PageCode CodeOf(const PageName& name) {
    const auto reply = Get({name});
    return reply.ok() ? reply->pages[0].code : PageCode::kUnset;
  }
  Status Delete(const std::vector<PageName>& names) {
    return Await<Incarnation>([&](auto done) { node_.Delete(names, done); }).status();
  }
  NodeStatistics Statistics() {
    return Await<NodeStatistics>([&](auto done) { node_.Statistics(done); }).value();
  }
  StatusOr<InventoryReply> Inventory(const std::string& cursor, uint32_t limit) {
    return Await<InventoryReply>([&](auto done) { node_.Inventory(cursor, limit, done); });
  }
  StatusOr<VerifyReply> Verify(const std::vector<PageName>& names) {
    return Await<VerifyReply>([&](auto done) { node_.Verify(names, done); });
  }
  std::vector<PageName> AllNames(uint32_t limit = 4096) {
    std::vector<PageName> names;
    std::string cursor;
    do {
      const InventoryReply reply = Inventory(cursor, limit).value();
      names.insert(names.end(), reply.names.begin(), reply.names.end());
      cursor = reply.next_cursor;
    } while (!cursor.empty());
    return names;
  }

 private:
  Node& node_;
};

}  // namespace vswap

#include "services/frontend/shard_assignment.h"

#include <algorithm>
#include <map>

namespace vswap {

std::vector<std::string> AssignShards(const std::vector<std::string>& owners,
                                      const std::vector<std::string>& live) {
  std::vector<std::string> wanted(owners.size());
  if (live.empty()) {
    return wanted;
  }
  std::map<std::string, size_t> owned;
  for (const std::string& name : live) {
    owned[name] = 0;
  }
  for (const std::string& owner : owners) {
    if (const auto it = owned.find(owner); it != owned.end()) {
      ++it->second;
    }
  }
  // Those that own most keep the odd ones.
  std::vector<std::string> by_owned = live;
  std::ranges::stable_sort(by_owned, std::greater(), [&](const auto& name) { return owned[name]; });
  std::map<std::string, size_t> room;
  for (size_t i = 0; i < by_owned.size(); ++i) {
    room[by_owned[i]] = owners.size() / live.size() + (i < owners.size() % live.size() ? 1 : 0);
  }
  for (size_t shard = 0; shard < owners.size(); ++shard) {
    if (const auto it = room.find(owners[shard]); it != room.end() && it->second > 0) {
      wanted[shard] = owners[shard];
      --it->second;
    }
  }
  auto next = room.begin();
  for (std::string& owner : wanted) {
    while (owner.empty() && next->second == 0) {
      ++next;
    }
    if (owner.empty()) {
      owner = next->first;
      --next->second;
    }
  }
  return wanted;
}

}  // namespace vswap

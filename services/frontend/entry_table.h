#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "services/common/ids.h"
#include "services/frontend/backing.h"
#include "services/frontend/slab_pool.h"

namespace vswap {

// Pages and bytes by backing kind.
struct SpaceCounts {
  uint64_t empty_pages = 0;  // of an allocated space: entries that nothing was stored to
  uint64_t zero_pages = 0;
  uint64_t compressed_pages = 0;
  uint64_t physical_pages = 0;
  uint64_t lost_pages = 0;
  uint64_t compressed_bytes = 0;
  uint64_t physical_bytes = 0;

  uint64_t used_slots() const {
    return empty_pages + zero_pages + compressed_pages + physical_pages + lost_pages;
  }
  SpaceCounts& operator+=(const SpaceCounts& other);
  bool operator==(const SpaceCounts&) const = default;
};

struct NamedEntry {
  SpaceId space = 0;
  Offset offset = 0;
  Entry entry;
};

// The entries of one shard: clusters of 512 slots, which exist only while they hold a word or a
// change under way.
//
// 12 bytes a slot plus about 100 a cluster; bad at sparse use, where a lone slot costs a whole
// cluster (6 KiB). Externally synchronised, also reads: by the mutex of its shard.
class EntryTable {
 public:
  // Changes of a slot that have begun and are not yet published.
  struct InFlight {
    Version enqueued = 0;  // newest version that is in the log's queue
    uint32_t count = 0;
    bool exclusive = false;  // a change of references: nothing else may begin
  };

  Entry Get(SpaceId space, Offset offset) const;

  // Replaces the entry and keeps the counts; a zero word empties the slot. Returns what was there.
  Entry Publish(SpaceId space, Offset offset, Entry entry);

  // Sets the companion's seen flag.
  void MarkSeen(SpaceId space, Offset offset, SeenBy by);
  // Clears all of them.
  void ClearSeen(SeenBy by);

  // Notes that the page was loaded: it is warm. Returns the entry.
  Entry Touch(SpaceId space, Offset offset);
  // Compressed entries on one of `sets`. Costs what the table holds.
  size_t CountCompressed(const std::vector<SetId>& sets) const;
  // The `count` oldest (by version) of these that were not loaded since the last call; none of them
  // counts as loaded afterwards. Costs what the table holds.
  std::vector<NamedEntry> TakeColdest(const std::vector<SetId>& sets, size_t count);

  // Adds the entry to the counts (sign +1) or takes it away (-1).
  static void AddTo(const Entry& entry, int64_t sign, SpaceCounts* counts);

  // The slot's changes under way, for the caller to count in (count 0: made now). Valid until the
  // next call of another method. After lowering the count to 0 call Settle.
  InFlight& InFlightOf(SpaceId space, Offset offset);
  // Like it, but null where there is none.
  const InFlight* FindInFlight(SpaceId space, Offset offset) const;
  // Forgets a slot's changes once their count is 0, and the cluster once it holds nothing.
  void Settle(SpaceId space, Offset offset);

  // Calls visit for every slot of the extent that holds a word (also a none word with a version) or
  // has changes under way. Costs what the existing clusters hold, not the length. Visitors must not
  // call back into the table.
  void ForEach(SpaceId space, Extent extent,
               const std::function<void(Offset, const Entry&)>& visit) const;
  // All slots that hold a word, in no order.
  void ForEach(const std::function<void(SpaceId, Offset, const Entry&)>& visit) const;

  // All clusters, in no order.
  void ForEachCluster(const std::function<void(SpaceId, uint64_t cluster)>& visit) const;
  // All clusters of a space, in no order.
  void ForEachCluster(SpaceId space, const std::function<void(uint64_t cluster)>& visit) const;

  // The first naturally aligned run of 2^order slots of the cluster that hold no word and have no
  // change under way, at `from` or behind it and below `limit` slots (both 0..512); empty if there
  // is none. A cluster that does not exist is free.
  std::optional<uint32_t> FindFreeRun(SpaceId space, uint64_t cluster, uint32_t order,
                                      uint32_t from, uint32_t limit) const;
  bool HasCluster(SpaceId space, uint64_t cluster) const {
    return clusters_.contains({space, cluster});
  }

  uint64_t cluster_count() const { return clusters_.size(); }
  const std::unordered_map<SpaceId, SpaceCounts>& counts() const { return counts_; }
  // Pages that the set's nodes keep.
  uint64_t PagesOn(SetId set) const { return set < by_set_.size() ? by_set_[set] : 0; }
  // Those of the sets, in no order. Costs what the table holds.
  std::vector<NamedEntry> EntriesOn(const std::vector<SetId>& sets) const;

 private:
  struct Key {
    SpaceId space;
    uint64_t cluster;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const { return Mix64(Mix64(key.space) ^ key.cluster); }
  };
  struct Cluster {
    std::array<Word, kClusterSlots> words;
    std::array<Companion, kClusterSlots> companions;
    uint32_t words_used = 0;       // words that are not zero
    uint32_t slots_in_flight = 0;  // InFlight records whose count is not 0, or that are being made
    // Only while something is under way.
    std::unique_ptr<std::array<InFlight, kClusterSlots>> in_flight;
  };

  static Key KeyOf(SpaceId space, Offset offset) { return {space, offset / kClusterSlots}; }
  const Cluster* Find(SpaceId space, Offset offset) const;
  Cluster& FindOrMake(SpaceId space, Offset offset);
  void Count(SpaceId space, const Entry& entry, int64_t sign);
  void DropIfEmpty(const Cluster& cluster, SpaceId space, Offset offset);

  SlabPool pool_{sizeof(Cluster)};  // before the clusters, which it outlives
  absl::flat_hash_map<Key, PoolPtr<Cluster>, KeyHash> clusters_;
  // The cluster that was found last: a batch's slots are neighbours. Null: none.
  mutable Key last_key_{};
  mutable Cluster* last_cluster_ = nullptr;
  std::unordered_map<SpaceId, SpaceCounts> counts_;
  std::vector<uint64_t> by_set_;  // pages kept on each, up to the highest that was used
};

}  // namespace vswap

#pragma once

#include <functional>
#include <vector>

#include "tests/sim/entry_oracle.h"
#include "tests/sim/sim_client.h"

namespace vswap {

// A client that allocates entries of a space, stores to them, loads, duplicates and frees them. It
// frees only references that it has. Whether a change of references was done it must know, so it
// gives up loads only; and before its first request it asks which entries there are, and how many
// references each has (see EntryOracle). Thread-confined.
class SimEntryClient : public SimClient {
 public:
  // `oracle`: the space's; made when it is first opened.
  SimEntryClient(World world, Options options, uint64_t process_id, uint64_t seed,
                 std::function<EntryOracle&(SpaceId)> oracle)
      : SimClient(std::move(world), std::move(options), process_id, seed),
        find_oracle_(std::move(oracle)) {}

  // To those with one reference.
  void StoreAll() override;
  // Also of freed entries.
  void LoadAll() override;
  // All references.
  void FreeAll() override;

 private:
  void OnAttached() override;
  void Survey(Extent extent, std::function<void(const std::vector<BackingRun>&)> found);

  bool IssueOne() override;
  bool IssueChange();
  // Ascending, of one shard, without a change under way.
  std::vector<Offset> PickSlots(const std::function<bool(Offset)>& wanted);
  void Load(const std::vector<Offset>& offsets);
  void Store(const std::vector<Offset>& offsets);
  void Allocate();
  void Duplicate(const std::vector<Offset>& offsets);
  void Free(const std::vector<Offset>& offsets);
  using Effect =
      std::function<void(FrontEnd& front_end, const RequestHeader& header, MutationDone done)>;
  void Change(const OpPtr& op, const EntryOracle::ChangePtr& change, bool whole, Effect effect);
  void OnChanged(const Op& op, EntryOracle::Change& change, bool whole,
                 const MutationResult& result);

  const std::function<EntryOracle&(SpaceId)> find_oracle_;
  EntryOracle* oracle_ = nullptr;
  EntryOracle::References found_;  // by the survey
  size_t surveying_ = 0;           // its requests under way
  bool surveyed_ = false;
  size_t last_frees_ = 0;  // under way, of last references
  bool freeing_all_ = false;
  Sequence spare_ = 0;  // for the planted bugs: newer than any request's
};

}  // namespace vswap

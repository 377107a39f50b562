#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_client.h"
#include "tests/sim/space_oracle.h"

namespace vswap {

// A client that stores, loads and frees pages of a device space. Now and then it gives a request
// up. Thread-confined.
class SimDeviceClient : public SimClient {
 public:
  // `oracle`: the space's; made when it is first opened.
  SimDeviceClient(World world, Options options, uint64_t process_id, uint64_t seed,
                  std::function<SpaceOracle&(SpaceId)> oracle)
      : SimClient(std::move(world), std::move(options), process_id, seed),
        find_oracle_(std::move(oracle)) {}

  void StoreAll() override;
  void LoadAll() override;
  void FreeAll() override;

 private:
  void OnAttached() override {
    oracle_ = &find_oracle_(client_->space());
    oracle_->Attached(client_->token());
  }
  bool IssueOne() override;
  std::vector<Offset> PickSlots(bool free_of_changes);
  void Load(const std::vector<Offset>& offsets);
  void Store(const std::vector<Offset>& offsets);
  void Free(const std::vector<Offset>& offsets);
  void Change(const OpPtr& op, const SpaceOracle::ChangePtr& change);
  void SendStore(const OpPtr& op, SimFrontEnd& to, const SpaceOracle::ChangePtr& change,
                 StoreCall call);
  void SendFree(const OpPtr& op, SimFrontEnd& to, const SpaceOracle::ChangePtr& change);
  void OnStored(const Op& op, SpaceOracle::Change& change, bool whole,
                const MutationResult& result);
  void OnFreed(const Op& op, SpaceOracle::Change& change, const MutationResult& result);
  // Whether it was done, as far as the answer to the whole request tells.
  void CheckAnswer(const SpaceOracle::Change& change, const MutationResult& result);

  const std::function<SpaceOracle&(SpaceId)> find_oracle_;
  SpaceOracle* oracle_ = nullptr;
  Sequence spare_ = 0;  // for kDuplicateAppliedTwice: newer than any request's
};

}  // namespace vswap

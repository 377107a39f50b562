#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_front_end.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/space_oracle.h"
#include "tests/support/front_end_client.h"

namespace vswap {

// A process that opens a space and then stores, loads and frees pages of it, in the way of
// libvswap: it asks whichever front-end answers for the shard map, sends a request again under its
// sequence until it is answered, believes no answer of an epoch below what it has seen, and has no
// two changes of a slot under way. Now and then it gives a request up. An oracle of the space is
// told of everything. Thread-confined.
class SimClient {
 public:
  struct Options {
    std::string space;
    std::string holder;
    std::vector<Offset> slots;  // that it uses
    uint64_t space_pages = 0;
    size_t batch_pages_max = 4;
    size_t under_way_max = 6;
    uint64_t loads_percent = 45;       // of its requests; the others are stores, and a few frees
    uint64_t impatient_permille = 30;  // of its requests are given up soon
    bool full_expected = false;        // a store may find no room
    PlantedBug bug = PlantedBug::kNone;
  };
  struct World {
    ManualExecutor& world;
    SimNetwork& network;
    // Those that a client may reach now, not empty.
    std::function<std::vector<SimFrontEnd*>()> front_ends;
    // The one with that address; null: there is none any more.
    std::function<SimFrontEnd*(const std::string&)> find;
    // The space's; made when it is first opened.
    std::function<SpaceOracle&(SpaceId)> oracle;
    // An answer of that shard's epoch came from this process.
    std::function<void(ShardId, Epoch, const SimProcess&)> on_answer;
    std::function<void(const std::string&)> wrong;
  };

  SimClient(World world, Options options, uint64_t process_id, uint64_t seed);

  // Opens the space, trying again until it is open.
  void Start() { Open(); }
  bool attached() const { return client_.has_value(); }
  // Its space was opened by another one: it does nothing more.
  bool fenced() const { return fenced_; }
  bool idle() const { return ops_.empty(); }
  // Gives the space back, without waiting for the answer.
  void Close();
  // What it has sent may still arrive.
  void Kill() {
    process_.Kill();
    GiveUpAll();
  }
  // Begins a request; false if too many are under way, or it is not attached.
  bool Issue();
  // Stores to all slots of its space that were ever stored to, loads or frees them.
  void StoreAll();
  void LoadAll();
  void FreeAll();
  // From now on every page must be answered.
  void ExpectAnswers() { answers_expected_ = true; }
  uint64_t answered() const { return answered_; }
  SimProcess& process() { return process_; }

 private:
  enum class Kind : uint8_t { kStore, kLoad, kFree };
  struct Op {
    Kind kind = Kind::kLoad;
    std::vector<Offset> offsets;
    RequestHeader header;
    StoreCall store;
    SpaceOracle::ChangePtr change;
    SpaceOracle::Load load;
    Epoch first_epoch = 0;
    bool other_epochs = false;  // was sent to several
    TimePoint give_up_at{};
    uint64_t tries = 0;
  };
  using OpPtr = std::shared_ptr<Op>;

  SimFrontEnd& Any();
  // As far as is known.
  SimFrontEnd& OwnerOf(ShardId shard);
  void Open();
  void OnOpened(const OpenReply& opened);
  void AskForMap();
  void Learn(const ShardMap& map);

  std::vector<Offset> PickSlots(bool free_of_changes);
  void Begin(Kind kind, const std::vector<Offset>& offsets);
  void Send(const OpPtr& op);
  void SendMutation(const OpPtr& op, SimFrontEnd& to);
  void SendLoad(const OpPtr& op, SimFrontEnd& to);
  // Whether this is the answer that the request waits for; then it is over.
  bool Take(const OpPtr& op, Epoch epoch, const SimProcess& from, const Status& status);
  void Again(const OpPtr& op);
  void End(const OpPtr& op);
  void GiveUpAll();
  void OnChanged(const OpPtr& op, const MutationResult& result);
  void OnLoaded(const OpPtr& op, const LoadReply& reply);
  static std::string Describe(const Op& op);
  void Wrong(const std::string& what);

  const World world_;
  const Options options_;
  SimProcess process_;
  SeededRandom random_;
  SpaceOracle* oracle_ = nullptr;
  std::optional<FrontEndClient> client_;
  ShardMap map_;                     // the newest epochs
  std::vector<std::string> owners_;  // addresses, one a shard; empty: not known
  bool fenced_ = false;
  bool asking_ = false;
  bool answers_expected_ = false;
  uint64_t answered_ = 0;
  Sequence spare_ = 0;                 // for kDuplicateAppliedTwice: newer than any request's
  std::map<Sequence, OpPtr> ops_;      // under way
  std::map<Offset, size_t> changing_;  // changes under way, by slot
};

}  // namespace vswap

#pragma once

#include <bit>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/history.h"
#include "tests/sim/sim_front_end.h"
#include "tests/sim/sim_network.h"
#include "tests/support/front_end_client.h"

namespace vswap {

// A process that opens a space and then makes requests, in the way of libvswap: it asks whichever
// front-end answers for the shard map, sends a request again under its sequence until it is
// answered, believes no answer of an epoch below what it has seen, and has no two changes of a slot
// under way. What it asks for is for a class of each kind of space to say, and to tell an oracle of
// the space. Thread-confined.
class SimClient {
 public:
  struct Options {
    std::string space;
    std::string holder;
    SpaceKind kind = SpaceKind::kDevice;
    uint64_t space_pages = 0;
    std::vector<Offset> slots;  // of a device space, that it uses
    size_t batch_pages_max = 4;
    size_t under_way_max = 6;
    uint64_t loads_percent = 45;       // of its requests
    uint64_t impatient_permille = 30;  // of its requests that may be given up are, soon
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
    // An answer of that shard's epoch came from this process.
    std::function<void(ShardId, Epoch, const SimProcess&)> on_answer;
    std::function<void(const std::string&)> wrong;
  };

  SimClient(World world, Options options, uint64_t process_id, uint64_t seed);
  virtual ~SimClient() = default;

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
  // Stores to all slots of its space that were ever stored to, as far as they may be, loads or
  // frees them.
  virtual void StoreAll() = 0;
  virtual void LoadAll() = 0;
  virtual void FreeAll() = 0;
  // From now on every page must be answered.
  void ExpectAnswers() { answers_expected_ = true; }
  uint64_t answered() const { return answered_; }
  SimProcess& process() { return process_; }

 protected:
  struct Op;
  using OpPtr = std::shared_ptr<Op>;
  struct Op {
    const char* name = "";
    std::vector<Offset> offsets;
    RequestHeader header;
    bool may_give_up = true;
    // With the header as it is then.
    std::function<void(const OpPtr&, SimFrontEnd&)> send;
    std::function<void()> given_up;  // nobody waits for the answer any more
    std::function<void()> over;      // answered, or given up
    Epoch first_epoch = 0;
    bool other_epochs = false;  // was sent to several
    TimePoint give_up_at{};
    uint64_t tries = 0;
  };

  virtual void OnAttached() = 0;
  virtual bool IssueOne() = 0;

  // With a header of the slot's shard.
  OpPtr MakeOp(const char* name, std::vector<Offset> offsets, Offset of_shard);
  void Begin(const OpPtr& op);
  // Sends it there; `heard` gets the answer that it waits for, and ends it.
  template <typename Reply>
  void Ask(const OpPtr& op, SimFrontEnd& to, std::function<void(Callback<Reply>)> effect,
           std::function<void(const Reply&)> heard,
           std::function<void(Callback<Reply>)> again = nullptr) {
    world_.network.Call<Reply>(
        op->name, process_, to.process(), std::move(effect),
        [this, op, &from = to.process(), epoch = op->header.epoch,
         heard = std::move(heard)](const StatusOr<Reply>& reply) {
          const Status status = reply.ok() ? StatusOf(*reply) : reply.status();
          if (Take(op, epoch, from, status)) {
            ++answered_;
            heard(reply.ok() ? *reply : Failed<Reply>(status));
            End(op);
          }
        },
        std::move(again));
  }
  static MutationDone AnswerWith(Callback<MutationResult> answer) {
    return [answer = std::move(answer)](const MutationResult& result) { answer(result); };
  }
  // Who is told of each page of a load, and that it is over.
  struct LoadCheck {
    std::function<void(Offset, const PageBytes&)> page;
    std::function<void(Offset)> none;  // no entry; null: that is wrong
    std::function<void(Offset)> lost;
    std::function<void()> over;
  };
  void LoadPages(const std::vector<Offset>& offsets, const LoadCheck& check);
  // A store to the request's slots, some of which get zeros (0), the others a new content each; now
  // and then of all or nothing.
  StoreCall MakeStore(const Op& op, const std::function<History::Content()>& next,
                      std::vector<History::Content>* contents);
  // Until it is over.
  void MarkChanging(const OpPtr& op);
  // A sequence that no request of the client has.
  Sequence SpareSequence(Offset of_shard);
  void Wrong(const std::string& what);

  const World world_;
  const Options options_;
  SimProcess process_;
  SeededRandom random_;
  std::optional<FrontEndClient> client_;
  bool answers_expected_ = false;
  std::map<Offset, size_t> changing_;  // changes under way, by slot

 private:
  static Status StatusOf(const MutationResult& result) { return result.status; }
  static Status StatusOf(const LoadReply& reply) { return reply.status; }
  static Status StatusOf(const std::vector<BackingRun>&) { return {}; }
  template <typename Reply>
  static Reply Failed(const Status& status) {
    Reply reply{};
    if constexpr (requires { reply.status; }) {
      reply.status = status;
    }
    return reply;
  }

  SimFrontEnd& Any();
  // As far as is known.
  SimFrontEnd& OwnerOf(ShardId shard);
  void Open();
  void OnOpened(const OpenReply& opened);
  void AskForMap();
  void Learn(const ShardMap& map);

  void AskLoad(const OpPtr& op, SimFrontEnd& to, std::function<void(const LoadReply&)> heard);
  void CheckPages(const LoadCheck& check, const std::vector<Offset>& offsets,
                  const LoadReply& reply);
  // Whether a store of these may ask for all or nothing.
  static bool IsFolio(const std::vector<Extent>& extents) {
    const Extent& first = extents.front();
    return extents.size() == 1 && std::has_single_bit(first.pages) &&
           first.offset % first.pages == 0;
  }
  void Send(const OpPtr& op);
  // Whether this is the answer that the request waits for; then it is over.
  bool Take(const OpPtr& op, Epoch epoch, const SimProcess& from, const Status& status);
  void Again(const OpPtr& op);
  void End(const OpPtr& op);
  void GiveUpAll();
  static std::string Describe(const Op& op);

  ShardMap map_;                     // the newest epochs
  std::vector<std::string> owners_;  // addresses, one a shard; empty: not known
  bool fenced_ = false;
  bool asking_ = false;
  uint64_t answered_ = 0;
  std::map<Sequence, OpPtr> ops_;  // under way
};

}  // namespace vswap

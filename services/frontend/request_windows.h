#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "services/cluster/table_log.h"
#include "services/common/page.h"
#include "services/common/status.h"

namespace vswap {

// First in every batch; see vswap.v1.RequestHeader.
struct RequestHeader {
  SpaceId space = 0;
  Token token = 0;
  ShardId shard = 0;
  Epoch epoch = 0;
  Sequence sequence = 0;
  Sequence floor = 0;  // lowest sequence whose answer the client still waits for
  Lane lane = Lane::kDemand;
};

// The answer to a store (codes), free (freed_pages), allocate (offsets) or duplicate (codes).
struct MutationResult {
  Status status;
  std::vector<PageCode> codes;
  uint32_t freed_pages = 0;
  std::vector<Offset> offsets;
};
using MutationDone = std::function<void(const MutationResult&)>;

// A result as the table log keeps it: a vswap.v1.RequestResult.
std::string EncodeResult(const MutationResult& result);
// DATA_LOSS: not one.
StatusOr<MutationResult> DecodeResult(const std::string& bytes);

// A request that was admitted and runs, or ran.
struct Request {
  Sequence sequence = 0;
  std::vector<Extent> extents;  // ascending
  bool finished = false;
  bool logged = false;    // its answer is in the table log, until it is forgotten
  std::string log_bytes;  // as it is there
  MutationResult result;
  std::vector<MutationDone> waiting;
};

// What makes retries and late duplicates harmless: of each space's attachment, the requests above
// the client's floor with their answers. Below the floor, and older than another request on the
// same slot, nothing is admitted.
//
// Bounded: kSequenceSpanMax requests a space; admission looks once at the extents of the later
// ones. Externally synchronised: by the mutex of the shard.
class RequestWindows {
 public:
  // How far above the floor a client may number.
  static constexpr Sequence kSequenceSpanMax = 16384;
  // Duplicates of one request that may wait for its answer.
  static constexpr size_t kDuplicatesMax = 16;

  struct Admission {
    std::shared_ptr<Request> request;    // new: it is to run
    std::shared_ptr<Request> duplicate;  // else: of this one
    Status refusal;                      // else
  };
  Admission Admit(const RequestHeader& header, const std::vector<Extent>& extents);
  // The request did not begin after all: a retry will be new.
  void Withdraw(const RequestHeader& header);
  // A newer token: nobody waits for the old one's answers.
  void Reset(SpaceId space, Token token);

  // The answer is in the log now.
  void NoteLogged(const RequestRecord& answer);
  // An answer found in the log of an earlier owner; `current`: the space's token.
  Status Restore(const RequestRecord& record, Token current);
  // Whose answers the log holds, but for those that are forgotten.
  std::vector<RequestName> Logged() const;
  // Empty where it is forgotten.
  std::optional<RequestRecord> FindLogged(const RequestName& name) const;
  // Answers in the log that nobody waits for any more.
  bool has_forgotten() const { return !forgotten_.empty(); }
  std::vector<RequestName> TakeForgotten(size_t count_max);

 private:
  struct Window {
    Token token = 0;
    Sequence floor = 0;
    std::map<Sequence, std::shared_ptr<Request>> requests;
  };
  void Forget(SpaceId space, const Window& window, const Request& request);
  void RaiseFloor(SpaceId space, Window& window, Sequence floor);

  std::unordered_map<SpaceId, Window> windows_;
  std::vector<RequestName> forgotten_;
};

}  // namespace vswap

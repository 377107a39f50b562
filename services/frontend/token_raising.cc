#include "services/frontend/token_raising.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace vswap {
namespace {

constexpr int kRoundsMax = 100;
constexpr Duration kPause = std::chrono::milliseconds(100);

// Gathers the answers of all, and the most telling failure.
class Gather {
 public:
  Gather(size_t count, Callback<std::vector<ShardEpoch>> done)
      : missing_(count), done_(std::move(done)) {}

  void Answer(const StatusOr<std::vector<ShardEpoch>>& answer) {
    std::vector<ShardEpoch> raised;
    Status fenced;
    {
      MutexLock lock(mutex_);
      if (answer.ok()) {
        raised_.insert(raised_.end(), answer->begin(), answer->end());
      } else if (ReasonOf(answer.status()) == ErrorReason::kFenced) {
        fenced_ = answer.status();
      }
      if (--missing_ != 0) {
        return;
      }
      raised.swap(raised_);
      fenced = fenced_;
    }
    done_(fenced.ok() ? StatusOr<std::vector<ShardEpoch>>(std::move(raised)) : fenced);
  }

 private:
  Mutex mutex_;
  size_t missing_ GUARDED_BY(mutex_);
  std::vector<ShardEpoch> raised_ GUARDED_BY(mutex_);
  Status fenced_ GUARDED_BY(mutex_);
  const Callback<std::vector<ShardEpoch>> done_;
};

// Passed from callback to callback, so used by one thread at a time.
class RaisingJob : public std::enable_shared_from_this<RaisingJob> {
 public:
  RaisingJob(const ShardTable& shards, const Ownership& ownership, Peers* peers, Executor& executor,
             v1::SpaceRecord space, Callback<std::vector<Epoch>> done)
      : shards_(shards),
        ownership_(ownership),
        peers_(peers),
        executor_(executor),
        space_(std::move(space)),
        done_(std::move(done)),
        epochs_(shards.count()) {}

  void NextRound() {
    const std::vector<v1::FrontEndRecord> others =
        peers_ == nullptr ? std::vector<v1::FrontEndRecord>() : ownership_.Others();
    const auto gather = std::make_shared<Gather>(
        others.size() + 1,
        [self = shared_from_this()](const StatusOr<std::vector<ShardEpoch>>& raised) {
          self->OnRaised(raised);
        });
    RaiseOwnTokens(shards_, space_.space(), space_.token(),
                   [gather](const auto& answer) { gather->Answer(answer); });
    for (const v1::FrontEndRecord& other : others) {
      peers_->RaiseToken(other, space_, [gather](const auto& answer) { gather->Answer(answer); });
    }
  }

 private:
  void OnRaised(const StatusOr<std::vector<ShardEpoch>>& raised) {
    if (!raised.ok()) {
      return done_(raised.status());
    }
    for (const ShardEpoch& one : *raised) {
      if (one.shard < epochs_.size()) {
        epochs_[one.shard] = std::max(epochs_[one.shard], one.epoch);
      }
    }
    const auto missing = std::ranges::find(epochs_, Epoch{0});
    if (missing == epochs_.end()) {
      return done_(epochs_);
    }
    if (++rounds_ == kRoundsMax || !ownership_.among_others()) {
      return done_(MakeError(
          ErrorReason::kNotServing,
          "shard " + std::to_string(missing - epochs_.begin()) + " has no owner that answers"));
    }
    executor_.PostAfter(kPause, [self = shared_from_this()] { self->NextRound(); });
  }

  const ShardTable& shards_;
  const Ownership& ownership_;
  Peers* const peers_;
  Executor& executor_;
  const v1::SpaceRecord space_;
  const Callback<std::vector<Epoch>> done_;
  std::vector<Epoch> epochs_;  // 0: not raised yet
  int rounds_ = 0;
};

}  // namespace

void RaiseOwnTokens(const ShardTable& shards, SpaceId space, Token token,
                    Callback<std::vector<ShardEpoch>> done) {
  const std::vector<std::shared_ptr<Shard>> own = shards.All();
  const auto gather = std::make_shared<Gather>(own.size() + 1, std::move(done));
  for (const auto& shard : own) {
    shard->RaiseToken(space, token, [gather, shard](const Status& status) {
      gather->Answer(status.ok() ? StatusOr<std::vector<ShardEpoch>>(
                                       std::vector<ShardEpoch>{{shard->id(), shard->epoch()}})
                                 : status);
    });
  }
  gather->Answer(std::vector<ShardEpoch>());
}

void RaiseTokenEverywhere(const ShardTable& shards, const Ownership& ownership, Peers* peers,
                          Executor& executor, const v1::SpaceRecord& space,
                          Callback<std::vector<Epoch>> done) {
  std::make_shared<RaisingJob>(shards, ownership, peers, executor, space, std::move(done))
      ->NextRound();
}

}  // namespace vswap

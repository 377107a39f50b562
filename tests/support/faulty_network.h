#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"
#include "services/common/thread_pool.h"

namespace vswap {

// Carries calls from one caller to nodes and logs, badly: late, in any order, failing before or
// after the effect, and with effects that come after their error was answered. A new caller is one
// whose predecessor was killed: of calls under way only the effects are left. Thread-confined; time
// is the executor's.
class FaultyNetwork {
 public:
  explicit FaultyNetwork(uint64_t seed) : random_(seed) {}
  ~FaultyNetwork() {
    Disconnect();
    executor.DropTasks();
  }

  // Of a thousand calls, so many fail; and so many are late.
  void SetFaults(uint64_t failing_permille, uint64_t late_permille) {
    failing_permille_ = failing_permille;
    late_permille_ = late_permille;
  }
  // Nobody hears of the calls under way any more.
  void Disconnect() {
    for (const std::function<void()>& hang_up : std::exchange(hang_ups_, {})) {
      hang_up();
    }
  }

  template <typename T>
  void Call(std::function<void(Callback<T>)> effect, Callback<T> done) {
    const auto line = std::make_shared<Callback<T>>(std::move(done));
    Connect(line);
    const auto answer = [line](StatusOr<T> reply) {
      if (const Callback<T> heard = std::exchange(*line, nullptr)) {
        heard(std::move(reply));
      }
    };
    const auto error = [answer] {
      answer(MakeError(StatusCode::kUnavailable, "the network failed"));
    };
    const bool fails = random_.Below(1000) < failing_permille_;
    const uint64_t kind = fails ? random_.Below(3) : 3;
    if (kind == 0) {  // never arrives
      Later(error);
    } else if (kind == 1) {  // error and effect, in any order
      Later(error);
      Later([effect] { effect([](const StatusOr<T>&) {}); });
    } else {
      Later([this, effect, answer, error, lost = kind == 2] {
        effect([this, answer, error, lost](const StatusOr<T>& reply) {
          if (lost) {
            Later(error);
          } else {
            Later([answer, reply] { answer(reply); });
          }
        });
      });
    }
  }

  ManualExecutor executor;

 private:
  template <typename T>
  void Connect(const std::shared_ptr<Callback<T>>& line) {
    hang_ups_.push_back([weak = std::weak_ptr(line)] {
      if (const auto still = weak.lock()) {
        std::exchange(*still, nullptr);
      }
    });
    if (hang_ups_.size() > 100000) {
      hang_ups_.erase(hang_ups_.begin(), hang_ups_.begin() + 50000);  // long over
    }
  }
  void Later(std::function<void()> task) {
    if (random_.Below(1000) < late_permille_) {
      executor.PostAfter(std::chrono::microseconds(random_.Below(20000)), std::move(task));
    } else {
      executor.Post(std::move(task));
    }
  }

  SeededRandom random_;
  uint64_t failing_permille_ = 0;
  uint64_t late_permille_ = 0;
  std::vector<std::function<void()>> hang_ups_;
};

// A node at the other end of it.
class FarNode : public Node {
 public:
  FarNode(FaultyNetwork& network, Node& node) : network_(network), node_(node) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    // The bytes are borrowed until the answer, and the effect may come later.
    auto bytes = std::make_shared<std::vector<std::vector<std::byte>>>();
    for (PutPage& page : pages) {
      bytes->emplace_back(page.bytes.begin(), page.bytes.end());
      page.bytes = bytes->back();
    }
    network_.Call<PutReply>(
        [this, pages = std::move(pages), bytes, lane](Callback<PutReply> answer) {
          node_.Put(pages, lane, std::move(answer));
        },
        std::move(done));
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    network_.Call<GetReply>(
        [this, names = std::move(names), lane](Callback<GetReply> answer) {
          node_.Get(names, lane, std::move(answer));
        },
        std::move(done));
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    network_.Call<Incarnation>(
        [this, names = std::move(names)](Callback<Incarnation> answer) {
          node_.Delete(names, std::move(answer));
        },
        std::move(done));
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    network_.Call<InventoryReply>(
        [this, cursor = std::move(cursor), limit](Callback<InventoryReply> answer) {
          node_.Inventory(cursor, limit, std::move(answer));
        },
        std::move(done));
  }
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override {
    network_.Call<VerifyReply>(
        [this, names = std::move(names)](Callback<VerifyReply> answer) {
          node_.Verify(names, std::move(answer));
        },
        std::move(done));
  }
  void Statistics(Callback<NodeStatistics> done) override { node_.Statistics(std::move(done)); }

 private:
  FaultyNetwork& network_;
  Node& node_;
};

// A table log at the other end of it.
class FarTableLog : public TableLog {
 public:
  FarTableLog(FaultyNetwork& network, TableLog& log) : network_(network), log_(log) {}

  void Write(LogWrite write, Callback<bool> done) override {
    network_.Call<bool>([this, write = std::move(write)](
                            Callback<bool> answer) { log_.Write(write, std::move(answer)); },
                        std::move(done));
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    network_.Call<LogEnd>(
        [this, shard, epoch](Callback<LogEnd> answer) {
          log_.Seal(shard, epoch, std::move(answer));
        },
        std::move(done));
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    network_.Call<LogReadReply>(
        [this, shard, cursor = std::move(cursor), limit](Callback<LogReadReply> answer) {
          log_.Read(shard, cursor, limit, std::move(answer));
        },
        std::move(done));
  }

 private:
  FaultyNetwork& network_;
  TableLog& log_;
};

}  // namespace vswap

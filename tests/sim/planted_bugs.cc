#include "tests/sim/planted_bugs.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <optional>

#include "services/frontend/backing.h"
#include "tests/support/pages.h"

namespace vswap {
namespace {

// --- At servers.

class PassingNode : public Node {
 public:
  explicit PassingNode(Node& node) : node_(node) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    node_.Put(std::move(pages), lane, std::move(done));
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    node_.Get(std::move(names), lane, std::move(done));
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    node_.Delete(std::move(names), std::move(done));
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    node_.Inventory(std::move(cursor), limit, std::move(done));
  }
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override {
    node_.Verify(std::move(names), std::move(done));
  }
  void Statistics(Callback<NodeStatistics> done) override { node_.Statistics(std::move(done)); }

 protected:
  Node& node_;
};

class PassingLog : public TableLog {
 public:
  // `log` may change.
  explicit PassingLog(std::function<TableLog&()> log) : log_(std::move(log)) {}

  void Write(LogWrite write, Callback<bool> done) override {
    log_().Write(std::move(write), std::move(done));
  }
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override {
    log_().Seal(shard, epoch, std::move(done));
  }
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override {
    log_().Read(shard, std::move(cursor), limit, std::move(done));
  }

 private:
  const std::function<TableLog&()> log_;
};

std::function<TableLog&()> LogOf(SimServer& server) {
  return [&server]() -> TableLog& { return *server.log; };
}
std::function<TableLog&()> Always(TableLog& log) {
  return [&log]() -> TableLog& { return log; };
}

bool SameSlot(const PageName& a, const PageName& b) {
  return a.space == b.space && a.offset == b.offset;
}

// Deletes the older records of a slot, on every server, when a newer one is put.
class EagerNode : public PassingNode {
 public:
  EagerNode(SimServer& server, std::vector<SimServer*> servers)
      : PassingNode(server.memory), servers_(std::move(servers)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    for (const PutPage& page : pages) {
      for (SimServer* server : servers_) {
        for (const PageName& name : server->memory.Names()) {
          if (SameSlot(name, page.name) && name.version < page.name.version) {
            server->memory.Drop(name);
          }
        }
      }
    }
    PassingNode::Put(std::move(pages), lane, std::move(done));
  }

 private:
  const std::vector<SimServer*> servers_;
};

// Which records are copies of moves, and which names were ever published.
struct Moves {
  std::vector<SimServer*> servers;
  std::set<PageName> copies;
  std::set<PageName> published;
};

class PublicationWatch : public PassingLog {
 public:
  PublicationWatch(SimServer& server, std::shared_ptr<Moves> moves)
      : PassingLog(LogOf(server)), moves_(std::move(moves)) {}

  void Write(LogWrite write, Callback<bool> done) override {
    for (const SlotRecord& slot : write.slots) {
      moves_->published.insert({slot.space, slot.offset, Word(slot.word).version()});
    }
    PassingLog::Write(std::move(write), std::move(done));
  }

 private:
  const std::shared_ptr<Moves> moves_;
};

// A move's copy is deleted without having been published: its slot had changed. Here the slot gets
// the copy's page all the same.
class BlindNode : public PassingNode {
 public:
  BlindNode(SimServer& server, std::shared_ptr<Moves> moves)
      : PassingNode(server.memory), server_(server), moves_(std::move(moves)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    for (const PutPage& page : pages) {
      if (page.as_is) {
        moves_->copies.insert(page.name);
      }
    }
    PassingNode::Put(std::move(pages), lane, std::move(done));
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    for (const PageName& name : names) {
      if (moves_->copies.erase(name) > 0 && !moves_->published.contains(name)) {
        Publish(name);
      }
    }
    PassingNode::Delete(std::move(names), std::move(done));
  }

 private:
  void Publish(const PageName& copy) {
    std::vector<std::byte> plain;
    server_.memory.Get({copy}, Lane::kBackground, [&](const StatusOr<GetReply>& got) {
      if (got.ok() && got->pages[0].code == PageCode::kOk) {
        plain = PlainBytes(*got, 0);
      }
    });
    for (SimServer* server : moves_->servers) {
      for (const PageName& name : server->memory.Names()) {
        if (!plain.empty() && SameSlot(name, copy) && name.version != copy.version &&
            moves_->published.contains(name)) {
          server->memory.PlantWrongPage(name, PageView(plain.data(), kPageBytes));
        }
      }
    }
  }

  SimServer& server_;
  const std::shared_ptr<Moves> moves_;
};

// Of each shard two replicas, of which one gets the writes later. A write is answered when the
// other has it; a takeover reads either.
class TwoReplicas : public TableLog {
 public:
  TwoReplicas(Incarnation incarnation, uint64_t seed) : incarnation_(incarnation), random_(seed) {}

  void Write(LogWrite write, Callback<bool> done) override {
    Shard& shard = shards_[write.shard];
    shard.ahead->Write(write, [&shard, write, done](const StatusOr<bool>& answer) {
      if (answer.ok() && shard.behind) {
        shard.not_there.push_back(write);
        if (shard.not_there.size() > kBehindMax) {
          Replay(shard);
        }
      }
      done(answer);
    });
  }
  void Seal(ShardId id, Epoch epoch, Callback<LogEnd> done) override {
    Shard& shard = shards_[id];
    if (shard.behind && epoch > shard.epoch) {
      shard.epoch = epoch;
      if (random_.Below(2) == 0) {
        Replay(shard);
      } else {
        shard.ahead = std::move(shard.behind);
      }
    }
    shard.ahead->Seal(id, epoch, [this, done = std::move(done)](StatusOr<LogEnd> end) {
      if (end.ok()) {
        end->incarnation = incarnation_;
      }
      done(std::move(end));
    });
  }
  void Read(ShardId id, std::string cursor, uint32_t limit, Callback<LogReadReply> done) override {
    shards_[id].ahead->Read(id, std::move(cursor), limit, std::move(done));
  }

 private:
  static constexpr size_t kBehindMax = 4;
  struct Shard {
    std::unique_ptr<MemoryTableLog> ahead = std::make_unique<MemoryTableLog>();
    std::unique_ptr<MemoryTableLog> behind = std::make_unique<MemoryTableLog>();
    std::deque<LogWrite> not_there;  // not at the one that is behind
    Epoch epoch = 0;
  };
  static void Replay(Shard& shard) {
    for (const LogWrite& write : std::exchange(shard.not_there, {})) {
      shard.behind->Write(write, [](const StatusOr<bool>&) {});
    }
  }

  const Incarnation incarnation_;
  SeededRandom random_;
  std::map<ShardId, Shard> shards_;
};

// Takes every write for one of the newest owner's.
class OpenLog : public PassingLog {
 public:
  explicit OpenLog(SimServer& server) : PassingLog(LogOf(server)) {}

  void Write(LogWrite write, Callback<bool> done) override {
    Shard& shard = shards_[write.shard];
    const auto [known, fresh] =
        shard.numbers.try_emplace({write.epoch, write.sequence}, shard.numbers.size() + 1);
    write.epoch = shard.epoch;
    write.sequence = known->second;
    if (write.versions_reserved != 0) {
      shard.versions = std::max(shard.versions, write.versions_reserved);
      write.versions_reserved = shard.versions;
    }
    PassingLog::Write(std::move(write), std::move(done));
  }
  void Seal(ShardId id, Epoch epoch, Callback<LogEnd> done) override {
    shards_[id].epoch = std::max(shards_[id].epoch, epoch);
    PassingLog::Seal(id, epoch, std::move(done));
  }

 private:
  struct Shard {
    Epoch epoch = 0;
    Version versions = 0;
    std::map<std::pair<Epoch, Sequence>, Sequence> numbers;
  };
  std::map<ShardId, Shard> shards_;
};

// --- At the owner.

// Answers at once, and writes later; what was not written yet ends with the process.
class HastyLog : public PassingLog {
 public:
  HastyLog(TableLog& log, Executor& executor) : PassingLog(Always(log)), executor_(executor) {}

  void Write(LogWrite write, Callback<bool> done) override {
    Queue& queue = queues_[write.shard];
    executor_.Post([done = std::move(done), answer = queue.answer] { done(answer); });
    queue.writes.push_back(std::move(write));
    if (queue.writes.size() == 1) {
      WriteFirst(queue);
    }
  }

 private:
  struct Queue {
    std::deque<LogWrite> writes;
    StatusOr<bool> answer = true;  // until another owner is there
  };
  void WriteFirst(Queue& queue) {
    PassingLog::Write(queue.writes.front(), [this, &queue](const StatusOr<bool>& answer) {
      if (ReasonOf(answer.status()) == ErrorReason::kStaleEpoch) {
        queue.answer = answer;
        return;
      }
      if (answer.ok()) {
        queue.writes.pop_front();
      }
      if (!queue.writes.empty()) {
        executor_.PostAfter(std::chrono::milliseconds(2), [this, &queue] { WriteFirst(queue); });
      }
    });
  }

  Executor& executor_;
  std::map<ShardId, Queue> queues_;
};

// What an owner knows of its calls to nodes.
struct OwnersCalls {
  std::vector<Node*> nodes;
  std::map<PageName, std::map<Node*, int>> puts;         // how often each node was told to keep it
  std::map<PageName, std::map<Node*, PutOutcome>> kept;  // and has answered that it does
  std::set<std::pair<PageName, Node*>> listed;           // in its inventory
};

void DeleteAt(Node& node, const PageName& name) {
  node.Delete({name}, [](const StatusOr<Incarnation>&) {});
}

// A page was put to a node twice: to a set that did not keep it, and to another one. What is
// deleted then where the first one only has it, is deleted here too.
class LeftoverNode : public PassingNode {
 public:
  LeftoverNode(Node& node, std::shared_ptr<OwnersCalls> calls)
      : PassingNode(node), calls_(std::move(calls)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    for (const PutPage& page : pages) {
      ++calls_->puts[page.name][&node_];
    }
    PassingNode::Put(std::move(pages), lane, std::move(done));
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    for (const PageName& name : names) {
      for (Node* node : calls_->nodes) {
        const auto puts = calls_->puts.find(name);
        if (puts != calls_->puts.end() && puts->second[node] > 1) {
          DeleteAt(*node, name);
        }
      }
    }
    PassingNode::Delete(std::move(names), std::move(done));
  }

 private:
  const std::shared_ptr<OwnersCalls> calls_;
};

// Deletes what was found in an inventory everywhere, unless this owner has put it.
class ByNameNode : public PassingNode {
 public:
  ByNameNode(Node& node, std::shared_ptr<OwnersCalls> calls)
      : PassingNode(node), calls_(std::move(calls)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    for (const PutPage& page : pages) {
      calls_->puts[page.name];
    }
    PassingNode::Put(std::move(pages), lane, std::move(done));
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    PassingNode::Inventory(std::move(cursor), limit,
                           [this, done = std::move(done)](StatusOr<InventoryReply> reply) {
                             for (size_t i = 0; reply.ok() && i < reply->names.size(); ++i) {
                               calls_->listed.insert({reply->names[i], &node_});
                             }
                             done(std::move(reply));
                           });
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    for (const PageName& name : names) {
      for (Node* node : calls_->nodes) {
        if (calls_->listed.contains({name, &node_}) && !calls_->puts.contains(name)) {
          DeleteAt(*node, name);
        }
      }
    }
    PassingNode::Delete(std::move(names), std::move(done));
  }

 private:
  const std::shared_ptr<OwnersCalls> calls_;
};

// Says that it has kept what another node has, of a set of two that a page was put to.
class SatisfiedNode : public PassingNode {
 public:
  SatisfiedNode(Node& node, std::shared_ptr<OwnersCalls> calls,
                std::function<Incarnation()> registered, Executor& executor)
      : PassingNode(node),
        calls_(std::move(calls)),
        registered_(std::move(registered)),
        executor_(executor) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    std::vector<PageName> names;
    for (const PutPage& page : pages) {
      ++calls_->puts[page.name][&node_];
      names.push_back(page.name);
    }
    PassingNode::Put(std::move(pages), lane,
                     [this, names, done = std::move(done)](const StatusOr<PutReply>& reply) {
                       if (reply.ok()) {
                         return done(Note(names, *reply));
                       }
                       // The other node may not have answered yet.
                       executor_.PostAfter(
                           kPatience, [this, names, done, reply] { done(Pretend(names, reply)); });
                     });
  }

 private:
  static constexpr Duration kPatience = std::chrono::milliseconds(10);

  PutReply Note(const std::vector<PageName>& names, PutReply reply) {
    for (size_t i = 0; i < names.size() && i < reply.pages.size(); ++i) {
      if (reply.pages[i].code == PageCode::kOk) {
        calls_->kept[names[i]][&node_] = reply.pages[i];
      }
    }
    return reply;
  }
  StatusOr<PutReply> Pretend(const std::vector<PageName>& names, StatusOr<PutReply> failed) {
    PutReply reply{registered_(), {}};
    for (const PageName& name : names) {
      const auto& kept = calls_->kept[name];
      if (kept.size() != 1 || calls_->puts[name].size() != 2) {
        return failed;
      }
      reply.pages.push_back(kept.begin()->second);
    }
    return reply;
  }

  const std::shared_ptr<OwnersCalls> calls_;
  const std::function<Incarnation()> registered_;
  Executor& executor_;
};

// Whoever answers is the one that is registered.
class BelievedNode : public PassingNode {
 public:
  BelievedNode(Node& node, std::function<Incarnation()> registered)
      : PassingNode(node), registered_(std::move(registered)) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    PassingNode::Put(std::move(pages), lane, Believe(std::move(done)));
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    PassingNode::Get(std::move(names), lane, Believe(std::move(done)));
  }

 private:
  template <typename Reply>
  Callback<Reply> Believe(Callback<Reply> done) {
    return [this, done = std::move(done)](StatusOr<Reply> reply) {
      if (reply.ok()) {
        reply->incarnation = registered_();
      }
      done(std::move(reply));
    };
  }

  const std::function<Incarnation()> registered_;
};

// Answers writes without content before it sends them, and does not look at what becomes of them.
class ProoflessLog : public PassingLog {
 public:
  ProoflessLog(TableLog& log, Executor& executor) : PassingLog(Always(log)), executor_(executor) {}

  void Write(LogWrite write, Callback<bool> done) override {
    const bool empty = write.slots.empty() && write.purges.empty() && write.tokens.empty() &&
                       write.requests.empty() && write.forgotten.empty() &&
                       write.versions_reserved == 0 && !write.begins;
    if (!empty) {
      return PassingLog::Write(std::move(write), std::move(done));
    }
    executor_.Post([done = std::move(done)] { done(true); });
    Send(write);
  }

 private:
  // The next ones wait for it.
  void Send(const LogWrite& write) {
    PassingLog::Write(write, [this, write](const StatusOr<bool>& answer) {
      if (!answer.ok() && ReasonOf(answer.status()) != ErrorReason::kStaleEpoch) {
        executor_.PostAfter(std::chrono::milliseconds(2), [this, write] { Send(write); });
      }
    });
  }

  Executor& executor_;
};

// Leaves the answers out.
class ForgetfulLog : public PassingLog {
 public:
  explicit ForgetfulLog(TableLog& log) : PassingLog(Always(log)) {}

  void Write(LogWrite write, Callback<bool> done) override {
    write.requests.clear();
    PassingLog::Write(std::move(write), std::move(done));
  }
};

}  // namespace

void PlantAtServers(PlantedBug bug, const std::vector<SimServer*>& servers, uint64_t seed) {
  const auto moves = std::make_shared<Moves>();
  moves->servers = servers;
  for (SimServer* server : servers) {
    switch (bug) {
      case PlantedBug::kPublishWithoutComparing:
        server->planted_node = std::make_unique<BlindNode>(*server, moves);
        server->planted_log = std::make_unique<PublicationWatch>(*server, moves);
        break;
      case PlantedBug::kTakeoverWithoutMerging:
        server->planted_log =
            std::make_unique<TwoReplicas>(server->info.incarnation, seed + server->info.id);
        break;
      case PlantedBug::kReleaseBeforePublication:
        server->planted_node = std::make_unique<EagerNode>(*server, servers);
        break;
      case PlantedBug::kNoFence:
        server->planted_log = std::make_unique<OpenLog>(*server);
        break;
      default:
        break;
    }
  }
}

std::vector<std::unique_ptr<Node>> PlantAtNodes(
    PlantedBug bug, const std::vector<Node*>& nodes,
    const std::function<Incarnation(NodeId)>& registered, Executor& executor) {
  const auto calls = std::make_shared<OwnersCalls>();
  calls->nodes = nodes;
  std::vector<std::unique_ptr<Node>> planted;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto registered_here = [registered, id = static_cast<NodeId>(i + 1)] {
      return registered(id);
    };
    switch (bug) {
      case PlantedBug::kLeftoverDeletedEverywhere:
        planted.push_back(std::make_unique<LeftoverNode>(*nodes[i], calls));
        break;
      case PlantedBug::kOrphansByNameOnly:
        planted.push_back(std::make_unique<ByNameNode>(*nodes[i], calls));
        break;
      case PlantedBug::kOneCopyAcknowledged:
        planted.push_back(
            std::make_unique<SatisfiedNode>(*nodes[i], calls, registered_here, executor));
        break;
      case PlantedBug::kUnknownIncarnationBelieved:
        planted.push_back(std::make_unique<BelievedNode>(*nodes[i], registered_here));
        break;
      default:
        break;
    }
  }
  return planted;
}

std::unique_ptr<TableLog> PlantAtOwner(PlantedBug bug, TableLog& log, Executor& executor) {
  switch (bug) {
    case PlantedBug::kAcknowledgeBeforeLog:
      return std::make_unique<HastyLog>(log, executor);
    case PlantedBug::kNoProof:
      return std::make_unique<ProoflessLog>(log, executor);
    case PlantedBug::kAnswersNotLogged:
      return std::make_unique<ForgetfulLog>(log);
    default:
      return nullptr;
  }
}

}  // namespace vswap

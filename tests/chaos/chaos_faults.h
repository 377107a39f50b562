#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/chaos/chaos_cluster.h"
#include "tests/chaos/known_pages.h"

namespace vswap {

enum class Fault {
  kKill,
  kStop,
  kCut,
  kDestroy,
  kDamage,      // killed, and what it left is damaged
  kFillDisk,    // of a store
  kFillMemory,  // of all compressors
};

const char* NameOf(Fault fault);

// How long a process is away.
enum class Away {
  kShort,  // up to about the lease; one that was killed, up to a start's time
  kLong,  // beyond every time-out: the lease (3 s), a call to a node or to etcd (5 s), until a node
          // is dead (6 looks of 1 s), until shards are taken after etcd was away (6 s), and of a
          // client's silent stream (10 s); all goes on meanwhile
  kMended,  // until all has its copies and its owner without it; all goes on meanwhile
};

// One fault and its end.
struct Round {
  Fault fault;
  const char* role;
  Away away;
};

// Faults of the processes of a cluster under load.
class Chaos : public ChaosCluster {
 protected:
  Chaos() : Chaos("--compressors 2 --stores 3 --memory-max 8MiB") {}
  explicit Chaos(const std::string& flags) : Chaos(flags, DisksAllowed()) {}

  // Longer than every time-out: see Away.
  static constexpr auto kLongMax = std::chrono::milliseconds(14000);

  // A process of the role.
  std::string AnyOf(const std::string& role);
  // Of a process: kKill to kDestroy.
  void Begin(Fault fault, const std::string& process);
  void End(Fault fault, const std::string& process);
  // A fault of one process of the role and its end; all spaces have gone on at last, everything has
  // its copies, and no caller has heard of it.
  void Run(const Round& round);
  // A round of the role whose process is killed, stopped, cut off or destroyed.
  Round OneOf(const std::string& role);
  // The rounds, in an order of the seed's.
  std::vector<Round> Shuffled();
  // Those of the suite: a few of each kind, which the seed chooses.
  std::vector<Round> Chosen();
  std::chrono::milliseconds Below(std::chrono::milliseconds max) {
    return std::chrono::milliseconds(random_.Below(static_cast<uint64_t>(max.count())));
  }
  // Stores pages whose bytes on disk are known, and which are loaded at the end of each round that
  // damages something.
  void StoreKnown();
  static void Print(const char* what, const Reactions& reactions);

  Reactions needless_;  // false suspicions, as what came of them

 private:
  Chaos(const std::string& flags, bool disks)
      : ChaosCluster(flags + (disks ? " --store-disk 256MiB" : "")), disks_(disks) {}
  // Whether file systems may be mounted here.
  static bool DisksAllowed();
  void RunAway(const Round& round, const std::string& process);
  void RunDamagedCompressor(const std::string& process);
  // Of what a store kept.
  enum class Part { kPages, kTableLog, kWrites, kLastWrites };
  // Kills it, and says in how many places it has damaged what it left.
  int Damage(const std::string& process, Part part);
  void RunDamagedStore(const std::string& process);
  void RunFullDisk(const std::string& process);
  // One space takes all the room for a while.
  void RunFullMemory();
  // What the cluster's status tells of it.
  nlohmann::json Node(const std::string& process);
  void ExpectKnownPages();
  // What there was no reason for: the process that was away is of this role.
  void NoteNeedless(const std::string& role, const Reactions& reactions);

  const bool disks_;  // whether each store has its own, so that it may be filled
  std::unique_ptr<KnownPages> known_;
};

}  // namespace vswap

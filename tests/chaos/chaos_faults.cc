#include "tests/chaos/chaos_faults.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "tests/chaos/ballast.h"
#include "tests/chaos/damage.h"

namespace vswap {
namespace {

using std::chrono::milliseconds;
using enum Fault;
using enum Away;

constexpr const char* kNames[] = {"kill -9", "stop",          "cut off",        "destroy",
                                  "damage",  "fill the disk", "fill the memory"};

// Two compressors are left with one: without the other one nothing has its copies.
constexpr Round kRounds[] = {
    {kKill, "frontend", kShort},
    {kKill, "compressor", kShort},
    {kKill, "store", kShort},
    {kKill, "etcd", kShort},
    {kStop, "frontend", kShort},
    {kStop, "compressor", kShort},
    {kStop, "store", kShort},
    {kStop, "etcd", kShort},
    {kDestroy, "compressor", kShort},
    {kDestroy, "store", kShort},
    {kCut, "frontend", kShort},
    {kCut, "compressor", kShort},
    {kCut, "store", kShort},
    {kCut, "etcd", kShort},
    {kStop, "frontend", kLong},
    {kStop, "compressor", kLong},
    {kStop, "store", kLong},
    {kStop, "etcd", kLong},
    {kCut, "frontend", kLong},
    {kCut, "compressor", kLong},
    {kCut, "store", kLong},
    {kCut, "etcd", kLong},
    {kDestroy, "compressor", kLong},
    {kKill, "frontend", kMended},
    {kStop, "frontend", kMended},
    {kKill, "store", kMended},
    {kStop, "store", kMended},
    {kCut, "store", kMended},
    {kDestroy, "store", kMended},
    {kDamage, "compressor", kShort},
    {kDamage, "store", kShort},
    {kFillDisk, "store", kLong},
    {kFillMemory, "compressor", kShort},
};

bool IsHarm(const Round& round) {
  return round.fault == kDamage || round.fault == kFillDisk || round.fault == kFillMemory;
}

// What a run in the suite has so many rounds of.
enum class Share { kShort, kLong, kMended, kHarm };
constexpr std::pair<Share, int> kSuiteShares[] = {
    {Share::kShort, 2}, {Share::kLong, 1}, {Share::kMended, 1}, {Share::kHarm, 1}};

Share ShareOf(const Round& round) {
  return IsHarm(round)          ? Share::kHarm
         : round.away == kShort ? Share::kShort
         : round.away == kLong  ? Share::kLong
                                : Share::kMended;
}

// Pages that do not shrink, and as many that do.
constexpr uint32_t kKnownPages = 500;
constexpr uint32_t kKnownTogether = 10;  // on one set: few, so that all sets have some
constexpr Offset kBurstPages = 8192;     // about twice as many as the compressors can keep twice
constexpr uint32_t kBurstTogether = 256;

constexpr auto kKilledMax = milliseconds(1500);
constexpr auto kLongMin = milliseconds(11000);

}  // namespace

const char* NameOf(Fault fault) { return kNames[static_cast<int>(fault)]; }

// In a namespace of its own, which goes with the command.
bool Chaos::DisksAllowed() {
  return std::system("unshare --mount mount -t tmpfs vswap /mnt > /dev/null 2>&1") == 0;
}

std::string Chaos::AnyOf(const std::string& role) {
  const uint64_t processes = role == "store" ? 3 : role == "etcd" ? 1 : 2;
  return role + "/" + std::to_string(1 + random_.Below(processes));
}

void Chaos::Begin(Fault fault, const std::string& process) {
  switch (fault) {
    case kKill:
      return cluster_.Kill(process);
    case kStop:
      return cluster_.Stop(process);
    case kCut:
      return networks_ ? cluster_.Cut(process) : cluster_.Stop(process);
    case kDestroy:
      return cluster_.Destroy(process);
    default:
      FAIL() << "no fault of a process";
  }
}

void Chaos::End(Fault fault, const std::string& process) {
  switch (fault) {
    case kStop:
      return cluster_.Continue(process);
    case kCut:
      return networks_ ? cluster_.Join(process) : cluster_.Continue(process);
    default:
      return cluster_.Restart(process);
  }
}

void Chaos::Run(const Round& round) {
  const std::string role = round.role;
  const std::string process = AnyOf(role);
  const Reactions before = reactions_.ReadAll();
  std::printf("%s %s", NameOf(round.fault),
              round.fault == kFillMemory ? "of all compressors" : process.c_str());
  switch (round.fault) {
    case kDamage:
      role == "store" ? RunDamagedStore(process) : RunDamagedCompressor(process);
      break;
    case kFillDisk:
      RunFullDisk(process);
      break;
    case kFillMemory:
      RunFullMemory();
      break;
    default:
      RunAway(round, process);
  }
  ExpectProgress();
  ExpectFrontEndsAlive();
  EXPECT_EQ(Sum().unknown, 0u) << "calls that failed";
  EXPECT_EQ(Sum().refused_pages, 0u);
  AwaitRedundancy();
  NoteNeedless(role, reactions_.Read() - before);
}

void Chaos::RunAway(const Round& round, const std::string& process) {
  if (round.away == kMended) {
    std::printf(" until all is mended\n");
    Begin(round.fault, process);
    ExpectProgress();
    AwaitRedundancy();
    ExpectProgress();
  } else {
    const milliseconds away = round.away == kLong
                                  ? kLongMin + Below(kLongMax - kLongMin)
                                  : Below(round.fault == kKill ? kKilledMax : kAwayMax);
    std::printf(" for %lld ms\n", static_cast<long long>(away.count()));
    Begin(round.fault, process);
    std::this_thread::sleep_for(away);
    if (round.away == kLong) {
      ExpectProgress();
    }
  }
  End(round.fault, process);
}

void Chaos::RunDamagedCompressor(const std::string& process) {
  cluster_.Kill(process);
  std::printf(": %d records\n", DamageArena(cluster_.Arena(process), random_));
  cluster_.Restart(process);
  ExpectProgress();
  AwaitRedundancy();
  ExpectKnownPages();
}

int Chaos::Damage(const std::string& process, Part part) {
  cluster_.Kill(process);
  const std::string data_dir = cluster_.DataDir(process);
  switch (part) {
    case Part::kPages:
      return DamageStore(data_dir, *known_, {0, kKnownPages});
    case Part::kTableLog:
      return DamageTableLog(data_dir, random_);
    case Part::kWrites:
      return DamageWrites(data_dir, random_);
    case Part::kLastWrites:
      return CutWrites(data_dir, random_);
  }
  return 0;
}

void Chaos::RunDamagedStore(const std::string& process) {
  const auto part = static_cast<Part>(random_.Below(4));
  constexpr const char* kParts[] = {"pages", "its table log", "its log of writes",
                                    "the end of its log of writes"};
  std::printf(": %s\n", kParts[static_cast<size_t>(part)]);
  int damaged = Damage(process, part);
  if (damaged == 0) {
    // A start brings what is in the log of writes into other files.
    cluster_.Restart(process);
    ExpectProgress();
    AwaitRedundancy();
    damaged = Damage(process, part);
  }
  EXPECT_GT(damaged, 0);
  std::printf("  in %d places\n", damaged);
  cluster_.Restart(process);
  EXPECT_TRUE(PollUntil([&] { return !cluster_.Alive(process) || cluster_.Answers(process); }));
  const bool started = cluster_.Alive(process);
  std::printf("  it %s\n", started ? "has started" : "does not start");
  EXPECT_TRUE(started || part == Part::kTableLog || part == Part::kWrites);
  ExpectProgress();
  if (started) {
    AwaitRedundancy();
  }
  ExpectKnownPages();
  if (!started || part == Part::kTableLog) {
    // What it has is of no use, and it may have stopped writing: an empty one takes its place.
    cluster_.Destroy(process);
    cluster_.Restart(process);
  }
}

void Chaos::RunFullDisk(const std::string& process) {
  if (!disks_) {
    std::printf(": no disk may be mounted here\n");
    return;
  }
  const milliseconds full = kLongMin + Below(kLongMax - kLongMin);
  std::printf(" for %lld ms\n", static_cast<long long>(full.count()));
  const uint64_t errors = Node(process)["background_errors"];
  KnownPages filler(cluster_.frontends(), "filler");
  Offset next = 0;
  const auto store_some = [&] {
    EXPECT_EQ(filler.Store({next, kBurstTogether}, KnownPages::Kind::kNoise), kBurstTogether);
    next += kBurstTogether;
  };
  {
    const Ballast ballast(cluster_.Disk(process));
    // The log of writes has taken some room beforehand.
    EXPECT_TRUE(PollUntil([&] {
      store_some();
      return Node(process)["background_errors"] > errors;
    }));
    std::this_thread::sleep_for(full);
    ExpectProgress();
  }
  // It takes pages again, without a new start.
  const uint64_t held = Node(process)["pages"];
  EXPECT_TRUE(PollUntil([&] {
    store_some();
    return Node(process)["pages"] > held + kBurstTogether;
  }));
  auto found = filler.LoadAll();
  EXPECT_EQ(found[KnownPages::Kind::kNoise].right, next);
  filler.FreeAll();
}

void Chaos::RunFullMemory() {
  KnownPages filler(cluster_.frontends(), "filler");
  std::printf(" with %llu pages\n", static_cast<unsigned long long>(kBurstPages));
  for (Offset next = 0; next < kBurstPages; next += kBurstTogether) {
    EXPECT_EQ(filler.Store({next, kBurstTogether}, KnownPages::Kind::kText), kBurstTogether);
  }
  ExpectProgress();
  EXPECT_EQ(filler.LoadAll()[KnownPages::Kind::kText].right, kBurstPages);
  ExpectKnownPages();
  filler.FreeAll();
}

nlohmann::json Chaos::Node(const std::string& process) {
  std::string name = process;
  std::ranges::replace(name, '/', '-');
  const auto status = nlohmann::json::parse(cluster_.Control("status --output json"));
  for (const auto& node : status["nodes"]) {
    if (node["name"] == name) {
      return node;
    }
  }
  return {};
}

void Chaos::StoreKnown() {
  known_ = std::make_unique<KnownPages>(cluster_.frontends(), "known");
  for (Offset next = 0; next < kKnownPages; next += kKnownTogether) {
    EXPECT_EQ(known_->Store({next, kKnownTogether}, KnownPages::Kind::kNoise), kKnownTogether);
    EXPECT_EQ(known_->Store({kKnownPages + next, kKnownTogether}, KnownPages::Kind::kText),
              kKnownTogether);
  }
}

void Chaos::ExpectKnownPages() {
  auto found = known_->LoadAll();
  EXPECT_EQ(found[KnownPages::Kind::kNoise].right, kKnownPages);
  EXPECT_EQ(found[KnownPages::Kind::kText].right, kKnownPages);
}

void Chaos::NoteNeedless(const std::string& role, const Reactions& reactions) {
  if (role != "frontend") {
    needless_.shards_lost += reactions.shards_lost;
  }
  if (role != "store") {
    needless_.log_replicas_removed += reactions.log_replicas_removed;
  }
  if (role != "store" && role != "compressor") {
    needless_.pages_rebuilt += reactions.pages_rebuilt;
    needless_.pages_degraded += reactions.pages_degraded;
  }
}

void Chaos::Print(const char* what, const Reactions& reactions) {
  std::printf(
      "%s: %llu shards taken from a front-end that lives, %llu log replicas removed, %llu pages "
      "rebuilt, %llu stored with fewer copies\n",
      what, static_cast<unsigned long long>(reactions.shards_lost),
      static_cast<unsigned long long>(reactions.log_replicas_removed),
      static_cast<unsigned long long>(reactions.pages_rebuilt),
      static_cast<unsigned long long>(reactions.pages_degraded));
}

Round Chaos::OneOf(const std::string& role) {
  const std::vector<Round> rounds = Shuffled();
  return *std::ranges::find_if(
      rounds, [&](const Round& round) { return round.role == role && !IsHarm(round); });
}

std::vector<Round> Chaos::Shuffled() {
  std::vector<Round> rounds(std::begin(kRounds), std::end(kRounds));
  for (size_t i = rounds.size(); i > 1; --i) {
    std::swap(rounds[i - 1], rounds[random_.Below(i)]);
  }
  return rounds;
}

std::vector<Round> Chaos::Chosen() {
  std::vector<Round> chosen;
  std::map<Share, int> left(std::begin(kSuiteShares), std::end(kSuiteShares));
  for (const Round& round : Shuffled()) {
    if (left[ShareOf(round)]-- > 0) {
      chosen.push_back(round);
    }
  }
  return chosen;
}

}  // namespace vswap

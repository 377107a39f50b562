// A process to be refused, or killed, by the tests of the store.
//   store_helper open DIR [UID]     opens the store as that user; prints the status; exits 0 where
//   OK store_helper write DIR BOOT     writes until killed; prints a line for each round answered
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "services/store/rocksdb_table_log.h"
#include "tests/unit/store/store_crash.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

int Open(const std::string& directory, uid_t uid) {
  if (uid != getuid() && setuid(uid) != 0) {
    return 3;
  }
  SystemRandom random;
  StoreDbOptions options;
  options.directory = directory;
  const auto store = StoreDb::Open(options, random);
  std::puts(store.status().ToString().c_str());
  return store.ok() ? 0 : 1;
}

[[noreturn]] void Fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  _exit(2);
}

void Check(const Status& status) {
  if (!status.ok()) {
    Fail(status);
  }
}

// One round: pages of a new version, the log write that publishes them, an answer, then the old
// versions' release.
void WriteRound(NodeCalls& node, TableLog& log, Epoch epoch, Sequence round) {
  const std::vector<PageName> names = crash::NamesOfRound(round);
  for (const PageCode code : node.PutRaw(names, 0, /*shrinks=*/false)) {
    if (code != PageCode::kOk) {
      Fail(MakeError(StatusCode::kInternal, Name(code)));
    }
  }
  LogWrite log_write;
  log_write.shard = crash::kShard;
  log_write.epoch = epoch;
  log_write.sequence = round;
  for (const PageName& name : names) {
    log_write.slots.push_back({name.space, name.offset, name.version, 0});
  }
  Check(Await<bool>([&](auto done) { log.Write(log_write, done); }).status());
  const std::string line = std::to_string(round) + "\n";
  if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    _exit(4);
  }
  if (round > crash::kRoundsOverSlots) {
    Check(node.Delete(crash::NamesOfRound(round - crash::kRoundsOverSlots)));
  }
}

int Write(const std::string& directory, const std::string& boot_id_path) {
  SystemRandom random;
  ThreadPool pool(2);
  StoreDbOptions options;
  options.directory = directory;
  options.boot_id_path = boot_id_path;
  auto store = StoreDb::Open(options, random);
  Check(store.status());
  auto node = RocksdbNode::Open(**store, pool, {crash::kCapacityPages, 0});
  Check(node.status());
  RocksdbTableLog log(**store, pool);
  NodeCalls calls(**node);
  // Every run is an owner of its own, with the next epoch.
  Epoch epoch = 0;
  StatusOr<LogEnd> end = MakeError(StatusCode::kUnknown, "not sealed");
  while (!end.ok()) {
    ++epoch;
    end = Await<LogEnd>([&](auto done) { log.Seal(crash::kShard, epoch, done); });
    if (!end.ok() && ReasonOf(end.status()) != ErrorReason::kStaleEpoch) {
      Fail(end.status());
    }
  }
  for (Sequence round = end->last_sequence + 1;; ++round) {
    WriteRound(calls, log, epoch, round);
  }
}

}  // namespace
}  // namespace vswap

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::off);  // standard output is the answer
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "open" && argc >= 3) {
    return vswap::Open(argv[2], argc > 3 ? static_cast<uid_t>(std::atoi(argv[3])) : getuid());
  }
  if (mode == "write" && argc == 4) {
    return vswap::Write(argv[2], argv[3]);
  }
  std::fputs("usage: store_helper open DIR [UID] | store_helper write DIR BOOT\n", stderr);
  return 64;
}

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "tests/unit/compressor/arena_bytes.h"
#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

constexpr uint32_t kThreads = 2;
constexpr uint32_t kBatch = 16;     // pages of a call, so that most of the time passes inside
constexpr Offset kBatches = 12;     // of each thread
constexpr size_t kBytesMax = 2500;  // all of it fits: the limit is another test's

// What the child tells: before a call, and after it has answered. Less than PIPE_BUF, so whole.
struct Message {
  uint32_t thread;
  bool answered;
  bool keep;  // else delete
  Offset batch;
  Version version;
};

size_t BytesOfName(const PageName& name) { return 1 + PageNameHash()(name) % kBytesMax; }

std::vector<PageName> NamesOf(const Message& message) {
  std::vector<PageName> names;
  for (uint32_t i = 0; i < kBatch; ++i) {
    names.push_back({1 + message.thread, message.batch * kBatch + i, message.version});
  }
  return names;
}

void Perform(SlabArena& arena, const Message& message,
             const std::vector<std::vector<std::byte>>& pages) {
  const std::vector<PageName> names = NamesOf(message);
  if (!message.keep) {
    arena.Delete(names);
    return;
  }
  for (uint32_t i = 0; i < kBatch; ++i) {
    if (!arena.Keep(ArenaSetup::PutOf(names[i], pages[i]))) {
      _exit(4);
    }
  }
}

// Overwrites batches for ever, each first under a new version, then deleting the old one.
void Work(SlabArena& arena, uint32_t thread, uint64_t round, uint64_t seed, int pipe) {
  SeededRandom random(seed + thread);
  std::map<Offset, Version> held;
  Version version = (round + 1) << 32;
  std::vector<std::vector<std::byte>> pages(kBatch);
  const auto call = [&](Message message) {
    for (const bool answered : {false, true}) {
      if (answered) {
        Perform(arena, message, pages);
      }
      message.answered = answered;
      if (write(pipe, &message, sizeof(message)) != sizeof(message)) {
        _exit(1);
      }
    }
  };
  while (true) {
    const Message keep{thread, false, true, random.Below(kBatches), ++version};
    const std::vector<PageName> names = NamesOf(keep);
    std::ranges::transform(names, pages.begin(),
                           [](const PageName& name) { return BytesOf(name, BytesOfName(name)); });
    call(keep);
    const Version old = std::exchange(held[keep.batch], version);
    if (old != 0) {
      call({thread, false, false, keep.batch, old});
    }
  }
}

[[noreturn]] void Child(const SlabArenaOptions& options, uint64_t round, uint64_t seed, int pipe) {
  SystemRandom random;
  const auto arena = SlabArena::Open(options, random);
  if (!arena.ok()) {
    _exit(2);
  }
  std::vector<std::jthread> threads;
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] { Work(**arena, thread, round, seed, pipe); });
  }
  threads.clear();  // they do not end
  _exit(3);
}

// What must be, may be and must not be held.
class Ledger {
 public:
  void Note(const Message& message) {
    for (const PageName& name : NamesOf(message)) {
      if (!message.answered) {
        held_.erase(name);
        under_way_.insert(name);
        continue;
      }
      under_way_.erase(name);
      if (message.keep) {
        held_.insert(name);
      }
    }
  }
  void Check(ArenaSetup& setup) {
    const std::set<PageName> found = setup.Names(1000);
    for (const PageName& name : held_) {
      ASSERT_TRUE(found.contains(name)) << "offset " << name.offset << " is missing";
    }
    for (const PageName& name : found) {
      ASSERT_TRUE(setup.HeldRight(name, BytesOfName(name)));
      ASSERT_TRUE(under_way_.contains(name) || held_.contains(name))
          << "offset " << name.offset << " is too much";
    }
    // What was under way has its fate now.
    held_ = found;
    under_way_.clear();
  }
  // The next child knows nothing of what is held: it begins anew.
  void Empty(ArenaSetup& setup) {
    for (const PageName& name : setup.Names()) {
      setup.Delete(name);
    }
    held_.clear();
  }

 private:
  std::set<PageName> held_;
  std::set<PageName> under_way_;
};

void RunUntilKilled(const SlabArenaOptions& options, uint64_t round, uint64_t seed,
                    Ledger& ledger) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    Child(options, round, seed, ends[1]);
  }
  close(ends[1]);
  SeededRandom random(seed);
  uint64_t left = 1 + random.Below(2'000);
  std::array<Message, 1024> messages;
  ssize_t bytes = 0;
  while ((bytes = read(ends[0], messages.data(), sizeof(messages))) > 0) {
    const auto count = static_cast<size_t>(bytes) / sizeof(Message);
    ASSERT_EQ(count * sizeof(Message), static_cast<size_t>(bytes));
    if (left > 0 && left <= count) {
      // The pipe has room now: let the child get to work, and to any point of it.
      volatile uint64_t spun = seed;
      for (uint64_t turns = random.Below(100'000); turns > 0; --turns) {
        spun = Mix64(spun);
      }
      kill(child, SIGKILL);
    }
    left -= std::min<uint64_t>(left, count);
    std::for_each_n(messages.begin(), count, [&](const Message& message) { ledger.Note(message); });
  }
  close(ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
}

TEST(ArenaCrash, WhatWasAnsweredIsThereAfterAKill) {
  const uint64_t seed = SystemRandom().Next64();
  SCOPED_TRACE("seed " + std::to_string(seed));
  ArenaSetup setup(8 * kMiB);
  Ledger ledger;
  uint64_t unfinished = 0;
  // On until some call was caught half-way, which takes few rounds.
  for (uint64_t round = 0; round < 100 || (round < 500 && unfinished == 0); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    setup.Drop();
    RunUntilKilled(setup.options, round, seed + round * 1000, ledger);
    ASSERT_FALSE(HasFatalFailure());
    setup.Open();
    EXPECT_EQ(setup.arena().recovery().damaged, 0u);
    EXPECT_EQ(setup.arena().recovery().conflicting, 0u);
    unfinished += setup.arena().recovery().unfinished;
    ledger.Check(setup);
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_TRUE(ArenaBytes(setup.options.path).FreeBlocksAreWiped());
    ASSERT_LE(setup.FileBytes(), setup.arena().Statistics().used_bytes);
    ASSERT_LE(setup.arena().Statistics().used_bytes, setup.options.memory_max_bytes);
    if (round % 4 == 3) {
      ledger.Empty(setup);
      EXPECT_EQ(setup.FileBytes(), 4096u);
    }
  }
  RecordProperty("unfinished", std::to_string(unfinished));
  EXPECT_GT(unfinished, 0u);
}

}  // namespace
}  // namespace vswap

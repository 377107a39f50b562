#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/model/history.h"
#include "tests/support/explorer.h"
#include "tests/support/front_end_setup.h"

// All orders in which a few operations on one slot can come to pass: of their arrival, of the calls
// to nodes and log that they wait for, of a late duplicate, of a restart, of another attachment
// that takes over. After each step and in the end a history says whether every page was right,
// references are counted, and nodes hold what the word names and nothing else.
namespace vswap {
namespace {

enum class Kind : uint8_t { kStore, kFree, kLoad, kDuplicate, kAllocate };

struct Plan {
  std::vector<Kind> ops = {};         // arrive in this order
  std::vector<size_t> repeated = {};  // of these a duplicate arrives, at any time after the first
  bool restart = false;               // once, at any time
  bool take_over = false;             // once, at any time
  std::vector<Kind> later = {};       // by who has taken over
  bool allocated = false;
  size_t runs_max = 60000;
};

class Race {
 public:
  Race(const Plan& plan, Explorer& explorer)
      : plan_(plan), explorer_(explorer), client_(Open(false)), history_(client_.space()) {
    if (plan.allocated) {
      EXPECT_EQ(setup_.Allocate(client_, 0, 1).offsets, std::vector<Offset>{kSlot});
    }
    const History::Content content = history_.NewContent();
    const History::WriteId write = history_.BeginWrite(kSlot, content);
    EXPECT_EQ(setup_.StoreOne(client_, kSlot, Bytes(content)), PageCode::kOk);
    history_.EndWrite(kSlot, write, History::Outcome::kApplied);
    for (const Kind kind : plan.ops) {
      ops_.push_back(std::make_shared<Op>(kind, false));
    }
    for (const Kind kind : plan.later) {
      ops_.push_back(std::make_shared<Op>(kind, true));
    }
    left_ = plan.repeated;
  }

  void Run() {
    HoldCalls();
    while (Step() && !testing::Test::HasFailure()) {
    }
    End();
    for (const std::string& wrong : history_.wrong_pages()) {
      ADD_FAILURE() << wrong;
    }
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "after" << log_;
    }
  }

 private:
  static constexpr Offset kSlot = 0;

  struct Op {
    Op(Kind op_kind, bool op_later) : kind(op_kind), later(op_later) {}
    const Kind kind;
    const bool later;
    bool sent = false;
    bool answered = false;
    bool resent = false;  // to another owner
    bool repeated = false;
    size_t busy_at = 0;  // refused for the moment, when so much had been let go
    bool busy = false;
    RequestHeader header;
    History::Content content = 0;
    History::WriteId write = 0;
    History::LoadId load = 0;
    MutationResult result;
    // Of a load in an allocated space.
    bool surely_gone = false;
    bool surely_there = false;
  };
  using OpPtr = std::shared_ptr<Op>;

  static PageBytes Bytes(History::Content content) {
    return History::MakeContent(1, kSlot, content, content % 2 == 1);
  }
  FrontEndClient Open(bool again) {
    if (plan_.allocated) {
      return again ? FrontEndClient(*setup_.TryOpen({.name = "s", .holder = "h"}))
                   : setup_.OpenAllocated("s", 1);
    }
    return setup_.Open("s", "h", 1);
  }
  void HoldCalls() { setup_.faults.Hold({CallKind::kPut, CallKind::kGet, CallKind::kLogWrite}); }

  // --- Steps.

  bool Step() {
    std::vector<std::function<void()>> steps;
    const auto add = [&](const std::string& what, std::function<void()> step) {
      steps.push_back([this, what, step = std::move(step)] {
        log_ += "\n  " + what;
        step();
      });
    };
    for (const OpPtr& op : ops_) {  // the next one that may arrive
      if (!op->sent && (!op->later || taken_over_)) {
        add("send " + NameOf(*op), [this, op] { Begin(op); });
        break;
      }
    }
    for (const OpPtr& op : ops_) {
      if (op->busy && op->busy_at < let_go_) {
        add("send again " + NameOf(*op), [this, op] { Send(op, true); });
      }
    }
    const std::vector<CallKind> kept = setup_.faults.kept_kinds();
    for (size_t i = 0; i < kept.size(); ++i) {
      add(std::string("let go ") + Name(kept[i]), [this, i] {
        ++let_go_;
        setup_.faults.LetGo(i);
      });
    }
    for (size_t i = 0; i < left_.size(); ++i) {
      if (ops_[left_[i]]->sent) {
        add("duplicate of " + NameOf(*ops_[left_[i]]), [this, i] {
          const OpPtr op = ops_[left_[i]];
          left_.erase(left_.begin() + static_cast<ptrdiff_t>(i));
          Repeat(op);
        });
      }
    }
    if (plan_.restart && !restarted_) {
      add("restart", [this] { Restart(); });
    }
    if (plan_.take_over && !taking_over_) {
      add("take over", [this] { TakeOver(); });
    }
    if (steps.empty()) {
      return false;
    }
    steps[explorer_.Choose(steps.size())]();
    setup_.executor.RunReady();
    return true;
  }

  void Begin(const OpPtr& op) {
    FrontEndClient& client = op->later ? *next_client_ : client_;
    op->sent = true;
    op->header = client.Next(kSlot);
    ++sent_[static_cast<size_t>(op->kind)];
    if (op->kind == Kind::kLoad) {
      op->load = history_.BeginLoad();
      op->surely_gone = plan_.allocated && References(true) == 0;
      op->surely_there = References(false) > 0;
    } else if (op->kind != Kind::kDuplicate && !(plan_.allocated && op->kind == Kind::kFree)) {
      op->content = op->kind == Kind::kStore ? history_.NewContent() : 0;
      op->write = history_.BeginWrite(kSlot, op->content);
    }
    Send(op, true);
  }

  // `own`: its answer counts.
  void Send(const OpPtr& op, bool own) {
    if (own) {
      op->busy = false;
    }
    const auto done = [this, op, own, generation = generation_](const MutationResult& result) {
      if (generation == generation_) {
        own ? Answered(op, result) : Again(op, result);
      }
    };
    FrontEnd& front_end = setup_.front_end();
    switch (op->kind) {
      case Kind::kStore:
        return front_end.Store(FrontEndClient::MakeStore(op->header, {{kSlot, Bytes(op->content)}}),
                               done);
      case Kind::kFree:
        return front_end.Free({op->header, {{kSlot, 1}}}, done);
      case Kind::kDuplicate:
        return front_end.Duplicate({op->header, {{kSlot, 1}}}, done);
      case Kind::kAllocate:
        return front_end.Allocate({op->header, {.order = 0, .count = 1}}, done);
      case Kind::kLoad:
        return front_end.Load({op->header, {{kSlot, 1}}},
                              [this, op, own, generation = generation_](const LoadReply& reply) {
                                if (generation == generation_ && own) {
                                  Loaded(op, reply);
                                }
                              });
    }
  }

  void Restart() {
    restarted_ = true;
    ++generation_;
    setup_.faults.Hold({});
    setup_.Restart();
    HoldCalls();
    for (FrontEndClient* client : {&client_, next_client_.get()}) {
      if (client != nullptr) {
        client->SetEpochs(*setup_.front_end().GetShardMap());
      }
    }
    if (taking_over_ && !taken_over_) {
      TakeOver();  // whoever opened tries again
    }
    // What was under way is sent again, except what a later change of the slot was sent after:
    // which of the two the new owner would do last is not known any more.
    for (const OpPtr& op : ops_) {
      if (!op->sent || op->answered) {
        continue;
      }
      FrontEndClient& client = op->later ? *next_client_ : client_;
      const bool logged = plan_.allocated && op->kind != Kind::kStore;
      if (op->kind != Kind::kLoad && !logged && op != LastChange()) {
        op->answered = true;
        client.Answered(op->header);
        history_.EndWrite(kSlot, op->write, History::Outcome::kMaybe);
        continue;
      }
      op->resent = true;
      client.Refresh(op->header, kSlot);
      Send(op, true);
    }
  }
  OpPtr LastChange() const {
    OpPtr last;
    for (const OpPtr& op : ops_) {
      last = op->sent && op->kind != Kind::kLoad ? op : last;
    }
    return last;
  }

  void TakeOver() {
    taking_over_ = true;
    setup_.front_end().Open({.name = "s", .holder = "other", .take_over = true},
                            [this, generation = generation_](const StatusOr<OpenReply>& opened) {
                              if (generation != generation_) {
                                return;
                              }
                              ASSERT_TRUE(opened.ok()) << opened.status();
                              next_client_ = std::make_unique<FrontEndClient>(*opened);
                              taken_over_ = true;
                            });
  }

  void Repeat(const OpPtr& op) {
    op->repeated = true;
    Send(op, false);
  }

  // --- Answers.

  static bool IsBusy(const Status& status) { return ReasonOf(status) == ErrorReason::kNotServing; }
  void CheckFence(const Op& op, const Status& status) {
    if (!op.later && taken_over_) {
      EXPECT_EQ(ReasonOf(status), ErrorReason::kFenced) << "of an attachment that was taken over";
    } else if (ReasonOf(status) == ErrorReason::kFenced) {
      EXPECT_TRUE(taking_over_ && !op.later);
    }
  }

  void Answered(const OpPtr& op, const MutationResult& result) {
    EXPECT_FALSE(op->answered) << NameOf(*op) << " was answered twice";
    if (IsBusy(result.status)) {
      EXPECT_TRUE(plan_.allocated) << result.status;
      op->busy = true;
      op->busy_at = let_go_;
      return;
    }
    op->answered = true;
    op->result = result;
    (op->later ? *next_client_ : client_).Answered(op->header);
    CheckFence(*op, result.status);
    // Of two that were refused for the moment, the younger one may come first; the older one is
    // told so, and was not done.
    const bool fenced = ReasonOf(result.status) == ErrorReason::kFenced;
    const bool overtaken = plan_.allocated && ReasonOf(result.status) == ErrorReason::kSuperseded;
    const bool refused =
        fenced || overtaken || result.status.code() == StatusCode::kResourceExhausted;
    EXPECT_TRUE(refused || result.status.ok()) << result.status;
    const bool applied =
        result.status.ok() && (op->kind != Kind::kStore || result.codes.at(0) == PageCode::kOk);
    // Whether an earlier owner did what this one refuses, nobody knows.
    const History::Outcome not_done =
        op->resent ? History::Outcome::kMaybe : History::Outcome::kNot;
    if (op->write != 0) {
      history_.EndWrite(kSlot, op->write, applied ? History::Outcome::kApplied : not_done);
    }
    if (applied && op->kind == Kind::kDuplicate) {
      done_duplicates_ += result.codes.at(0) == PageCode::kOk;
    } else if (applied && op->kind == Kind::kFree && plan_.allocated) {
      done_frees_ += result.freed_pages;
    } else if (applied && op->kind == Kind::kAllocate) {
      done_allocates_ += result.offsets == std::vector<Offset>{kSlot};
    }
    // Done by another owner, or by its own duplicate while it waited to be sent again.
    unknown_ += plan_.allocated && fenced && (op->resent || op->repeated);
  }

  // What a duplicate is told: the same, or that it is one.
  void Again(const OpPtr& op, const MutationResult& result) {
    if (!result.status.ok()) {
      const ErrorReason reason = ReasonOf(result.status);
      const bool told = reason == ErrorReason::kSuperseded || reason == ErrorReason::kFenced ||
                        reason == ErrorReason::kStaleEpoch || reason == ErrorReason::kNotServing;
      EXPECT_TRUE(told || result.status == op->result.status) << result.status;
      return;
    }
    if (op->answered && op->result.status.ok()) {
      EXPECT_EQ(result.codes, op->result.codes);
      EXPECT_EQ(result.offsets, op->result.offsets);
      EXPECT_EQ(result.freed_pages, op->result.freed_pages);
    }
  }

  void Loaded(const OpPtr& op, const LoadReply& reply) {
    EXPECT_FALSE(op->answered) << "a load was answered twice";
    op->answered = true;
    (op->later ? *next_client_ : client_).Answered(op->header);
    CheckFence(*op, reply.status);
    if (!reply.status.ok()) {
      EXPECT_TRUE(reply.pages.empty());
    } else {
      CheckPage(*op, reply.pages.at(0));
    }
    history_.EndLoad(op->load);
  }
  void CheckPage(const Op& op, const PageOut& page) {
    if (page.code == PageCode::kNotFound) {
      EXPECT_TRUE(plan_.allocated);
      EXPECT_FALSE(op.surely_there && References(false) > 0) << "an entry was not found";
      return;
    }
    ASSERT_EQ(page.code, PageCode::kOk);
    EXPECT_FALSE(op.surely_gone && References(true) == 0) << "a freed entry came back";
    const auto plain = client_.Plain(kSlot, page);
    ASSERT_TRUE(plain.has_value());
    history_.CheckPage(op.load, kSlot, *plain);
  }

  // The most, or the fewest, references that the entry may have now.
  int References(bool most) const {
    const auto sent = [&](Kind kind) { return static_cast<int>(sent_[static_cast<size_t>(kind)]); };
    return most ? 1 + sent(Kind::kDuplicate) + sent(Kind::kAllocate) - done_frees_
                : 1 + done_duplicates_ + done_allocates_ - sent(Kind::kFree);
  }

  // --- The end.

  void End() {
    setup_.faults.Hold({});
    setup_.faults.LetGo();
    setup_.executor.RunReady();
    for (const OpPtr& op : ops_) {
      if (op->busy) {
        Send(op, true);
        setup_.executor.RunReady();
      }
      EXPECT_TRUE(op->answered || !op->sent) << NameOf(*op) << " was never answered";
    }
    for (int i = 0; i < 20 && !setup_.front_end().Idle(); ++i) {
      setup_.executor.Advance(std::chrono::milliseconds(500));
    }
    EXPECT_TRUE(setup_.front_end().Idle());
    if (plan_.take_over && taken_over_) {
      const LoadReply old = setup_.Load(client_, {{kSlot, 1}});
      EXPECT_EQ(ReasonOf(old.status), ErrorReason::kFenced);
      EXPECT_TRUE(old.pages.empty());
    }
    FrontEndClient& client = next_client_ ? *next_client_ : client_;
    const Entry entry = setup_.EntryAt(client, kSlot);
    const LoadReply reply = setup_.Load(client, {{kSlot, 1}});
    ASSERT_TRUE(reply.status.ok()) << reply.status;
    if (plan_.allocated && unknown_ == 0) {
      const int references = 1 + done_duplicates_ + done_allocates_ - done_frees_;
      EXPECT_EQ(static_cast<int>(entry.companion.references()), references);
      EXPECT_EQ(reply.pages.at(0).code == PageCode::kNotFound, references == 0);
    }
    if (reply.pages.at(0).code == PageCode::kOk) {
      const History::LoadId load = history_.BeginLoad();
      const auto plain = client.Plain(kSlot, reply.pages.at(0));
      ASSERT_TRUE(plain.has_value());
      history_.CheckPage(load, kSlot, *plain);
      history_.EndLoad(load);
    } else {
      EXPECT_TRUE(plan_.allocated);
    }
    ExpectNamed(client, entry);
  }
  void ExpectNamed(const FrontEndClient& client, const Entry& entry) {
    std::vector<PageName> held = setup_.compressed.Names();
    const std::vector<PageName> physical = setup_.physical.Names();
    held.insert(held.end(), physical.begin(), physical.end());
    std::vector<PageName> named;
    if (entry.word.stored()) {
      named.push_back({client.space(), kSlot, entry.word.version()});
    }
    EXPECT_EQ(held, named);
  }

  std::string NameOf(const Op& op) const {
    static constexpr const char* kNames[] = {"store", "free", "load", "duplicate", "allocate"};
    return std::string(kNames[static_cast<size_t>(op.kind)]) + (op.later ? " of the next" : "") +
           (op.header.sequence == 0 ? "" : " " + std::to_string(op.header.sequence));
  }

  const Plan& plan_;
  Explorer& explorer_;
  FrontEndSetup setup_{{.shard_count = 1}};
  FrontEndClient client_;
  std::unique_ptr<FrontEndClient> next_client_;
  History history_;
  std::vector<OpPtr> ops_;
  std::vector<size_t> left_;  // to be repeated
  uint64_t generation_ = 0;
  size_t let_go_ = 0;
  bool restarted_ = false;
  bool taking_over_ = false;
  bool taken_over_ = false;
  std::array<uint32_t, 5> sent_{};
  int done_duplicates_ = 0;
  int done_frees_ = 0;
  int done_allocates_ = 0;
  int unknown_ = 0;
  std::string log_;
};

void ExploreAll(const Plan& plan) {
  Explorer explorer;
  while (!testing::Test::HasFailure() && explorer.runs() <= plan.runs_max && explorer.NextRun()) {
    Race(plan, explorer).Run();
  }
  EXPECT_LE(explorer.runs(), plan.runs_max) << "not all orders were tried";
  std::printf("%zu orders\n", explorer.runs());
}

constexpr Kind kS = Kind::kStore;
constexpr Kind kF = Kind::kFree;
constexpr Kind kL = Kind::kLoad;
constexpr Kind kD = Kind::kDuplicate;
constexpr Kind kA = Kind::kAllocate;

TEST(Interleaving, StoreStoreLoad) { ExploreAll({.ops = {kS, kS, kL}}); }
TEST(Interleaving, StoreFreeLoad) { ExploreAll({.ops = {kS, kF, kL}}); }
TEST(Interleaving, FreeStoreLoad) { ExploreAll({.ops = {kF, kS, kL}}); }
TEST(Interleaving, StoreStoreFreeLoad) { ExploreAll({.ops = {kS, kS, kF, kL}}); }
TEST(Interleaving, LoadStoreFreeStore) { ExploreAll({.ops = {kL, kS, kF, kS}}); }
TEST(Interleaving, StoresWithALateDuplicateOfTheFirst) {
  ExploreAll({.ops = {kS, kS}, .repeated = {0}});
}
TEST(Interleaving, StoreAndFreeWithALateDuplicateOfEach) {
  ExploreAll({.ops = {kS, kF}, .repeated = {0, 1}});
  ExploreAll({.ops = {kF, kS}, .repeated = {0}});
}
TEST(Interleaving, StoreStoreLoadAndARestart) {
  ExploreAll({.ops = {kS, kS, kL}, .restart = true});
}
TEST(Interleaving, StoreFreeAndARestartWithALateDuplicate) {
  ExploreAll({.ops = {kS, kF}, .repeated = {0}, .restart = true});
}
TEST(Interleaving, StoreAndLoadOfAnAttachmentThatIsTakenOver) {
  ExploreAll({.ops = {kS, kL}, .take_over = true, .later = {kL}});
}
TEST(Interleaving, StoreAndItsLateDuplicateOfAnAttachmentThatIsTakenOver) {
  ExploreAll({.ops = {kS}, .repeated = {0}, .take_over = true, .later = {kS, kL}});
}
TEST(Interleaving, FreeOfAnAttachmentThatIsTakenOverAndARestart) {
  ExploreAll({.ops = {kF}, .restart = true, .take_over = true, .later = {kS}});
}

TEST(InterleavingOfEntries, StoreDuplicateFreeLoad) {
  ExploreAll({.ops = {kS, kD, kF}, .allocated = true});
  ExploreAll({.ops = {kS, kD, kL}, .allocated = true});
  ExploreAll({.ops = {kS, kF, kL}, .allocated = true});
  ExploreAll({.ops = {kS, kD, kF, kL}, .allocated = true});
}
TEST(InterleavingOfEntries, DuplicateFreeFreeLoadWithALateDuplicateOfAFree) {
  ExploreAll({.ops = {kD, kF, kF}, .repeated = {1}, .allocated = true});
  ExploreAll({.ops = {kD, kF, kF, kL}, .allocated = true});
}
TEST(InterleavingOfEntries, FreeAllocateStoreWithALateDuplicateOfEach) {
  ExploreAll({.ops = {kF, kA, kS}, .repeated = {0, 1}, .allocated = true});
  ExploreAll({.ops = {kS, kF, kA}, .repeated = {0}, .allocated = true});
}
TEST(InterleavingOfEntries, DuplicateFreeFreeAndARestart) {
  ExploreAll({.ops = {kD, kF, kF}, .repeated = {0}, .restart = true, .allocated = true});
}
TEST(InterleavingOfEntries, FreeAllocateLoadAndARestart) {
  ExploreAll({.ops = {kF, kA, kL}, .restart = true, .allocated = true});
}
TEST(InterleavingOfEntries, DuplicateAndFreeOfAnAttachmentThatIsTakenOver) {
  ExploreAll(
      {.ops = {kD, kF}, .repeated = {1}, .take_over = true, .later = {kF}, .allocated = true});
}

}  // namespace
}  // namespace vswap

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "tests/support/front_end_setup.h"

// A test for each completion on every path: the path runs once to number its calls below the
// front-end, then once for each call and each thing that may become of it. Each time: the right
// code, the old or the new page and nothing else changed, nothing leaked, and a retry that
// succeeds.
namespace vswap {
namespace {

// How a path ends, as far as one call's fate decides it.
enum class End : uint8_t {
  kOk,
  kOldOrOk,  // refused with UNAVAILABLE, or done
  kUnavailable,
  kCorrupt,
  kDataLoss,
  kDamaged,  // the client finds the page's checksum wrong
  kFails,    // with a status; what it did is unknown
  kNever,    // no answer: it stays undecided until a new owner decides
};

bool IsNever(Fault fault) {
  return fault == Fault::kNeverArrives || fault == Fault::kNeverAnswered;
}
bool IsError(Fault fault) {
  return fault == Fault::kFailBefore || fault == Fault::kFailAfter ||
         fault == Fault::kFailThenEffect;
}
bool IsHold(Fault fault) { return fault == Fault::kHoldBefore || fault == Fault::kHoldAfter; }
// Leaves litter until the next start compares tables and nodes: a put whose effect comes when the
// node has already been told to delete it, and a listing that did not show what is there.
bool MayLitter(CallKind kind, Fault fault) {
  const bool late_put =
      kind == CallKind::kPut && (fault == Fault::kFailThenEffect || fault == Fault::kTwiceLate);
  const bool unlisted =
      kind == CallKind::kInventory && (IsError(fault) || fault == Fault::kOtherIncarnation ||
                                       fault == Fault::kShort || fault == Fault::kCorruptFields);
  return late_put || unlisted;
}

std::vector<Fault> FaultsOf(CallKind kind) {
  std::vector<Fault> faults = {Fault::kFailBefore, Fault::kFailAfter,    Fault::kFailThenEffect,
                               Fault::kHoldBefore, Fault::kHoldAfter,    Fault::kTwice,
                               Fault::kTwiceLate,  Fault::kNeverArrives, Fault::kNeverAnswered};
  const auto add = [&](std::initializer_list<Fault> more) {
    faults.insert(faults.end(), more.begin(), more.end());
  };
  switch (kind) {
    case CallKind::kPut:
    case CallKind::kGet:
      add({Fault::kCorruptBytes, Fault::kCorruptFields, Fault::kOtherIncarnation, Fault::kShort});
      break;
    case CallKind::kInventory:
      add({Fault::kCorruptFields, Fault::kOtherIncarnation, Fault::kShort});
      break;
    case CallKind::kDelete:
      add({Fault::kOtherIncarnation});
      break;
    case CallKind::kLogRead:
      add({Fault::kCorruptFields, Fault::kCorruptBytes});
      break;
    case CallKind::kCoordinatorGet:
    case CallKind::kCoordinatorList:
      add({Fault::kCorruptFields});
      break;
    default:
      break;
  }
  return faults;
}

// A front-end with one space of each kind, and bystanders that nothing may happen to.
class Stage : public FrontEndSetup {
 public:
  static constexpr Offset kBystander = 100;

  Stage() : FrontEndSetup(Options{.shard_count = 1}) {
    device = Open("device");
    space = OpenAllocated("space");
    entry = Allocate(space, 0, 1).offsets.at(0);
    Store(device, {{kBystander, Shrinking(kBystander)}, {kBystander + 1, Noise(kBystander)}});
    Store(space, {{entry, Noise(entry)}});
  }

  void Reattach() {
    const auto map = front_end().GetShardMap();
    ASSERT_TRUE(map.ok());
    device.SetEpochs(*map);
    space.SetEpochs(*map);
  }
  void ExpectBystanders() {
    EXPECT_EQ(LoadOne(device, kBystander), Shrinking(kBystander));
    EXPECT_EQ(LoadOne(device, kBystander + 1), Noise(kBystander));
    EXPECT_EQ(LoadOne(space, entry), Noise(entry));
    EXPECT_EQ(EntryAt(space, entry).companion.references(), 1u);
  }
  // Time goes on, in which whatever can end ends.
  void Run() {
    for (int i = 0; i < 20; ++i) {
      executor.Advance(std::chrono::milliseconds(500));
    }
  }
  std::vector<std::string> Problems() {
    std::optional<StatusOr<CheckReport>> report;
    front_end().Check([&](StatusOr<CheckReport> found) { report = std::move(found); });
    for (int i = 0; i < 20 && !report; ++i) {
      executor.Advance(std::chrono::milliseconds(50));
    }
    if (!report || !report->ok()) {
      return {"the check did not answer"};
    }
    std::vector<std::string> all = (*report)->problems;
    all.insert(all.end(), (*report)->skipped.begin(), (*report)->skipped.end());
    return all;
  }
  void ExpectTidy(const char* when) {
    EXPECT_TRUE(front_end().Idle()) << when;
    for (const std::string& problem : Problems()) {
      ADD_FAILURE() << when << ": " << problem;
    }
  }

  FrontEndClient device{OpenReply{}};
  FrontEndClient space{OpenReply{}};
  Offset entry = 0;
  bool log_stuck = false;  // a write is never answered
};

// One path of the core. Its calls are judged by what they answered; unanswered ones by what there
// is.
class Path {
 public:
  virtual ~Path() = default;
  virtual void Prepare(Stage&) {}
  virtual void Begin(Stage& stage) = 0;
  virtual bool answered() const = 0;
  virtual End Expect(CallKind kind, Fault fault, size_t nth) const = 0;
  // After everything has ended, or after a restart where it could not.
  virtual void Judge(Stage& stage, End end) = 0;
  virtual void Retry(Stage& stage) = 0;  // without faults: it is done then
};

// What holds on every path for calls whose failure nobody is told of.
End ExpectQuiet(CallKind kind, Fault fault) {
  return IsNever(fault) && kind != CallKind::kDelete ? End::kNever : End::kOk;
}

void RunOne(const std::function<std::unique_ptr<Path>()>& make, size_t call, CallKind kind,
            size_t nth, Fault fault, bool late) {
  SCOPED_TRACE("call " + std::to_string(call) + ", a " + Name(kind) + ": " + Name(fault) +
               (late ? ", let go after the retry" : ""));
  Stage stage;
  const std::unique_ptr<Path> path = make();
  path->Prepare(stage);
  stage.Settle();
  stage.faults.Watch();
  stage.faults.Inject(call, fault);
  path->Begin(stage);
  stage.executor.RunReady();
  const End end = path->Expect(kind, fault, nth);
  if (IsHold(fault)) {
    // Nobody else waits for it.
    stage.faults.Unwatch();
    const bool starting = !stage.front_end().GetShardMap().ok();
    if (!starting && kind != CallKind::kLogWrite) {
      stage.Reattach();
      stage.ExpectBystanders();
    }
  }
  if (!late) {
    stage.faults.LetGo();
  }
  stage.Run();
  stage.faults.Unwatch();
  EXPECT_EQ(path->answered(), end != End::kNever);
  if (IsNever(fault)) {
    // A node or log that never answers is for ever undecided here: a new owner decides.
    stage.log_stuck = kind == CallKind::kLogWrite;
    path->Judge(stage, end);
    stage.log_stuck = false;
    stage.Restart();
    stage.Settle();
    stage.Reattach();
    stage.ExpectTidy("after the restart that decides");
  } else {
    path->Judge(stage, end);
    if (stage.front_end().GetShardMap().ok() && !MayLitter(kind, fault)) {
      stage.ExpectTidy("after the path");
    }
  }
  path->Retry(stage);
  if (late) {
    stage.faults.LetGo();
    stage.Run();
    path->Retry(stage);
  }
  stage.ExpectBystanders();
  if (!MayLitter(kind, fault)) {
    stage.ExpectTidy("after the retry");
  }
  stage.Restart();
  stage.Settle();
  stage.Reattach();
  stage.ExpectBystanders();
  stage.ExpectTidy("after a restart");
}

void Sweep(const std::function<std::unique_ptr<Path>()>& make) {
  std::vector<CallKind> calls;
  {
    Stage stage;
    const std::unique_ptr<Path> path = make();
    path->Prepare(stage);
    stage.Settle();
    stage.faults.Watch();
    path->Begin(stage);
    stage.Run();
    calls = stage.faults.seen();
    stage.faults.Unwatch();
    EXPECT_TRUE(path->answered());
    path->Judge(stage, End::kOk);
    path->Retry(stage);
    stage.ExpectTidy("without faults");
  }
  ASSERT_FALSE(calls.empty());
  std::map<CallKind, size_t> nth;
  for (size_t i = 0; i < calls.size() && !testing::Test::HasFailure(); ++i) {
    for (const Fault fault : FaultsOf(calls[i])) {
      RunOne(make, i, calls[i], nth[calls[i]], fault, false);
      if (fault == Fault::kFailThenEffect || fault == Fault::kTwiceLate) {
        RunOne(make, i, calls[i], nth[calls[i]], fault, true);
      }
    }
    ++nth[calls[i]];
  }
}

template <typename P, typename... Args>
void SweepOf(Args... args) {
  Sweep([args...] { return std::make_unique<P>(args...); });
}

// --- Stores.

using PageMaker = PageBytes (*)(Offset, uint64_t);
PageBytes MakeShrinking(Offset offset, uint64_t number) { return Shrinking(offset, number); }
PageBytes MakeNoise(Offset offset, uint64_t number) { return Noise(offset, number); }
PageBytes MakeZero(Offset, uint64_t) { return ZeroPage(); }
PageBytes MakeAny(Offset offset, uint64_t number) {
  return offset % 3 == 0   ? Shrinking(offset, number)
         : offset % 3 == 1 ? Noise(offset, number)
                           : ZeroPage();
}

struct StoreShape {
  PageMaker make = MakeShrinking;
  PageMaker before = MakeShrinking;  // what is overwritten; null: nothing
  uint32_t pages = 1;
  bool whole = false;
  bool allocated = false;
};

class StoreTest : public Path {
 public:
  explicit StoreTest(StoreShape shape) : shape_(shape) {}

  void Prepare(Stage& stage) override {
    if (shape_.allocated) {
      uint32_t order = 0;
      while ((1u << order) < shape_.pages) {
        ++order;
      }
      first_ = stage.Allocate(Client(stage), order, 1).offsets.at(0);
    }
    if (shape_.before != nullptr) {
      stage.Store(Client(stage), Contents(shape_.before, 1));
    }
  }
  void Begin(Stage& stage) override {
    header_ = Client(stage).Next(first_);
    result_ = stage.BeginStore(Call(header_, 2));
  }
  bool answered() const override { return result_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t) const override {
    if (kind != CallKind::kPut || IsNever(fault)) {
      return ExpectQuiet(kind, fault);
    }
    if (fault == Fault::kCorruptBytes || fault == Fault::kCorruptFields) {
      return End::kCorrupt;
    }
    const bool no_answer =
        IsError(fault) || fault == Fault::kShort || fault == Fault::kOtherIncarnation;
    return no_answer ? End::kOldOrOk : End::kOk;
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    ASSERT_TRUE((*result_)->status.ok()) << (*result_)->status;
    ASSERT_EQ((*result_)->codes.size(), shape_.pages);
    bool refused = false;
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      const PageCode code = (*result_)->codes[i];
      const PageBytes loaded = stage.LoadOne(Client(stage), first_ + i);
      if (code == PageCode::kOk) {
        EXPECT_EQ(loaded, shape_.make(first_ + i, 2));
      } else {
        EXPECT_EQ(loaded, Before(i));
        EXPECT_EQ(code, end == End::kCorrupt ? PageCode::kCorrupt : PageCode::kUnavailable);
        refused = true;
      }
      EXPECT_EQ(shape_.whole && code != (*result_)->codes[0], false);
    }
    EXPECT_LE(refused, end == End::kCorrupt || end == End::kOldOrOk);
    EXPECT_GE(refused, end == End::kCorrupt);
  }
  void Retry(Stage& stage) override {
    ++number_;
    const RequestHeader header = Client(stage).Next(first_);
    Client(stage).Answered(header_);
    const auto result = stage.BeginStore(Call(header, number_));
    Client(stage).Answered(header);
    ASSERT_TRUE(result->has_value());
    EXPECT_EQ((*result)->codes, std::vector<PageCode>(shape_.pages, PageCode::kOk));
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      EXPECT_EQ(stage.LoadOne(Client(stage), first_ + i), shape_.make(first_ + i, number_));
    }
  }

 private:
  FrontEndClient& Client(Stage& stage) const {
    return shape_.allocated ? stage.space : stage.device;
  }
  std::vector<ContentAt> Contents(PageMaker make, uint64_t number) const {
    std::vector<ContentAt> contents;
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      contents.push_back({first_ + i, make(first_ + i, number)});
    }
    return contents;
  }
  StoreCall Call(const RequestHeader& header, uint64_t number) const {
    StoreCall call = FrontEndClient::MakeStore(header, Contents(shape_.make, number));
    if (shape_.whole) {
      call.extents = {{first_, shape_.pages}};
      call.whole = true;
    }
    return call;
  }
  PageBytes Before(uint32_t i) const {
    return shape_.before == nullptr ? ZeroPage() : shape_.before(first_ + i, 1);
  }

  const StoreShape shape_;
  Offset first_ = 0;
  RequestHeader header_;
  uint64_t number_ = 2;
  std::shared_ptr<std::optional<MutationResult>> result_;
};

TEST(Completion, StoreOfACompressedPage) { SweepOf<StoreTest>(StoreShape{}); }
TEST(Completion, StoreToAnEmptySlot) { SweepOf<StoreTest>(StoreShape{.before = nullptr}); }
TEST(Completion, StoreOfAPhysicalPage) {
  SweepOf<StoreTest>(StoreShape{.make = MakeNoise, .before = MakeNoise});
}
TEST(Completion, StoreOfAZeroPage) {
  SweepOf<StoreTest>(StoreShape{.make = MakeZero, .before = MakeNoise});
}
TEST(Completion, StoreOfABatch) {
  SweepOf<StoreTest>(StoreShape{.make = MakeAny, .before = MakeAny, .pages = 5});
}
TEST(Completion, StoreOfAFolio) {
  SweepOf<StoreTest>(StoreShape{.make = MakeAny, .before = MakeAny, .pages = 4, .whole = true});
}
TEST(Completion, StoreToEntries) {
  SweepOf<StoreTest>(StoreShape{.make = MakeAny, .before = nullptr, .pages = 4, .allocated = true});
  SweepOf<StoreTest>(StoreShape{.make = MakeNoise, .pages = 2, .whole = true, .allocated = true});
}

// --- Loads.

struct LoadShape {
  PageMaker make = MakeShrinking;
  uint32_t pages = 1;
  bool gone = false;     // the first page's record is not there
  bool revived = false;  // it was gone, is marked lost, and is back
};

class LoadTest : public Path {
 public:
  explicit LoadTest(LoadShape shape) : shape_(shape) {}

  void Prepare(Stage& stage) override {
    std::vector<ContentAt> contents;
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      contents.push_back({i, shape_.make(i, 1)});
    }
    stage.Store(stage.device, std::move(contents));
    if (shape_.gone || shape_.revived) {
      ASSERT_TRUE(Flip(stage));
    }
    if (shape_.revived) {
      EXPECT_EQ(stage.CodeOf(stage.device, 0), PageCode::kDataLoss);
      ASSERT_TRUE(Flip(stage));
    }
  }
  void Begin(Stage& stage) override {
    result_ = stage.BeginLoad({stage.device.Next(0), {{0, shape_.pages}}});
  }
  bool answered() const override { return result_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t nth) const override {
    if (kind == CallKind::kLogWrite) {
      // The first of a load that finds nothing is the proof; others are the marks, which nobody
      // waits for.
      return shape_.gone && nth == 0 ? ExpectQuiet(kind, fault) : End::kOk;
    }
    if (kind != CallKind::kGet || IsNever(fault)) {
      return ExpectQuiet(kind, fault);
    }
    if (fault == Fault::kCorruptBytes || fault == Fault::kCorruptFields) {
      return shape_.gone && shape_.pages == 1 ? End::kOk : End::kDamaged;
    }
    const bool unheard =
        IsError(fault) || fault == Fault::kShort || fault == Fault::kOtherIncarnation;
    return unheard ? End::kUnavailable : End::kOk;
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    ASSERT_TRUE((*result_)->status.ok()) << (*result_)->status;
    bool hit = false;
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      const PageOut& page = (*result_)->pages.at(i);
      const bool lost = shape_.gone && i == 0;
      if (page.code == PageCode::kOk) {
        const auto plain = stage.device.Plain(i, page);
        EXPECT_FALSE(lost);
        EXPECT_TRUE(plain.has_value() || end == End::kDamaged);
        hit = hit || !plain;
        EXPECT_TRUE(!plain || *plain == shape_.make(i, 1)) << "a wrong page";
      } else if (page.code == PageCode::kDataLoss) {
        EXPECT_TRUE(lost) << "a page that is there was called lost";
      } else {
        EXPECT_EQ(page.code, PageCode::kUnavailable);
        EXPECT_EQ(end, End::kUnavailable);
        hit = true;
      }
    }
    EXPECT_EQ(hit, end == End::kUnavailable || end == End::kDamaged);
    if (shape_.gone && stage.log_stuck) {
      return;  // what is not there cannot be proved to be lost until a new owner decides
    }
    if (shape_.gone) {  // so that tables and nodes agree again
      stage.CodeOf(stage.device, 0);
      stage.Run();
      EXPECT_EQ(stage.EntryAt(stage.device, 0).word.kind(), Backing::kLost);
    }
    Again(stage);
  }
  void Retry(Stage& stage) override {
    Again(stage);
    if (shape_.gone) {  // comes back
      if (!back_) {
        back_ = Flip(stage);
      }
      EXPECT_EQ(stage.LoadOne(stage.device, 0), shape_.make(0, 1));
      stage.Run();
    }
  }

 private:
  bool Flip(Stage& stage) { return stage.compressed.FlipByte(stage.NameAt(stage.device, 0), 9); }
  void Again(Stage& stage) {
    for (uint32_t i = 0; i < shape_.pages; ++i) {
      if (shape_.gone && i == 0 && !back_) {
        EXPECT_EQ(stage.CodeOf(stage.device, i), PageCode::kDataLoss);
      } else {
        EXPECT_EQ(stage.LoadOne(stage.device, i), shape_.make(i, 1));
      }
    }
  }

  const LoadShape shape_;
  bool back_ = false;
  std::shared_ptr<std::optional<LoadReply>> result_;
};

TEST(Completion, LoadOfACompressedPage) { SweepOf<LoadTest>(LoadShape{}); }
TEST(Completion, LoadOfAPhysicalPage) { SweepOf<LoadTest>(LoadShape{.make = MakeNoise}); }
TEST(Completion, LoadOfABatch) { SweepOf<LoadTest>(LoadShape{.make = MakeAny, .pages = 5}); }
TEST(Completion, LoadOfAPageThatIsGone) { SweepOf<LoadTest>(LoadShape{.gone = true}); }
TEST(Completion, LoadOfAPageThatIsBack) { SweepOf<LoadTest>(LoadShape{.revived = true}); }

// --- Frees, references, allocations.

class FreeTest : public Path {
 public:
  explicit FreeTest(PageMaker before) : before_(before) {}

  void Prepare(Stage& stage) override { Fill(stage); }
  void Begin(Stage& stage) override {
    header_ = stage.device.Next(0);
    result_ = stage.BeginFree({header_, {{0, 8}}});
  }
  bool answered() const override { return result_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t nth) const override {
    // The second log write purges the records of freed slots: nobody waits for it.
    return kind == CallKind::kLogWrite && nth > 0 ? End::kOk : ExpectQuiet(kind, fault);
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    EXPECT_TRUE((*result_)->status.ok());
    EXPECT_EQ((*result_)->freed_pages, 3u);
    for (Offset i = 0; i < 4; ++i) {
      EXPECT_EQ(stage.LoadOne(stage.device, i), ZeroPage());
    }
  }
  void Retry(Stage& stage) override {
    stage.device.Answered(header_);
    Fill(stage);
    EXPECT_EQ(stage.Free(stage.device, {0, 8}).freed_pages, 3u);
    stage.Settle();
    EXPECT_EQ(stage.LoadOne(stage.device, 1), ZeroPage());
  }

 private:
  void Fill(Stage& stage) {
    EXPECT_EQ(
        stage.Store(stage.device, {{0, before_(0, 1)}, {1, before_(1, 1)}, {2, before_(2, 1)}})
            .codes,
        std::vector<PageCode>(3, PageCode::kOk));
  }

  const PageMaker before_;
  RequestHeader header_;
  std::shared_ptr<std::optional<MutationResult>> result_;
};

TEST(Completion, FreeOfCompressedPages) { SweepOf<FreeTest>(MakeShrinking); }
TEST(Completion, FreeOfAllKindsOfPages) { SweepOf<FreeTest>(MakeAny); }

// Allocate, duplicate or free: exactly once, whatever is repeated, also by another owner.
class ReferencesTest : public Path {
 public:
  enum Kind { kAllocate, kDuplicate, kDrop, kFreeLast };

  explicit ReferencesTest(Kind kind) : kind_(kind) {}

  void Prepare(Stage& stage) override {
    first_ = stage.Allocate(stage.space, 2, 1).offsets.at(0);
    for (Offset i = 0; i < 3; ++i) {
      stage.Store(stage.space, {{first_ + i, MakeAny(i, 1)}});
    }
    if (kind_ == kDrop) {
      stage.Duplicate(stage.space, {{first_, 4}});
    }
    used_before_ = Used(stage);
  }
  void Begin(Stage& stage) override {
    header_ = stage.space.Next(first_);
    result_ = std::make_shared<std::optional<MutationResult>>();
    Send(stage, result_);
  }
  bool answered() const override { return result_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t nth) const override {
    return kind == CallKind::kLogWrite && nth > 0 ? End::kOk : ExpectQuiet(kind, fault);
  }
  void Judge(Stage& stage, End end) override {
    if (end != End::kNever) {
      ExpectResult(**result_);
      ExpectDone(stage);
    }
  }
  // The same request, once more and for ever the same answer; what it did once stays.
  void Retry(Stage& stage) override {
    stage.space.RefreshOn(header_, 0);
    for (int i = 0; i < 2; ++i) {
      const auto again = std::make_shared<std::optional<MutationResult>>();
      Send(stage, again);
      stage.executor.RunReady();
      ASSERT_TRUE(again->has_value());
      ExpectResult(**again);
      if (result_->has_value()) {
        EXPECT_EQ((*again)->offsets, (*result_)->offsets);
      }
      result_ = again;
      stage.Settle();
      ExpectDone(stage);
    }
  }

 private:
  static uint64_t Used(Stage& stage) {
    return stage.front_end().Counts()[stage.space.space()].used_slots();
  }
  void Send(Stage& stage, const std::shared_ptr<std::optional<MutationResult>>& result) {
    const auto done = [result](const MutationResult& answer) { *result = answer; };
    const std::vector<Extent> extents = {{first_, 4}};
    switch (kind_) {
      case kAllocate:
        return stage.front_end().Allocate({header_, {.order = 1, .count = 3}}, done);
      case kDuplicate:
        return stage.front_end().Duplicate({header_, extents}, done);
      default:
        return stage.front_end().Free({header_, extents}, done);
    }
  }
  void ExpectResult(const MutationResult& result) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.offsets.size(), kind_ == kAllocate ? 3u : 0u);
    EXPECT_EQ(result.codes, std::vector<PageCode>(kind_ == kDuplicate ? 4u : 0u, PageCode::kOk));
    EXPECT_EQ(result.freed_pages, kind_ == kDrop || kind_ == kFreeLast ? 4u : 0u);
  }
  void ExpectDone(Stage& stage) {
    const uint64_t used =
        used_before_ + (kind_ == kAllocate ? 6 : 0) - (kind_ == kFreeLast ? 4 : 0);
    EXPECT_EQ(Used(stage), used);
    const uint32_t references = kind_ == kDuplicate ? 2 : kind_ == kFreeLast ? 0 : 1;
    for (Offset i = 0; i < 4; ++i) {
      EXPECT_EQ(stage.EntryAt(stage.space, first_ + i).companion.references(), references);
      if (kind_ == kFreeLast) {
        EXPECT_EQ(stage.CodeOf(stage.space, first_ + i), PageCode::kNotFound);
      } else {
        EXPECT_EQ(stage.LoadOne(stage.space, first_ + i), i < 3 ? MakeAny(i, 1) : ZeroPage());
      }
    }
  }

  const Kind kind_;
  Offset first_ = 0;
  uint64_t used_before_ = 0;
  RequestHeader header_;
  std::shared_ptr<std::optional<MutationResult>> result_;
};

TEST(Completion, Allocate) { SweepOf<ReferencesTest>(ReferencesTest::kAllocate); }
TEST(Completion, Duplicate) { SweepOf<ReferencesTest>(ReferencesTest::kDuplicate); }
TEST(Completion, FreeOfOneOfTwoReferences) { SweepOf<ReferencesTest>(ReferencesTest::kDrop); }
TEST(Completion, FreeOfTheLastReference) { SweepOf<ReferencesTest>(ReferencesTest::kFreeLast); }

// --- Prefetch.

class PrefetchTest : public Path {
 public:
  void Prepare(Stage& stage) override { stage.StoreOne(stage.device, 1, Noise(1)); }
  void Begin(Stage& stage) override {
    stage.front_end().Prefetch({stage.device.Next(0), {{0, 4}}},
                               [answer = answer_](const Status& status) { *answer = status; });
  }
  bool answered() const override { return answer_->has_value(); }
  // A hint: nobody waits for what becomes of it.
  End Expect(CallKind, Fault, size_t) const override { return End::kOk; }
  void Judge(Stage& stage, End) override {
    EXPECT_TRUE((*answer_)->ok());
    EXPECT_EQ(stage.LoadOne(stage.device, 1), Noise(1));
  }
  void Retry(Stage& stage) override {
    EXPECT_EQ(stage.LoadOne(stage.device, 1), Noise(1));
    const auto runs = stage.Extents(stage.device, {0, 4});
    ASSERT_TRUE(runs.ok());
    EXPECT_EQ(runs->size(), 3u);
  }

 private:
  const std::shared_ptr<std::optional<Status>> answer_ = std::make_shared<std::optional<Status>>();
};

TEST(Completion, Prefetch) { SweepOf<PrefetchTest>(); }

// --- The mover.

class MoveTest : public Path {
 public:
  explicit MoveTest(bool down) : down_(down) {}

  void Prepare(Stage& stage) override {
    stage.Store(stage.device, {{0, Shrinking(0)}, {1, Shrinking(1)}, {2, Shrinking(2)}});
    if (!down_) {
      Move(stage, true);
    }
  }
  void Begin(Stage& stage) override { left_ = Move(stage, down_); }
  bool answered() const override { return left_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t) const override { return ExpectQuiet(kind, fault); }
  // However it ends: what a load finds is the page.
  void Judge(Stage& stage, End) override { ExpectPages(stage); }
  void Retry(Stage& stage) override {
    EXPECT_EQ(*Move(stage, down_), 0u);
    ExpectPages(stage);
    stage.Settle();
    EXPECT_EQ(stage.compressed.Names().empty(), down_);
  }

 private:
  static std::shared_ptr<std::optional<uint64_t>> Move(Stage& stage, bool down) {
    const auto left = std::make_shared<std::optional<uint64_t>>();
    stage.front_end().MoveAll(down ? Tier::kCompressed : Tier::kPhysical,
                              down ? Tier::kPhysical : Tier::kCompressed,
                              [left](uint64_t pages) { *left = pages; });
    stage.executor.RunReady();
    return left;
  }
  static void ExpectPages(Stage& stage) {
    for (Offset i = 0; i < 3; ++i) {
      EXPECT_EQ(stage.LoadOne(stage.device, i), Shrinking(i));
    }
    stage.ExpectBystanders();
  }

  const bool down_;
  std::shared_ptr<std::optional<uint64_t>> left_;
};

TEST(Completion, MoveDown) { SweepOf<MoveTest>(true); }
TEST(Completion, MoveUp) { SweepOf<MoveTest>(false); }

// --- Open, take over, close.

class OpenTest : public Path {
 public:
  enum Kind { kNew, kAgain, kTakeOver, kClose };

  explicit OpenTest(Kind kind) : kind_(kind) {}

  void Prepare(Stage& stage) override {
    if (kind_ != kNew) {
      old_ = stage.Open("third", "first", 1000);
      ASSERT_EQ(stage.StoreOne(old_, 1, Shrinking(1)), PageCode::kOk);
    }
  }
  void Begin(Stage& stage) override {
    if (kind_ == kClose) {
      stage.front_end().Close(old_.space(), old_.token(), [answer = answer_](const Status& status) {
        *answer = status.ok() ? StatusOr<OpenReply>(OpenReply{}) : status;
      });
      return;
    }
    stage.front_end().Open(Call(),
                           [answer = answer_](const StatusOr<OpenReply>& r) { *answer = r; });
  }
  bool answered() const override { return answer_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t) const override {
    const bool coordinator =
        kind == CallKind::kCoordinatorGet || kind == CallKind::kCoordinatorCommit;
    if (coordinator && (IsError(fault) || (fault == Fault::kCorruptFields))) {
      return End::kFails;
    }
    // A commit that arrives twice has not happened the second time.
    return ExpectQuiet(kind, fault);
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    const Status status = (*answer_)->status();
    if (end == End::kFails) {
      // A record that was not there cannot be damaged.
      const bool absent = kind_ == kNew && status.ok();
      EXPECT_TRUE(absent || status.code() == StatusCode::kUnavailable ||
                  status.code() == StatusCode::kDataLoss)
          << status;
      if (kind_ != kNew) {  // who is attached goes on
        EXPECT_EQ(stage.LoadOne(old_, 1), Shrinking(1));
      }
      return;
    }
    EXPECT_TRUE(status.ok()) << status;
    if (kind_ != kNew) {
      const LoadReply reply = stage.Load(old_, {{1, 1}});
      EXPECT_EQ(ReasonOf(reply.status), ErrorReason::kFenced);
      EXPECT_TRUE(reply.pages.empty());
    }
  }
  void Retry(Stage& stage) override {
    if (kind_ == kClose) {  // whether or not it was done: the space can be opened
      call_holder_ = "second";
    }
    const auto opened = stage.TryOpen(Call());
    ASSERT_TRUE(opened.ok()) << opened.status();
    FrontEndClient now(*opened);
    EXPECT_EQ(stage.LoadOne(now, 1), kind_ == kNew ? ZeroPage() : Shrinking(1));
    EXPECT_EQ(stage.StoreOne(now, 2, Noise(2)), PageCode::kOk);
    if (kind_ != kNew) {
      old_.SetEpochs(*stage.front_end().GetShardMap());
      EXPECT_EQ(ReasonOf(stage.Load(old_, {{1, 1}}).status), ErrorReason::kFenced);
      EXPECT_EQ(ReasonOf(stage.Store(old_, {{1, Noise(9)}}).status), ErrorReason::kFenced);
    }
    for (const auto& other : {stage.device.space(), stage.space.space()}) {
      EXPECT_NE(now.space(), other);
    }
  }

 private:
  OpenCall Call() const {
    return {.name = "third",
            .holder = kind_ == kTakeOver || kind_ == kClose ? "second" : "first",
            .take_over = kind_ == kTakeOver || kind_ == kClose,
            .create_pages = 1000};
  }

  const Kind kind_;
  std::string call_holder_;
  FrontEndClient old_{OpenReply{}};
  const std::shared_ptr<std::optional<StatusOr<OpenReply>>> answer_ =
      std::make_shared<std::optional<StatusOr<OpenReply>>>();
};

TEST(Completion, OpenOfANewSpace) { SweepOf<OpenTest>(OpenTest::kNew); }
TEST(Completion, OpenAgain) { SweepOf<OpenTest>(OpenTest::kAgain); }
TEST(Completion, TakeOver) { SweepOf<OpenTest>(OpenTest::kTakeOver); }
TEST(Completion, Close) { SweepOf<OpenTest>(OpenTest::kClose); }

// --- Start, with the reconciliation after it: an orphan, a missing record, answers in the log.

class StartTest : public Path {
 public:
  void Prepare(Stage& stage) override {
    stage.Store(stage.device, {{0, Shrinking(0)}, {1, Noise(1)}, {2, Shrinking(2)}});
    stage.Free(stage.device, {2, 1});
    stage.Store(stage.device, {{3, Shrinking(3)}});
    stage.Settle();
    stage.AllocateAs(stage.space.NextOn(0), 0, 1);  // its answer stays in the log
    stage.compressed.Drop(stage.NameAt(stage.device, 3));
    const OwnedPage orphan = RawPage({stage.device.space(), 77, 1}, true);
    stage.compressed.Put({orphan.put}, Lane::kBackground, [](const StatusOr<PutReply>&) {});
  }
  void Begin(Stage& stage) override {
    stage.Drop();
    stage.Make();
    stage.front_end().Start([answer = answer_](const Status& status) { *answer = status; });
  }
  bool answered() const override { return answer_->has_value(); }
  End Expect(CallKind kind, Fault fault, size_t nth) const override {
    switch (kind) {
      case CallKind::kCoordinatorGet:
      case CallKind::kCoordinatorList:
      case CallKind::kCoordinatorCommit:
      case CallKind::kLogSeal:
      case CallKind::kLogRead:
        return IsNever(fault) ? End::kNever
               : IsError(fault) || fault == Fault::kCorruptFields || fault == Fault::kCorruptBytes
                   ? End::kFails
                   : End::kOk;
      case CallKind::kLogWrite:
        return nth == 0 ? ExpectQuiet(kind, fault) : End::kOk;
      default:
        return End::kOk;  // it serves, and compares in the background
    }
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    if (end == End::kFails) {
      EXPECT_TRUE((*answer_)->code() == StatusCode::kUnavailable ||
                  (*answer_)->code() == StatusCode::kDataLoss)
          << **answer_;
      EXPECT_EQ(ReasonOf(stage.front_end().GetShardMap().status()), ErrorReason::kNotServing);
      return;
    }
    EXPECT_TRUE((*answer_)->ok()) << **answer_;
    stage.Reattach();
    ExpectPages(stage);
  }
  void Retry(Stage& stage) override {
    stage.Restart();
    stage.Settle();
    stage.Reattach();
    ExpectPages(stage);
    EXPECT_EQ(stage.compressed.Names().size(), 2u);  // the orphan went
  }

 private:
  static void ExpectPages(Stage& stage) {
    EXPECT_EQ(stage.LoadOne(stage.device, 0), Shrinking(0));
    EXPECT_EQ(stage.LoadOne(stage.device, 1), Noise(1));
    EXPECT_EQ(stage.LoadOne(stage.device, 2), ZeroPage());
    if (!stage.log_stuck) {  // a loss is said once a log write has proved it
      EXPECT_EQ(stage.CodeOf(stage.device, 3), PageCode::kDataLoss);
    }
    stage.ExpectBystanders();
  }

  const std::shared_ptr<std::optional<Status>> answer_ = std::make_shared<std::optional<Status>>();
};

TEST(Completion, Start) { SweepOf<StartTest>(); }

// --- The check: it says what it could not look at, and never of a sound service that it is not.

class CheckTest : public Path {
 public:
  void Begin(Stage& stage) override {
    stage.front_end().Check(
        [answer = answer_](const StatusOr<CheckReport>& report) { *answer = report; });
  }
  bool answered() const override { return answer_->has_value(); }
  End Expect(CallKind, Fault fault, size_t) const override {
    return IsNever(fault) ? End::kNever : End::kOk;
  }
  void Judge(Stage& stage, End end) override {
    if (end == End::kNever) {
      return;
    }
    ASSERT_TRUE((*answer_)->ok());
    for (const std::string& problem : (**answer_)->problems) {
      ADD_FAILURE() << problem;
    }
    stage.ExpectBystanders();
  }
  void Retry(Stage& stage) override { stage.ExpectTidy("a second check"); }

 private:
  const std::shared_ptr<std::optional<StatusOr<CheckReport>>> answer_ =
      std::make_shared<std::optional<StatusOr<CheckReport>>>();
};

TEST(Completion, Check) { SweepOf<CheckTest>(); }

}  // namespace
}  // namespace vswap

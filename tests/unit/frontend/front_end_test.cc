#include "services/frontend/front_end.h"

#include "tests/support/front_end_setup.h"

namespace vswap {
namespace {

Status Close(FrontEndSetup& setup, SpaceId space, Token token) {
  Status closed = MakeError(StatusCode::kUnknown, "no answer");
  setup.front_end().Close(space, token, [&](Status status) { closed = std::move(status); });
  setup.executor.RunReady();
  return closed;
}

std::vector<SpaceInfo> List(FrontEndSetup& setup) {
  std::vector<SpaceInfo> spaces;
  setup.front_end().ListSpaces([&](StatusOr<std::vector<SpaceInfo>> found) {
    ASSERT_TRUE(found.ok()) << found.status();
    spaces = *std::move(found);
  });
  setup.executor.RunReady();
  return spaces;
}

TEST(FrontEnd, ASpaceIsMadeOnceAndKeepsItsSize) {
  FrontEndSetup setup;
  const auto unknown = setup.TryOpen({.name = "a", .holder = "h"});
  EXPECT_EQ(ReasonOf(unknown.status()), ErrorReason::kUnknownSpace);
  EXPECT_EQ(unknown.status().code(), StatusCode::kNotFound);
  const auto made = setup.TryOpen({.name = "a", .holder = "h", .create_pages = 1000});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->pages, 1000u);
  EXPECT_EQ(made->shard_map.epochs.size(), 2u);
  const auto again = setup.TryOpen({.name = "a", .holder = "h", .create_pages = 5});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->space, made->space);
  EXPECT_EQ(again->pages, 1000u);
  EXPECT_GT(again->token, made->token);
  const auto other = setup.TryOpen({.name = "b", .holder = "h", .create_pages = 7});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->space, made->space);
  const std::vector<SpaceInfo> spaces = List(setup);
  ASSERT_EQ(spaces.size(), 2u);
  EXPECT_EQ(spaces[0].name, "a");
  EXPECT_EQ(spaces[0].holder, "h");
  EXPECT_EQ(spaces[1].pages, 7u);
}

TEST(FrontEnd, BadOpensNameFieldAndRange) {
  FrontEndSetup setup;
  const auto message = [&](const OpenCall& call) {
    const Status status = setup.TryOpen(call).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    return std::string(MessageOf(status));
  };
  EXPECT_EQ(message({.name = "", .holder = "h"}), "name is 0 bytes long, allowed: 1..255 bytes");
  EXPECT_EQ(message({.name = std::string(256, 'x'), .holder = "h"}),
            "name is 256 bytes long, allowed: 1..255 bytes");
  EXPECT_EQ(message({.name = "a", .holder = ""}), "holder is 0 bytes long, allowed: 1..255 bytes");
  EXPECT_EQ(message({.name = "a", .holder = "h", .create_pages = kSpacePagesMax + 1}),
            "create_pages is 2199023255553, allowed: 0..2^41");
  EXPECT_TRUE(setup.TryOpen({.name = "a", .holder = "h", .create_pages = kSpacePagesMax}).ok());
}

TEST(FrontEnd, AnotherHolderMustAskToTakeOver) {
  FrontEndSetup setup;
  FrontEndClient first = setup.Open("a", "first");
  setup.StoreOne(first, 1, Shrinking(1));
  const auto refused = setup.TryOpen({.name = "a", .holder = "second"});
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kAttached);
  EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(setup.LoadOne(first, 1), Shrinking(1));  // undisturbed
  FrontEndClient second = setup.Open("a", "second");
  EXPECT_EQ(setup.LoadOne(second, 1), Shrinking(1));
  EXPECT_EQ(ReasonOf(setup.Store(first, {{1, Shrinking(1, 2)}}).status), ErrorReason::kFenced);
  EXPECT_EQ(ReasonOf(setup.Load(first, {{1, 1}}).status), ErrorReason::kFenced);
  EXPECT_EQ(ReasonOf(setup.Free(first, {1, 1}).status), ErrorReason::kFenced);
  EXPECT_EQ(ReasonOf(Close(setup, first.space(), first.token())), ErrorReason::kFenced);
  EXPECT_EQ(setup.LoadOne(second, 1), Shrinking(1));
}

TEST(FrontEnd, CloseDetachesAndKeepsThePages) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open("a", "first");
  setup.StoreOne(client, 1, Shrinking(1));
  ASSERT_TRUE(Close(setup, client.space(), client.token()).ok());
  EXPECT_EQ(List(setup)[0].holder, "");
  EXPECT_EQ(ReasonOf(setup.Load(client, {{1, 1}}).status), ErrorReason::kFenced);
  const auto opened = setup.TryOpen({.name = "a", .holder = "second"});
  ASSERT_TRUE(opened.ok()) << opened.status();
  FrontEndClient second(*opened);
  EXPECT_EQ(setup.LoadOne(second, 1), Shrinking(1));
  EXPECT_EQ(ReasonOf(Close(setup, 99, 1)), ErrorReason::kUnknownSpace);
}

TEST(FrontEnd, AnOpenThatRacesWithAnotherIsDoneOnANewView) {
  FrontEndSetup setup;
  std::vector<Token> tokens;
  for (int i = 0; i < 8; ++i) {
    setup.front_end().Open({.name = "a", .holder = "h", .create_pages = 10},
                           [&](const StatusOr<OpenReply>& opened) {
                             if (opened.ok()) {
                               tokens.push_back(opened->token);
                             }
                           });
  }
  setup.executor.RunReady();
  ASSERT_FALSE(tokens.empty());
  EXPECT_EQ(std::set<Token>(tokens.begin(), tokens.end()).size(), tokens.size());
  EXPECT_EQ(List(setup).size(), 1u);
}

TEST(FrontEnd, ARestartKeepsPagesTokensAndSpaces) {
  FrontEndSetup setup({.shard_count = 4});
  FrontEndClient client = setup.Open();
  std::vector<Offset> offsets;
  for (Offset i = 0; i < 60; ++i) {
    offsets.push_back(i * 9001);
    setup.StoreOne(client, offsets.back(),
                   i % 5 == 0   ? ZeroPage()
                   : i % 2 == 0 ? Noise(i)
                                : Shrinking(i));
  }
  setup.Free(client, {offsets[7], 1});
  const SpaceCounts before = setup.front_end().Counts()[client.space()];
  for (int restart = 0; restart < 3; ++restart) {
    setup.Restart();
    EXPECT_EQ(setup.front_end().Counts()[client.space()], before);
    // The same client goes on: its token stands, its epochs do not.
    EXPECT_EQ(ReasonOf(setup.Load(client, {{0, 1}}).status), ErrorReason::kStaleEpoch);
    const auto map = setup.front_end().GetShardMap();
    ASSERT_TRUE(map.ok());
    client.SetEpochs(*map);
    for (Offset i = 0; i < 60; ++i) {
      const PageBytes wanted = i % 5 == 0 || i == 7 ? ZeroPage()
                               : i % 2 == 0         ? Noise(i)
                                                    : Shrinking(i);
      EXPECT_EQ(setup.LoadOne(client, offsets[i]), wanted) << "page " << i;
    }
  }
  EXPECT_EQ(List(setup).size(), 1u);
  EXPECT_EQ(setup.front_end().counters().orphans_deleted, 0u);
}

TEST(FrontEnd, ANewOwnerStopsTheOldOne) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.StoreOne(client, 1, Shrinking(1));
  FrontEnd other({}, setup.coordinator, {&setup.log}, setup.placement(), setup.executor);
  other.Start([](const Status& status) { EXPECT_TRUE(status.ok()) << status; });
  setup.executor.RunReady();
  const MutationResult late = setup.Store(client, {{1, Shrinking(1, 2)}});
  EXPECT_EQ(ReasonOf(late.status), ErrorReason::kNotServing);
  EXPECT_EQ(late.status.code(), StatusCode::kUnavailable);
  client.SetEpochs(*other.GetShardMap());
  PageCode code = PageCode::kUnset;
  other.Load({client.Next(1), {{1, 1}}}, [&](const LoadReply& reply) {
    ASSERT_TRUE(reply.status.ok()) << reply.status;
    code = reply.pages[0].code;
    EXPECT_EQ(client.Plain(1, reply.pages[0]), Shrinking(1));
  });
  setup.executor.RunReady();
  EXPECT_EQ(code, PageCode::kOk);
}

TEST(FrontEnd, DamagedCoordinatorRecordsAreNotServedFrom) {
  FrontEndSetup setup;
  setup.Open();
  setup.Drop();
  for (const char* key : {"cluster", "shards/00001", "spaces/a"}) {
    MemoryCoordinator& coordinator = setup.coordinator;
    std::optional<KeyValue> good;
    coordinator.Get(key, [&](const StatusOr<std::optional<KeyValue>>& found) { good = *found; });
    ASSERT_TRUE(good.has_value()) << key;
    const auto put = [&](const std::string& value) {
      coordinator.Commit({{}, {{key, value}}, {}}, [](const StatusOr<TransactionReply>&) {});
    };
    put("\xff\xff\xff");
    const Status started = setup.TryStart();
    EXPECT_EQ(started.code(), StatusCode::kDataLoss) << started;
    EXPECT_NE(MessageOf(started).find(key), std::string_view::npos) << started;
    setup.Drop();
    put(good->value);
  }
  setup.Start();
}

TEST(FrontEnd, ADamagedNextSpaceIdFailsTheOpenOfNewSpacesOnly) {
  FrontEndSetup setup;
  setup.Open();
  setup.coordinator.Commit({{}, {{"next/space", "\xff"}}, {}},
                           [](const StatusOr<TransactionReply>&) {});
  const auto made = setup.TryOpen({.name = "b", .holder = "h", .create_pages = 9});
  EXPECT_EQ(made.status().code(), StatusCode::kDataLoss) << made.status();
  EXPECT_TRUE(setup.TryOpen({.name = "a", .holder = "h"}).ok());
}

TEST(FrontEnd, ACoordinatorThatFailsFailsTheOpenAndNotThePages) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.coordinator.faults().FailBeforeEffect(1);
  EXPECT_EQ(setup.TryOpen({.name = "b", .holder = "h", .create_pages = 9}).status().code(),
            StatusCode::kUnavailable);
  EXPECT_EQ(setup.StoreOne(client, 1, Shrinking(1)), PageCode::kOk);
  EXPECT_TRUE(setup.TryOpen({.name = "b", .holder = "h", .create_pages = 9}).ok());
}

TEST(FrontEnd, BadRequestsAreRefusedBeforeTheyTouchAnything) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open("a", "h", 100);
  StoreCall store = client.MakeStore({{99, Shrinking(1)}});
  store.header.space = 77;
  EXPECT_EQ(ReasonOf((*setup.BeginStore(store))->status), ErrorReason::kUnknownSpace);
  EXPECT_EQ(setup.Store(client, {{100, Shrinking(1)}}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(setup.Load(client, {{99, 2}}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(setup.Free(client, {0, 101}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(setup.compressed.Names().empty());
}

TEST(FrontEnd, ExtentsTellTheRunsOfEachKind) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.Store(client, {{2, ZeroPage()}, {3, ZeroPage()}, {4, Shrinking(4)}, {600, Noise(6)}});
  const auto runs = setup.Extents(client, {1, 1000});
  ASSERT_TRUE(runs.ok()) << runs.status();
  const std::vector<std::pair<uint32_t, Backing>> wanted = {
      {1, Backing::kNone},   {2, Backing::kZero},     {1, Backing::kCompressed},
      {595, Backing::kNone}, {1, Backing::kPhysical}, {400, Backing::kNone}};
  ASSERT_EQ(runs->size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ((*runs)[i].pages, wanted[i].first) << "run " << i;
    EXPECT_EQ((*runs)[i].first.word.kind(), wanted[i].second) << "run " << i;
  }
}

TEST(FrontEnd, StopRefusesNewWorkAndEndsTheOld) {
  FrontEndSetup setup;
  FrontEndClient client = setup.Open();
  setup.held_compressed.Hold(HeldNode::kPut);
  const auto under_way = setup.BeginStore(client.MakeStore({{1, Shrinking(1)}}));
  setup.front_end().Stop();
  EXPECT_FALSE(setup.front_end().Idle());
  EXPECT_EQ(ReasonOf(setup.Load(client, {{1, 1}}).status), ErrorReason::kNotServing);
  EXPECT_EQ(ReasonOf(setup.TryOpen({.name = "a", .holder = "h"}).status()),
            ErrorReason::kNotServing);
  setup.held_compressed.LetGo();
  setup.executor.RunReady();
  ASSERT_TRUE(under_way->has_value());
  EXPECT_TRUE((*under_way)->status.ok());
  EXPECT_TRUE(setup.front_end().Idle());
}

}  // namespace
}  // namespace vswap

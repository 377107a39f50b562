#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/fault/space_user.h"
#include "tests/support/local_cluster.h"
#include "tests/support/page_bytes.h"
#include "tests/support/raw_client.h"
#include "tests/support/service.h"
#include "tests/support/tcp_proxy.h"

// Real processes that are stopped, lose what they own meanwhile, and go on. libvswap refuses old
// answers by itself: here the messages are made by hand, and every answer is looked at.
namespace vswap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kFrontEnds = 3;
constexpr int kShards = 12;
constexpr uint64_t kSpacePages = 1 << 20;
// Beyond every time-out: see Away in tests/chaos.
constexpr auto kAway = milliseconds(11000);
constexpr size_t kStripesEach = 3;  // that are looked at, of a front-end

// A stream to one front-end. What is written waits in the socket of one that is stopped.
class Line {
 public:
  explicit Line(const std::string& address)
      : stub_(v1::FrontEndService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(4));
    stream_ = stub_->Exchange(&context_);
  }
  ~Line() {
    context_.TryCancel();
    stream_->Finish();
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // `what`: for people.
  void Send(v1::ExchangeRequest request, const std::string& what) {
    request.set_id(++last_id_);
    waiting_[last_id_] = what;
    ASSERT_TRUE(stream_->Write(request)) << what;
  }
  // The next answer, and what it answers.
  std::string Receive(v1::ExchangeResponse* answer) {
    if (!stream_->Read(answer)) {
      ADD_FAILURE() << waiting_.size() << " requests are not answered";
      return "";
    }
    const auto answered = waiting_.extract(answer->id());
    EXPECT_FALSE(answered.empty()) << "an answer to nothing: " << answer->id();
    return answered.empty() ? "" : answered.mapped();
  }
  // A store that is acknowledged, page by page.
  void Store(const v1::ExchangeRequest& request, const std::string& what) {
    v1::ExchangeResponse answer;
    Send(request, what);
    Receive(&answer);
    const auto pages = static_cast<size_t>(request.store().lengths_size());
    EXPECT_EQ(answer.store().codes(), std::string(pages, char{v1::PAGE_CODE_OK}))
        << what << ": " << answer.error().message();
  }
  v1::ShardMap Map() {
    v1::GetShardMapResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    stub_->GetShardMap(&context, {}, &response);
    return response.shard_map();
  }

 private:
  std::unique_ptr<v1::FrontEndService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExchangeRequest, v1::ExchangeResponse>> stream_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::string> waiting_;
};

std::string TextOf(const PageBytes& page) {
  return {reinterpret_cast<const char*>(page.data()), page.size()};
}

// The address of the shard's owner; empty: there is none.
std::string OwnerIn(const v1::ShardMap& map, ShardId shard) {
  const auto id = static_cast<int>(shard);
  const uint32_t owner = id < map.owners_size() ? map.owners(id) : 0;
  return owner == 0 ? "" : map.front_ends(static_cast<int>(owner) - 1);
}

int Owned(const v1::ShardMap& map, const std::string& front_end) {
  int owned = 0;
  for (ShardId shard = 0; shard < kShards; ++shard) {
    owned += OwnerIn(map, shard) == front_end ? 1 : 0;
  }
  return owned;
}

// One cluster for all, in which frontend/2 hears of etcd through a proxy.
class Fencing : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<LocalCluster>("--frontends 3 --compressors 2 --stores 2 --shards " +
                                              std::to_string(kShards));
    proxy_ = std::make_unique<TcpProxy>(cluster_->Environment("VSWAP_ETCD"));
    cluster_->SetEtcd("frontend/2", proxy_->address());
    cluster_->Kill("frontend/2");
    cluster_->Restart("frontend/2");
    std::string rest = cluster_->frontends();
    for (size_t comma = 0; comma != std::string::npos; rest = rest.substr(comma + 1)) {
      comma = rest.find(',');
      addresses_.push_back(rest.substr(0, comma));
    }
  }
  static void TearDownTestSuite() {
    cluster_ = nullptr;
    proxy_ = nullptr;
  }

  Fencing() {
    EXPECT_TRUE(cluster_->up() && proxy_->listening() && addresses_.size() == kFrontEnds);
    EXPECT_TRUE(PollUntil([] { return AllServe(); }));
  }

  // Whether each front-end says of itself that it serves its part.
  static bool AllServe() {
    for (const std::string& address : addresses_) {
      if (Owned(Line(address).Map(), address) != kShards / kFrontEnds) {
        return false;
      }
    }
    return true;
  }

  static std::unique_ptr<SwapClient> OpenAs(const std::string& holder, const std::string& space) {
    ClientOptions options;
    options.frontend = cluster_->frontends();
    options.space = space;
    options.holder = holder;
    options.take_over = true;
    StatusOr<std::unique_ptr<SwapClient>> client = SwapClient::Open(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }

  static inline std::unique_ptr<LocalCluster> cluster_;
  static inline std::unique_ptr<TcpProxy> proxy_;
  static inline std::vector<std::string> addresses_;
};

// Four slots at the beginning of a stripe, with a backing of each kind at first.
class Stripe {
 public:
  static constexpr uint32_t kSlots = 4;
  struct Asked {
    std::string what;
    v1::ExchangeRequest request;
  };

  Stripe(RawClient& client, Offset offset) : client_(client), offset_(offset) {}

  Offset offset() const { return offset_; }
  ShardId shard() const { return client_.Header(offset_).shard(); }

  // Slot 3 stays without a page.
  v1::ExchangeRequest StoreFirst() const {
    v1::ExchangeRequest request = Store("first", 2);
    v1::StoreRequest& store = *request.mutable_store();
    store.mutable_extents(0)->set_pages(3);
    RawClient::AddPage(store, offset_ + 2, v1::ENCODING_ZERO, TextOf(ZeroPage()), "");
    return request;
  }
  v1::ExchangeRequest Overwrite() const { return Store("new", kSlots); }
  PageBytes NewPages() const {
    PageBytes pages;
    for (uint64_t slot = 0; slot < kSlots; ++slot) {
      const PageBytes page = PageOf("new", slot);
      pages.insert(pages.end(), page.begin(), page.end());
    }
    return pages;
  }
  // Whatever tells of the slots or changes them. What has no page on a node can be told at once.
  std::vector<Asked> Everything() const {
    std::vector<Asked> all(2);
    all[0].what = "backing query";
    *all[0].request.mutable_extents() = QueryOf();
    all[1].what = "load of all";
    *all[1].request.mutable_load() = client_.LoadOf(offset_, kSlots);
    for (const uint64_t slot : {3, 2, 1, 0}) {
      all.push_back({"load of slot " + std::to_string(slot), {}});
      *all.back().request.mutable_load() = client_.LoadOf(offset_ + slot, 1);
    }
    all.push_back({"store", Store("late", 2)});
    all.push_back({"free", {}});
    *all.back().request.mutable_free() = client_.FreeOf(offset_ + 2, 2);
    for (Asked& asked : all) {
      asked.what += " at " + std::to_string(offset_);
    }
    return all;
  }

 private:
  static PageBytes PageOf(const std::string& name, uint64_t slot) {
    return NoisyPage(std::hash<std::string>()(name) + slot,
                     slot % 2 == 0 ? kPageBytes / 4 : kPageBytes);
  }
  v1::ExchangeRequest Store(const std::string& name, uint64_t slots) const {
    std::vector<std::string> pages;
    for (uint64_t slot = 0; slot < slots; ++slot) {
      pages.push_back(TextOf(PageOf(name, slot)));
    }
    v1::ExchangeRequest request;
    *request.mutable_store() = client_.StoreOf(offset_, pages);
    return request;
  }
  v1::ExtentsRequest QueryOf() const {
    v1::ExtentsRequest query;
    *query.mutable_header() = client_.Header(offset_);
    query.mutable_extent()->set_offset(offset_);
    query.mutable_extent()->set_pages(kSlots);
    return query;
  }

  RawClient& client_;
  Offset offset_;
};

// A space of which every front-end owns a part, with a line to each.
class SharedSpace {
 public:
  using Stripes = std::map<std::string, std::vector<Stripe>>;  // by the address of the owner

  SharedSpace(const std::vector<std::string>& front_ends, const std::string& name)
      : client_(front_ends.back(), name, kSpacePages) {
    EXPECT_TRUE(client_.open_status().ok()) << client_.open_status().error_message();
    for (const std::string& address : front_ends) {
      lines_[address] = std::make_unique<Line>(address);
    }
    for (Offset offset = 0; offset < kSpacePages; offset += kStripePages) {
      const Stripe stripe(client_, offset);
      const std::string owner = OwnerIn(client_.open().shard_map(), stripe.shard());
      if (stripes_[owner].size() < kStripesEach) {
        line(owner).Store(stripe.StoreFirst(), "first store");
        stripes_[owner].push_back(stripe);
      }
    }
  }

  RawClient& client() { return client_; }
  Line& line(const std::string& front_end) { return *lines_.at(front_end); }
  const Stripes& stripes() const { return stripes_; }

 private:
  RawClient client_;
  std::map<std::string, std::unique_ptr<Line>> lines_;
  Stripes stripes_;
};

void ExpectNewPages(SwapClient& client, const SharedSpace::Stripes& stripes) {
  PageBytes loaded(Stripe::kSlots * kPageBytes);
  for (const auto& [owner, of_owner] : stripes) {
    for (const Stripe& stripe : of_owner) {
      EXPECT_TRUE(client.Load(stripe.offset(), loaded).AllOk());
      EXPECT_TRUE(loaded == stripe.NewPages()) << stripe.offset();
    }
  }
}

std::string Shown(const v1::ExchangeResponse& answer) {
  return answer.ShortDebugString().substr(0, 200);
}

// A refusal by who does not own the shard.
bool IsNotOwners(v1::ErrorReason reason) {
  return reason == v1::ERROR_REASON_NOT_SERVING || reason == v1::ERROR_REASON_NOT_OWNER ||
         reason == v1::ERROR_REASON_STALE_EPOCH;
}

// frontend/1 may hear at once that its shards are another's; frontend/2, which hears nothing of
// etcd, has its clock and the table logs alone.
TEST_F(Fencing, FrontEndsThatWereStoppedTellNothingOld) {
  SharedSpace space(addresses_, "a");
  Line& heir = space.line(addresses_[2]);
  SharedSpace::Stripes stripes = space.stripes();
  stripes.erase(addresses_[2]);
  std::map<std::string, std::vector<Stripe::Asked>> asked;
  const auto ask = [&](const std::string& epoch) {
    for (const auto& [owner, of_owner] : stripes) {
      EXPECT_EQ(of_owner.size(), kStripesEach);
      for (const Stripe& stripe : of_owner) {
        for (Stripe::Asked& each : stripe.Everything()) {
          asked[owner].push_back({each.what + epoch, std::move(each.request)});
        }
      }
    }
  };
  ask(", old epoch");

  const auto begun = steady_clock::now();
  cluster_->Stop("frontend/1");
  cluster_->Stop("frontend/2");
  proxy_->SwallowAnswers(true);
  ASSERT_TRUE(PollUntil([&] { return Owned(heir.Map(), addresses_[2]) == kShards; }));
  space.client().UseMap(heir.Map());
  for (const auto& [owner, of_owner] : stripes) {
    for (const Stripe& stripe : of_owner) {
      heir.Store(stripe.Overwrite(), "overwriting");
    }
  }
  for (const auto& [owner, requests] : asked) {
    for (const Stripe::Asked& each : requests) {
      v1::ExchangeResponse answer;
      heir.Send(each.request, each.what);
      heir.Receive(&answer);
      EXPECT_EQ(answer.error().reason(), v1::ERROR_REASON_STALE_EPOCH)
          << each.what << " of the new owner: " << Shown(answer);
    }
  }
  ask(", new epoch");
  for (const auto& [owner, requests] : asked) {
    for (const Stripe::Asked& each : requests) {
      space.line(owner).Send(each.request, each.what);
    }
  }
  std::this_thread::sleep_until(begun + kAway);
  cluster_->Continue("frontend/1");
  cluster_->Continue("frontend/2");
  for (const auto& [owner, requests] : asked) {
    for (size_t i = 0; i < requests.size(); ++i) {
      v1::ExchangeResponse answer;
      const std::string what = space.line(owner).Receive(&answer);
      EXPECT_TRUE(IsNotOwners(answer.error().reason()))
          << what << " of " << owner << ": " << Shown(answer);
    }
  }

  proxy_->SwallowAnswers(false);
  const auto reader = OpenAs("reader", "a");
  ASSERT_NE(reader, nullptr);
  ExpectNewPages(*reader, stripes);
  EXPECT_TRUE(PollUntil([] { return AllServe(); }));
  ExpectNewPages(*reader, stripes);
}

// By the front-ends, whatever the client makes of it.
TEST_F(Fencing, AnOldTokenIsRefusedByEveryOwner) {
  SharedSpace space(addresses_, "b");
  const auto holder = OpenAs("another", "b");
  ASSERT_NE(holder, nullptr);
  for (const auto& [owner, of_owner] : space.stripes()) {
    EXPECT_EQ(of_owner.size(), kStripesEach);
    for (const Stripe& stripe : of_owner) {
      EXPECT_TRUE(holder->Store(stripe.offset(), stripe.NewPages()).AllOk());
      for (const Stripe::Asked& each : stripe.Everything()) {
        v1::ExchangeResponse answer;
        space.line(owner).Send(each.request, each.what);
        space.line(owner).Receive(&answer);
        EXPECT_EQ(answer.error().reason(), v1::ERROR_REASON_FENCED)
            << each.what << " of " << owner << ": " << Shown(answer);
      }
    }
  }
  ExpectNewPages(*holder, space.stripes());
}

// space_user, in a pipe.
class SpaceUser {
 public:
  explicit SpaceUser(const std::string& space)
      : output_(popen((std::string("exec ") + SPACE_USER + " " + space).c_str(), "r")) {}
  ~SpaceUser() {
    if (pid > 0) {
      kill(pid, SIGKILL);
    }
    pclose(output_);
  }
  SpaceUser(const SpaceUser&) = delete;
  SpaceUser& operator=(const SpaceUser&) = delete;

  // The next one; empty at the end.
  std::string Line() {
    char line[256] = "";
    return std::fgets(line, sizeof(line), output_) == nullptr ? "" : line;
  }

  pid_t pid = 0;

 private:
  FILE* const output_;
};

TEST_F(Fencing, AClientThatWasStoppedDoesNothingToASpaceThatWasTakenOver) {
  SpaceUser user(cluster_->frontends() + " c");
  user.pid = std::atoi(user.Line().c_str());
  ASSERT_GT(user.pid, 0);
  kill(user.pid, SIGSTOP);
  const auto holder = OpenAs("another", "c");
  ASSERT_NE(holder, nullptr);
  const auto page_of = [](uint64_t call) {
    PageBytes bytes;
    for (uint64_t page = 0; page < kUserCallPages; ++page) {
      const PageBytes one = NoisyPage(call * kUserCallPages + page, kPageBytes / 4);
      bytes.insert(bytes.end(), one.begin(), one.end());
    }
    return bytes;
  };
  for (uint64_t call = 0; call < kUserCalls; ++call) {
    EXPECT_TRUE(holder->Store(UserOffset(call), page_of(call)).AllOk());
  }
  kill(user.pid, SIGCONT);
  EXPECT_EQ(user.Line(), "fenced " + std::to_string(kUserCalls) +
                             ", failed 0, done late 0, wrong 0, fenced then 5 of 5\n");
  PageBytes loaded(kUserCallPages * kPageBytes);
  for (uint64_t call = 0; call < kUserCalls; ++call) {
    EXPECT_TRUE(holder->Load(UserOffset(call), loaded).AllOk());
    EXPECT_TRUE(loaded == page_of(call)) << call;
  }
}

}  // namespace
}  // namespace vswap

#include "services/cluster/remote_node.h"

#include "services/cluster/node_service.h"
#include "services/common/checksum.h"
#include "tests/support/memory_node.h"
#include "tests/support/node_contract.h"

namespace vswap {
namespace {

// A node in memory behind a real server on a port of its own.
class RemoteSetup : public NodeSetup {
 public:
  RemoteSetup() : memory_({.capacity_pages = 100, .overlap_pages = 16}), service_(memory_) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    remote_ = std::make_unique<RemoteNode>(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                               grpc::InsecureChannelCredentials()),
                                           RemoteCallOptions{});
  }
  ~RemoteSetup() override {
    remote_.reset();
    server_->Shutdown();
  }
  Node& node() override { return *remote_; }
  void Damage(const PageName& name) override { EXPECT_TRUE(memory_.FlipByte(name, 5)); }
  MemoryNode& memory() { return memory_; }
  void StopServer() { server_->Shutdown(); }

 private:
  MemoryNode memory_;
  NodeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<RemoteNode> remote_;
};

INSTANTIATE_TEST_SUITE_P(Remote, NodeContract, testing::Values(NodeFactory([] {
                           return std::make_unique<RemoteSetup>();
                         })));

StatusOr<GetReply> Get(Node& node, std::vector<PageName> names) {
  return Await<GetReply>([&](auto done) { node.Get(names, Lane::kDemand, done); });
}

TEST(RemoteNode, BadNamesAreRefusedWithFieldAndRange) {
  RemoteSetup setup;
  const struct {
    std::vector<PageName> names;
    const char* field;
  } cases[] = {
      {{}, "pages is 0, allowed: 1..512"},
      {std::vector<PageName>(513, PageName{1, 1, 1}), "pages is 513, allowed: 1..512"},
      {{{1, 5, 1}, {1, 5, 1}}, "pages is a batch with a name twice"},
      {{{1, uint64_t{1} << 41, 1}}, "offset is 2199023255552, allowed: 0..2^41 - 1"},
      {{{1, 1, 0}}, "version is 0"},
      {{{1, 1, kVersionMax + 1}}, "version is 281474976710656"},
  };
  for (const auto& test : cases) {
    const StatusOr<GetReply> reply = Get(setup.node(), test.names);
    ASSERT_EQ(reply.status().code(), StatusCode::kInvalidArgument) << test.field;
    EXPECT_NE(MessageOf(reply.status()).find(test.field), std::string_view::npos) << reply.status();
  }
}

TEST(RemoteNode, ARecordThatIsNotTheOneAskedForIsCorrupt) {
  RemoteSetup setup;
  NodeCalls(setup.node()).PutRaw(std::vector<PageName>{{1, 1, 1}, {1, 2, 2}});
  ASSERT_TRUE(setup.memory().FlipByte({1, 2, 2}, 0));
  const StatusOr<GetReply> reply = Get(setup.node(), {{1, 1, 1}, {1, 2, 2}});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->pages[0].code, PageCode::kOk);
  EXPECT_EQ(reply->pages[1].code, PageCode::kCorrupt);
}

TEST(RemoteNode, AServerThatIsGoneIsUnavailable) {
  RemoteSetup setup;
  setup.StopServer();
  EXPECT_EQ(Get(setup.node(), {{1, 1, 1}}).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace vswap

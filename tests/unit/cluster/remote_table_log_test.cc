#include "services/cluster/node_service.h"
#include "services/cluster/remote_node.h"
#include "tests/support/memory_table_log.h"
#include "tests/support/table_log_contract.h"

namespace vswap {
namespace {

// A log in memory behind a real server on a port of its own.
class RemoteSetup : public TableLogSetup {
 public:
  RemoteSetup() : service_(memory_) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    remote_ =
        std::make_unique<RemoteTableLog>(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                             grpc::InsecureChannelCredentials()),
                                         RemoteCallOptions{});
  }
  ~RemoteSetup() override {
    remote_.reset();
    server_->Shutdown();
  }
  TableLog& log() override { return *remote_; }
  bool ordered() const override { return false; }

 private:
  MemoryTableLog memory_;
  TableLogService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<RemoteTableLog> remote_;
};

INSTANTIATE_TEST_SUITE_P(Remote, TableLogContract, testing::Values(TableLogFactory([] {
                           return std::make_unique<RemoteSetup>();
                         })));

}  // namespace
}  // namespace vswap

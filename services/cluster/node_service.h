#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"
#include "vswap/v1/node.grpc.pb.h"
#include "vswap/v1/tablelog.grpc.pb.h"

namespace vswap {

// vswap.v1.NodeService in front of any node body. Thread-safe; the node is borrowed.
class NodeService : public v1::NodeService::CallbackService {
 public:
  explicit NodeService(Node& node) : node_(node) {}
  // Until it is, it is silent to those who ask how it is: who took it for one that never was away
  // would not look for what has become of its data.
  void SetRegistered(bool registered) { registered_ = registered; }

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* Put(Context* context, const v1::PutRequest* request, v1::PutResponse* response) override;
  Reactor* Get(Context* context, const v1::GetRequest* request, v1::GetResponse* response) override;
  Reactor* Delete(Context* context, const v1::DeleteRequest* request,
                  v1::DeleteResponse* response) override;
  Reactor* Inventory(Context* context, const v1::InventoryRequest* request,
                     v1::InventoryResponse* response) override;
  Reactor* Verify(Context* context, const v1::VerifyRequest* request,
                  v1::VerifyResponse* response) override;
  Reactor* Statistics(Context* context, const v1::StatisticsRequest* request,
                      v1::StatisticsResponse* response) override;

 private:
  Node& node_;
  std::atomic<bool> registered_{true};
};

// vswap.v1.TableLogService in front of any table log body. Thread-safe; the log is borrowed.
class TableLogService : public v1::TableLogService::CallbackService {
 public:
  explicit TableLogService(TableLog& log) : log_(log) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* Write(Context* context, const v1::WriteRequest* request,
                 v1::WriteResponse* response) override;
  Reactor* Seal(Context* context, const v1::SealRequest* request,
                v1::SealResponse* response) override;
  Reactor* Read(Context* context, const v1::ReadRequest* request,
                v1::ReadResponse* response) override;

 private:
  TableLog& log_;
};

}  // namespace vswap

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>

#include "services/cluster/node.h"
#include "services/cluster/table_log.h"
#include "vswap/v1/node.grpc.pb.h"
#include "vswap/v1/tablelog.grpc.pb.h"

namespace vswap {

struct RemoteCallOptions {
  std::chrono::milliseconds timeout{5000};  // of one call; then its effect is unknown
};

// A node in another process, over gRPC. Each record that comes back is verified against the name
// asked for.
//
// Thread-safe; callbacks run on gRPC's threads. All calls must have been answered before it is
// destroyed. Bad at: many small calls (one unary call each).
class RemoteNode : public Node {
 public:
  RemoteNode(const std::shared_ptr<grpc::Channel>& channel, RemoteCallOptions options)
      : stub_(v1::NodeService::NewStub(channel)), options_(options) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override;
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override;
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override;
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override;
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override;
  void Statistics(Callback<NodeStatistics> done) override;

 private:
  const std::unique_ptr<v1::NodeService::Stub> stub_;
  const RemoteCallOptions options_;
};

// A table-log replica in another process. As RemoteNode.
class RemoteTableLog : public TableLog {
 public:
  RemoteTableLog(const std::shared_ptr<grpc::Channel>& channel, RemoteCallOptions options)
      : stub_(v1::TableLogService::NewStub(channel)), options_(options) {}

  void Write(LogWrite write, Callback<bool> done) override;
  void Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) override;
  void Read(ShardId shard, std::string cursor, uint32_t limit,
            Callback<LogReadReply> done) override;

 private:
  const std::unique_ptr<v1::TableLogService::Stub> stub_;
  const RemoteCallOptions options_;
};

}  // namespace vswap

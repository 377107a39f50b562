#include "services/cluster/remote_node.h"

#include "services/cluster/node_wire.h"
#include "services/cluster/unary_call.h"

namespace vswap {
namespace {

v1::GetRequest ToGetRequest(const std::vector<PageName>& names, Lane lane) {
  v1::GetRequest request;
  request.set_lane(static_cast<v1::Lane>(lane));
  for (const PageName& name : names) {
    FillName(name, request.add_names());
  }
  return request;
}

NodeStatistics ToStatistics(const v1::StatisticsResponse& response) {
  return {.incarnation = response.incarnation(),
          .pages = response.pages(),
          .pages_capacity = response.pages_capacity(),
          .payload_bytes = response.payload_bytes(),
          .used_bytes = response.used_bytes(),
          .capacity_bytes = response.capacity_bytes(),
          .occupied_bytes = response.occupied_bytes(),
          .corrupt_pages = response.corrupt_pages(),
          .background_errors = response.background_errors()};
}

}  // namespace

using NodeAsync = v1::NodeService::StubInterface::async_interface;
using LogAsync = v1::TableLogService::StubInterface::async_interface;

void RemoteNode::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  v1::PutRequest request = ToRequest(pages);
  request.set_lane(static_cast<v1::Lane>(lane));
  SendUnary<NodeAsync, v1::PutRequest, v1::PutResponse>(
      stub_->async(), &NodeAsync::Put, std::move(request), options_.timeout,
      [count = pages.size(), done = std::move(done)](const Status& status,
                                                     const v1::PutResponse& response) {
        done(status.ok() ? ToReply(response, count) : StatusOr<PutReply>(status));
      });
}

void RemoteNode::Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) {
  v1::GetRequest request = ToGetRequest(names, lane);
  SendUnary<NodeAsync, v1::GetRequest, v1::GetResponse>(
      stub_->async(), &NodeAsync::Get, std::move(request), options_.timeout,
      [names = std::move(names), done = std::move(done)](const Status& status,
                                                         const v1::GetResponse& response) {
        done(status.ok() ? ToReply(response, names) : StatusOr<GetReply>(status));
      });
}

void RemoteNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  v1::DeleteRequest request;
  for (const PageName& name : names) {
    FillName(name, request.add_names());
  }
  SendUnary<NodeAsync, v1::DeleteRequest, v1::DeleteResponse>(
      stub_->async(), &NodeAsync::Delete, std::move(request), options_.timeout,
      [done = std::move(done)](const Status& status, const v1::DeleteResponse& response) {
        done(status.ok() ? response.incarnation() : StatusOr<Incarnation>(status));
      });
}

void RemoteNode::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  v1::InventoryRequest request;
  request.set_cursor(std::move(cursor));
  request.set_limit(limit);
  SendUnary<NodeAsync, v1::InventoryRequest, v1::InventoryResponse>(
      stub_->async(), &NodeAsync::Inventory, std::move(request), options_.timeout,
      [done = std::move(done)](const Status& status, const v1::InventoryResponse& response) {
        if (!status.ok()) {
          return done(status);
        }
        done(ToReply(response));
      });
}

void RemoteNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  v1::VerifyRequest request;
  for (const PageName& name : names) {
    FillName(name, request.add_names());
  }
  SendUnary<NodeAsync, v1::VerifyRequest, v1::VerifyResponse>(
      stub_->async(), &NodeAsync::Verify, std::move(request), options_.timeout,
      [count = names.size(), done = std::move(done)](const Status& status,
                                                     const v1::VerifyResponse& response) {
        done(status.ok() ? ToReply(response, count) : StatusOr<VerifyReply>(status));
      });
}

void RemoteNode::Statistics(Callback<NodeStatistics> done) {
  SendUnary<NodeAsync, v1::StatisticsRequest, v1::StatisticsResponse>(
      stub_->async(), &NodeAsync::Statistics, {}, options_.timeout,
      [done = std::move(done)](const Status& status, const v1::StatisticsResponse& response) {
        done(status.ok() ? ToStatistics(response) : StatusOr<NodeStatistics>(status));
      });
}

void RemoteTableLog::Write(LogWrite write, Callback<bool> done) {
  SendUnary<LogAsync, v1::WriteRequest, v1::WriteResponse>(
      stub_->async(), &LogAsync::Write, ToRequest(write), options_.timeout,
      [done = std::move(done)](const Status& status, const v1::WriteResponse&) {
        done(status.ok() ? StatusOr<bool>(true) : status);
      });
}

void RemoteTableLog::Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) {
  v1::SealRequest request;
  request.set_shard(shard);
  request.set_epoch(epoch);
  SendUnary<LogAsync, v1::SealRequest, v1::SealResponse>(
      stub_->async(), &LogAsync::Seal, std::move(request), options_.timeout,
      [done = std::move(done)](const Status& status, const v1::SealResponse& response) {
        done(status.ok() ? ToLogEnd(response) : StatusOr<LogEnd>(status));
      });
}

void RemoteTableLog::Read(ShardId shard, std::string cursor, uint32_t limit,
                          Callback<LogReadReply> done) {
  v1::ReadRequest request;
  request.set_shard(shard);
  request.set_cursor(std::move(cursor));
  request.set_limit(limit);
  SendUnary<LogAsync, v1::ReadRequest, v1::ReadResponse>(
      stub_->async(), &LogAsync::Read, std::move(request), options_.timeout,
      [done = std::move(done)](const Status& status, const v1::ReadResponse& response) {
        done(status.ok() ? ToReply(response) : StatusOr<LogReadReply>(status));
      });
}

}  // namespace vswap

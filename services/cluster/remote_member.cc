#include "services/cluster/remote_member.h"

#include <utility>

namespace vswap {
namespace {

constexpr int kReconnectMsMax = 500;
constexpr int kReconnectMsMin = 50;

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else the two would share one
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMsMin);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMsMax);
  arguments.SetMaxReceiveMessageSize(2 * static_cast<int>(kMessageBytesMax));
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Keeps the end alive until the call has been answered.
template <typename End, typename T>
Callback<T> Holding(std::shared_ptr<End> end, Callback<T> done) {
  return [end = std::move(end), done = std::move(done)](StatusOr<T> answer) {
    done(std::move(answer));
  };
}

}  // namespace

void RemoteMember::SetAddress(std::string address) {
  MutexLock lock(mutex_);
  if (end_ != nullptr && address == address_) {
    return;
  }
  address_ = std::move(address);
  end_ = std::shared_ptr<End>(new End{{Connect(address_), {}}, {Connect(address_), {}}});
}

std::shared_ptr<RemoteMember::End> RemoteMember::Now() {
  MutexLock lock(mutex_);
  return end_;
}

void RemoteMember::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  const auto end = Now();
  end->node.Put(std::move(pages), lane, Holding(end, std::move(done)));
}

void RemoteMember::Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) {
  const auto end = Now();
  end->node.Get(std::move(names), lane, Holding(end, std::move(done)));
}

void RemoteMember::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  const auto end = Now();
  end->node.Delete(std::move(names), Holding(end, std::move(done)));
}

void RemoteMember::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  const auto end = Now();
  end->node.Inventory(std::move(cursor), limit, Holding(end, std::move(done)));
}

void RemoteMember::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  const auto end = Now();
  end->node.Verify(std::move(names), Holding(end, std::move(done)));
}

void RemoteMember::Statistics(Callback<NodeStatistics> done) {
  const auto end = Now();
  end->node.Statistics(Holding(end, std::move(done)));
}

void RemoteMember::Write(LogWrite write, Callback<bool> done) {
  const auto end = Now();
  end->log.Write(std::move(write), Holding(end, std::move(done)));
}

void RemoteMember::Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) {
  const auto end = Now();
  end->log.Seal(shard, epoch, Holding(end, std::move(done)));
}

void RemoteMember::Read(ShardId shard, std::string cursor, uint32_t limit,
                        Callback<LogReadReply> done) {
  const auto end = Now();
  end->log.Read(shard, std::move(cursor), limit, Holding(end, std::move(done)));
}

}  // namespace vswap

#include "client/bench/bench_bodies.h"

namespace vswap::bench {

void NoTableLog::Write(LogWrite, Callback<bool> done) { done(true); }

void NoTableLog::Seal(ShardId, Epoch, Callback<LogEnd> done) { done(LogEnd()); }

void NoTableLog::Read(ShardId, std::string, uint32_t, Callback<LogReadReply> done) {
  done(LogReadReply());
}

void CountingNode::Put(std::vector<PutPage> pages, Lane, Callback<PutReply> done) {
  pages_ += pages.size();
  done(
      PutReply{kIncarnation, std::vector<PutOutcome>(pages.size(), {PageCode::kOk, kStoredBytes})});
}

void CountingNode::Get(std::vector<PageName> names, Lane, Callback<GetReply> done) {
  GetReply reply{kIncarnation, {}, std::vector<std::byte>(names.size() * kStoredBytes)};
  for (size_t i = 0; i < names.size(); ++i) {
    GotPage page;
    page.code = PageCode::kOk;
    page.encoding = Encoding::kLz4;
    page.stored_bytes = kStoredBytes;
    page.begin = static_cast<uint32_t>(i * kStoredBytes);
    reply.pages.push_back(page);
  }
  done(std::move(reply));
}

void CountingNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  pages_ -= names.size();
  done(kIncarnation);
}

void CountingNode::Inventory(std::string, uint32_t, Callback<InventoryReply> done) {
  done(InventoryReply{kIncarnation, {}, ""});
}

void CountingNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  done(VerifyReply{kIncarnation, std::vector<PageCode>(names.size(), PageCode::kOk)});
}

void CountingNode::Statistics(Callback<NodeStatistics> done) {
  NodeStatistics statistics;
  statistics.incarnation = kIncarnation;
  statistics.pages = pages_;
  done(statistics);
}

}  // namespace vswap::bench

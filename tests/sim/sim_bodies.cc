#include "tests/sim/sim_bodies.h"

#include "services/frontend/backing.h"

namespace vswap {
namespace {

std::string Text(const PageName& name) {
  return " " + std::to_string(name.space) + ":" + std::to_string(name.offset) + "@" +
         std::to_string(name.version);
}

std::string Text(const std::vector<PageName>& names) {
  std::string text;
  for (const PageName& name : names) {
    text += Text(name);
  }
  return text;
}

std::string Text(const LogWrite& write) {
  std::string text = "shard " + std::to_string(write.shard) + " epoch " +
                     std::to_string(write.epoch) + " sequence " + std::to_string(write.sequence) +
                     ":";
  for (const SlotRecord& slot : write.slots) {
    const Word word(slot.word);
    text += Text(PageName{slot.space, slot.offset, word.version()}) + " kind " +
            std::to_string(static_cast<int>(word.kind())) + " set " + std::to_string(word.set());
  }
  return text;
}

}  // namespace

void SimNode::Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) {
  // The bytes are borrowed until the answer, and a copy of the request may come after it.
  const auto bytes = std::make_shared<std::vector<std::vector<std::byte>>>();
  for (PutPage& page : pages) {
    bytes->emplace_back(page.bytes.begin(), page.bytes.end());
    page.bytes = bytes->back();
  }
  network_.Call<PutReply>(
      "put", from_, server_.process,
      [&network = network_, &server = server_, on_put = on_put_, pages = std::move(pages), bytes,
       lane](Callback<PutReply> answer) {
        for (const PutPage& page : pages) {
          network.Detail([&] { return "page" + Text(page.name); });
          on_put(page);
        }
        server.node().Put(pages, lane, std::move(answer));
      },
      std::move(done));
}

void SimNode::Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) {
  network_.Call<GetReply>(
      "get", from_, server_.process,
      [&network = network_, &server = server_, names = std::move(names),
       lane](Callback<GetReply> answer) {
        network.Detail([&] { return "pages" + Text(names); });
        server.node().Get(names, lane, std::move(answer));
      },
      std::move(done));
}

void SimNode::Delete(std::vector<PageName> names, Callback<Incarnation> done) {
  network_.Call<Incarnation>(
      "delete", from_, server_.process,
      [&network = network_, &server = server_,
       names = std::move(names)](Callback<Incarnation> answer) {
        network.Detail([&] { return "pages" + Text(names); });
        server.node().Delete(names, std::move(answer));
      },
      std::move(done));
}

void SimNode::Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) {
  network_.Call<InventoryReply>(
      "inventory", from_, server_.process,
      [&server = server_, cursor = std::move(cursor), limit](Callback<InventoryReply> answer) {
        server.node().Inventory(cursor, limit, std::move(answer));
      },
      std::move(done));
}

void SimNode::Verify(std::vector<PageName> names, Callback<VerifyReply> done) {
  network_.Call<VerifyReply>(
      "verify", from_, server_.process,
      [&server = server_, names = std::move(names)](Callback<VerifyReply> answer) {
        server.node().Verify(names, std::move(answer));
      },
      std::move(done));
}

void SimNode::Statistics(Callback<NodeStatistics> done) {
  network_.Call<NodeStatistics>(
      "statistics", from_, server_.process,
      [&server = server_](Callback<NodeStatistics> answer) {
        server.node().Statistics(std::move(answer));
      },
      std::move(done));
}

void SimTableLog::Write(LogWrite write, Callback<bool> done) {
  network_.Call<bool>(
      "log write", from_, server_.process,
      [&network = network_, &server = server_, on_accepted = on_accepted_,
       write = std::move(write)](Callback<bool> answer) {
        network.Detail([&] { return Text(write); });
        server.table_log().Write(write, [on_accepted, write, answer = std::move(answer)](
                                            const StatusOr<bool>& accepted) {
          if (accepted.ok()) {
            on_accepted(write);
          }
          answer(accepted);
        });
      },
      std::move(done));
}

void SimTableLog::Seal(ShardId shard, Epoch epoch, Callback<LogEnd> done) {
  network_.Call<LogEnd>(
      "log seal", from_, server_.process,
      [&server = server_, shard, epoch](Callback<LogEnd> answer) {
        server.table_log().Seal(shard, epoch, std::move(answer));
      },
      std::move(done));
}

void SimTableLog::Read(ShardId shard, std::string cursor, uint32_t limit,
                       Callback<LogReadReply> done) {
  network_.Call<LogReadReply>(
      "log read", from_, server_.process,
      [&server = server_, shard, cursor = std::move(cursor), limit](Callback<LogReadReply> answer) {
        server.table_log().Read(shard, cursor, limit, std::move(answer));
      },
      std::move(done));
}

}  // namespace vswap

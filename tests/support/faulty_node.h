#pragma once

#include "services/cluster/node.h"
#include "tests/support/fault_script.h"

namespace vswap {

// A node in front of any other one, as a FaultScript says. Corrupt puts arrive damaged; corrupt
// gets are answered damaged, with the code OK: what an honest body checks itself, and what its
// caller must not rely on where it destroys something. Thread-safe.
class FaultyNode : public Node {
 public:
  FaultyNode(FaultScript& script, Node& node) : script_(script), node_(node) {}

  void Put(std::vector<PutPage> pages, Lane lane, Callback<PutReply> done) override {
    if (script_.transparent()) {
      return node_.Put(std::move(pages), lane, std::move(done));
    }
    // The bytes are borrowed until the answer, and the message may come later.
    const auto bytes = std::make_shared<std::vector<std::vector<std::byte>>>();
    for (PutPage& page : pages) {
      bytes->emplace_back(page.bytes.begin(), page.bytes.end());
      page.bytes = bytes->back();
    }
    script_.Pass<PutReply>(
        CallKind::kPut,
        [this, pages = std::move(pages), bytes, lane](Fault fault,
                                                      const Callback<PutReply>& answer) {
          std::vector<PutPage> arrived = pages;
          if (fault == Fault::kCorruptBytes) {
            bytes->back()[bytes->back().size() / 2] ^= std::byte{1};
          } else if (fault == Fault::kCorruptFields) {
            arrived.back().page_checksum ^= 1;
          }
          node_.Put(std::move(arrived), lane,
                    [bytes, answer](StatusOr<PutReply> reply) { answer(std::move(reply)); });
        },
        std::move(done),
        [](Fault fault, PutReply& reply) {
          Damage(fault, &reply.incarnation);
          if (fault == Fault::kShort) {
            reply.pages.pop_back();
          }
        });
  }
  void Get(std::vector<PageName> names, Lane lane, Callback<GetReply> done) override {
    script_.Pass<GetReply>(
        CallKind::kGet,
        [this, names = std::move(names), lane](Fault, Callback<GetReply> answer) {
          node_.Get(names, lane, std::move(answer));
        },
        std::move(done),
        [](Fault fault, GetReply& reply) {
          Damage(fault, &reply.incarnation);
          if (fault == Fault::kShort) {
            reply.pages.pop_back();
          } else if (fault == Fault::kCorruptBytes && !reply.payload.empty()) {
            reply.payload[reply.payload.size() / 2] ^= std::byte{1};
          } else if (fault == Fault::kCorruptFields) {
            reply.pages.back().stamp.sequence ^= 1;
          }
        });
  }
  void Delete(std::vector<PageName> names, Callback<Incarnation> done) override {
    script_.Pass<Incarnation>(
        CallKind::kDelete,
        [this, names = std::move(names)](Fault, Callback<Incarnation> answer) {
          node_.Delete(names, std::move(answer));
        },
        std::move(done), [](Fault fault, Incarnation& reply) { Damage(fault, &reply); });
  }
  void Inventory(std::string cursor, uint32_t limit, Callback<InventoryReply> done) override {
    script_.Pass<InventoryReply>(
        CallKind::kInventory,
        [this, cursor = std::move(cursor), limit](Fault, Callback<InventoryReply> answer) {
          node_.Inventory(cursor, limit, std::move(answer));
        },
        std::move(done),
        [](Fault fault, InventoryReply& reply) {
          Damage(fault, &reply.incarnation);
          if (reply.names.empty()) {
            return;
          }
          if (fault == Fault::kShort) {
            reply.names.pop_back();
          } else if (fault == Fault::kCorruptFields) {
            reply.names.back().version ^= 1;
          }
        });
  }
  void Verify(std::vector<PageName> names, Callback<VerifyReply> done) override {
    script_.Pass<VerifyReply>(
        CallKind::kVerify,
        [this, names = std::move(names)](Fault, Callback<VerifyReply> answer) {
          node_.Verify(names, std::move(answer));
        },
        std::move(done),
        [](Fault fault, VerifyReply& reply) {
          Damage(fault, &reply.incarnation);
          if (fault == Fault::kShort) {
            reply.codes.pop_back();
          }
        });
  }
  void Statistics(Callback<NodeStatistics> done) override { node_.Statistics(std::move(done)); }

 private:
  static void Damage(Fault fault, Incarnation* incarnation) {
    *incarnation += fault == Fault::kOtherIncarnation;
  }

  FaultScript& script_;
  Node& node_;
};

}  // namespace vswap

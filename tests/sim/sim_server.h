#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "services/frontend/placement.h"
#include "tests/sim/sim_process.h"
#include "tests/support/memory_node.h"
#include "tests/support/memory_table_log.h"

namespace vswap {

// One compressor or store: a process, and the data that outlive it.
struct SimServer {
  SimServer(ManualExecutor& world, const Placement::NodeInfo& node_info, uint64_t process_id,
            uint64_t seed, const MemoryNode::Options& options)
      : info(node_info),
        process(world, node_info.name, process_id, seed),
        memory(options),
        log(std::make_unique<MemoryTableLog>(nullptr, node_info.incarnation)),
        log_incarnation(node_info.incarnation),
        newest_incarnation_(node_info.incarnation) {}

  // All data goes; what comes next is another incarnation's.
  void LoseAll() {
    for (const PageName& name : memory.Names()) {
      memory.Drop(name);
    }
    info.incarnation = ++newest_incarnation_;
    memory.SetIncarnation(info.incarnation);
    log_incarnation = info.incarnation;
    log = std::make_unique<MemoryTableLog>(nullptr, log_incarnation);
  }
  // The table log goes, and the data stay. `as_another`: incarnation.
  void LoseLog(bool as_another) {
    log_incarnation = as_another ? ++newest_incarnation_ : log_incarnation;
    log = std::make_unique<MemoryTableLog>(nullptr, log_incarnation);
  }

  Placement::NodeInfo info;  // without a node, and as it is meant to be registered
  SimProcess process;
  MemoryNode memory;
  std::unique_ptr<MemoryTableLog> log;
  Incarnation log_incarnation;
  std::unique_ptr<MemoryNode> stranger;  // answers in its place, as another incarnation
  // What answers: these, or bodies with a planted bug in front of them.
  std::unique_ptr<Node> planted_node;
  std::unique_ptr<TableLog> planted_log;
  Node& node() {
    return stranger       ? static_cast<Node&>(*stranger)
           : planted_node ? *planted_node
                          : static_cast<Node&>(memory);
  }
  TableLog& table_log() { return planted_log ? *planted_log : static_cast<TableLog&>(*log); }

 private:
  Incarnation newest_incarnation_;
};

// Whether each name stands for one page only, over all nodes and owners. Thread-confined.
class VersionLedger {
 public:
  // False: the name was another page's.
  bool Note(const PutPage& page) {
    const Page put{page.stamp, page.page_checksum};
    return pages_.try_emplace(page.name, put).first->second == put;
  }

 private:
  using Page = std::pair<Stamp, uint32_t>;
  std::map<PageName, Page> pages_;
};

}  // namespace vswap

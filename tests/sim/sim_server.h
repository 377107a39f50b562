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
        log(std::make_unique<MemoryTableLog>(nullptr, node_info.incarnation)) {}

  // All data goes; what comes next is another incarnation's.
  void LoseAll() {
    for (const PageName& name : memory.Names()) {
      memory.Drop(name);
    }
    memory.SetIncarnation(++info.incarnation);
    log = std::make_unique<MemoryTableLog>(nullptr, info.incarnation);
  }

  Placement::NodeInfo info;  // without a node, and as it is meant to be registered
  SimProcess process;
  MemoryNode memory;
  std::unique_ptr<MemoryTableLog> log;
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

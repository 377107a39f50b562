#include "tests/support/node_contract.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

class RocksdbSetup : public NodeSetup {
 public:
  Node& node() override { return store_.node(); }

 private:
  StoreSetup store_{{100, 16}};
};

INSTANTIATE_TEST_SUITE_P(Rocksdb, NodeContract, testing::Values(NodeFactory([] {
                           return std::make_unique<RocksdbSetup>();
                         })));

}  // namespace
}  // namespace vswap

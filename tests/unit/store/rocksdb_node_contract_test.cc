#include "services/store/record_format.h"
#include "tests/support/node_contract.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

class RocksdbSetup : public NodeSetup {
 public:
  Node& node() override { return store_.node(); }
  void Damage(const PageName& name) override {
    StoreDb& store = store_.store();
    const PageKey key = EncodePageKey(name);
    std::string value;
    ASSERT_TRUE(store.db().Get({}, store.pages(), AsSlice(key), &value).ok());
    value.back() = static_cast<char>(value.back() ^ 1);
    ASSERT_TRUE(store.db().Put({}, store.pages(), AsSlice(key), value).ok());
  }

 private:
  StoreSetup store_{{100, 16}};
};

INSTANTIATE_TEST_SUITE_P(Rocksdb, NodeContract, testing::Values(NodeFactory([] {
                           return std::make_unique<RocksdbSetup>();
                         })));

}  // namespace
}  // namespace vswap

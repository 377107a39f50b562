#include "services/compressor/compressor_node.h"
#include "tests/support/node_contract.h"
#include "tests/unit/compressor/arena_bytes.h"
#include "tests/unit/compressor/arena_fixture.h"

namespace vswap {
namespace {

class CompressorNodeSetup : public NodeSetup {
 public:
  ~CompressorNodeSetup() override { pool_.Stop(); }
  Node& node() override { return node_; }
  void Damage(const PageName& name) override {
    const ArenaBytes file(arena_.options.path);
    uint32_t slot = 0;
    while (file.Header(slot).name() != name) {
      ++slot;
    }
    file.Flip(ArenaBytes::BlockAt(file.Header(slot).blocks[0]) + 5);
  }

 private:
  ArenaSetup arena_;
  ThreadPool pool_{2};
  CompressorNode node_{arena_.arena(), pool_};
};

INSTANTIATE_TEST_SUITE_P(Compressor, NodeContract, testing::Values(NodeFactory([] {
                           return std::make_unique<CompressorNodeSetup>();
                         })));

}  // namespace
}  // namespace vswap

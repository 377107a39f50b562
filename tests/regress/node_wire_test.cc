#include "services/cluster/node_wire.h"

#include <gtest/gtest.h>

#include "tests/support/pages.h"

namespace vswap {
namespace {

// Found while writing fuzz_node_wire: 257 was taken for 1, raw.
TEST(NodeWireRegress, AnEncodingBeyondAByteIsNotAnotherOne) {
  const OwnedPage page = RawPage({1, 2, 3}, true);
  v1::PutRequest request = ToRequest({page.put});
  request.mutable_pages_info(0)->mutable_record()->set_encoding(static_cast<v1::Encoding>(257));
  const StatusOr<std::vector<PutPage>> pages = ToPutPages(request);
  ASSERT_TRUE(pages.ok());
  EXPECT_EQ(pages->front().encoding, Encoding::kUnset);
}

// Found by fuzz_node_wire: a length of 65537 was taken for 1.
TEST(NodeWireRegress, AStoredLengthBeyondAPageIsNoAnswer) {
  for (const uint32_t length : {0u, 4097u, 65537u}) {
    v1::PutResponse response;
    response.set_codes("\1");
    response.add_lengths(length);
    EXPECT_EQ(ToReply(response, 1).status().code(), StatusCode::kInternal) << length;
  }
}

}  // namespace
}  // namespace vswap

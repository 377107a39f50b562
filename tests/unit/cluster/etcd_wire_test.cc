#include "services/cluster/etcd_wire.h"

#include <gtest/gtest.h>

namespace vswap {
namespace {

TEST(EtcdWire, EndpointsAreHostsWithPorts) {
  const auto endpoints = ParseEtcdEndpoints("etcd-0.etcd:2379,127.0.0.1:1,[::1]:65535");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  EXPECT_EQ(*endpoints,
            (std::vector<std::string>{"etcd-0.etcd:2379", "127.0.0.1:1", "[::1]:65535"}));
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536", "host:1,", ",host:1",
                          "http://host:1", "host:1, host:2x"}) {
    EXPECT_EQ(ParseEtcdEndpoints(bad).status().code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(EtcdWire, ARangeEndsBehindItsPrefix) {
  const std::string zero(1, '\0');
  EXPECT_EQ(RangeOf("nodes/").key, "nodes/");
  EXPECT_EQ(RangeOf("nodes/").end, "nodes0");
  EXPECT_EQ(RangeOf("a\xff\xff").end, "b");
  EXPECT_EQ(RangeOf("\xff").end, zero);
  EXPECT_EQ(RangeOf("\x7f").end, "\x80");
  EXPECT_EQ(RangeOf("").key, zero);
  EXPECT_EQ(RangeOf("").end, zero);
}

TEST(EtcdWire, TimesAreWholeSecondsAndNotShorter) {
  EXPECT_EQ(ToSeconds(std::chrono::nanoseconds(1)), 1);
  EXPECT_EQ(ToSeconds(std::chrono::seconds(3)), 3);
  EXPECT_EQ(ToSeconds(std::chrono::milliseconds(3001)), 4);
}

// The numbers are etcd's: what is written here was read from its API, not from our messages.
TEST(EtcdWire, ATransactionHasEtcdsFieldNumbers) {
  const etcdserverpb::TxnRequest request = ToTxn("r/", {{{"c", 5}}, {{"p", "v", 7}}, {"d"}});
  const std::string compare("\x0a\x09\x10\x02\x1a\x03r/c\x30\x05", 11);
  const std::string put("\x12\x0c\x12\x0a\x0a\x03r/p\x12\x01v\x18\x07", 14);
  const std::string erase("\x12\x07\x1a\x05\x0a\x03r/d", 9);
  EXPECT_EQ(request.SerializeAsString(), compare + put + erase);
}

TEST(EtcdWire, EventsBeforeTheRevisionAskedForAreDropped) {
  etcdserverpb::WatchResponse response;
  for (const int64_t revision : {4, 5, 6}) {
    mvccpb::Event* const event = response.add_events();
    event->set_type(revision == 6 ? mvccpb::Event::DELETE : mvccpb::Event::PUT);
    event->mutable_kv()->set_key("r/a");
    event->mutable_kv()->set_value(std::to_string(revision));
    event->mutable_kv()->set_mod_revision(revision);
  }
  const auto events = ToEvents("r/", 5, response);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].key, "a");
  EXPECT_EQ(events[0].value, "5");
  EXPECT_EQ(events[1].value, std::nullopt);
  EXPECT_EQ(events[1].revision, 6u);
}

TEST(EtcdWire, MessagesNameAFewKeys) {
  EXPECT_EQ(KeysOf({{{"c", 0}}, {}, {}}), "c");
  EXPECT_EQ(KeysOf({{{"c", 0}}, {{"a", ""}}, {"b"}}), "a, b");
  EXPECT_EQ(KeysOf({{}, {}, {"a", "b", "c", "d", "e"}}), "a, b, c and 2 more");
}

}  // namespace
}  // namespace vswap

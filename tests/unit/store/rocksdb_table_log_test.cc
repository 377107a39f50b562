#include "services/store/rocksdb_table_log.h"

#include "services/store/log_format.h"
#include "tests/support/table_log_contract.h"
#include "tests/unit/store/fault_env.h"
#include "tests/unit/store/store_fixture.h"

namespace vswap {
namespace {

class RocksdbSetup : public TableLogSetup {
 public:
  explicit RocksdbSetup(bool sync) {
    store_.options.sync_log = sync;
    opened_ = store_.Reopen();
    log_ = std::make_unique<RocksdbTableLog>(store_.store(), store_.pool());
  }
  ~RocksdbSetup() override { store_.pool().Stop(); }
  TableLog& log() override { return *log_; }

 private:
  StoreSetup store_;
  Status opened_;
  std::unique_ptr<RocksdbTableLog> log_;
};

INSTANTIATE_TEST_SUITE_P(Rocksdb, TableLogContract, testing::Values(TableLogFactory([] {
                           return std::make_unique<RocksdbSetup>(false);
                         })));
INSTANTIATE_TEST_SUITE_P(RocksdbSynced, TableLogContract, testing::Values(TableLogFactory([] {
                           return std::make_unique<RocksdbSetup>(true);
                         })));

class RocksdbTableLogTest : public testing::Test {
 protected:
  ~RocksdbTableLogTest() override { store_.pool().Stop(); }
  Status Write(Epoch epoch, Sequence sequence, std::vector<SlotRecord> slots = {}) {
    LogWrite write;
    write.shard = 2;
    write.epoch = epoch;
    write.sequence = sequence;
    write.slots = std::move(slots);
    write.tokens = {{1, sequence}};
    write.versions_reserved = 100 * sequence;
    return Await<bool>([&](auto done) { log_->Write(write, done); }).status();
  }
  StatusOr<LogEnd> Seal(Epoch epoch) {
    return Await<LogEnd>([&](auto done) { log_->Seal(2, epoch, done); });
  }
  StatusOr<LogReadReply> Read() {
    return Await<LogReadReply>([&](auto done) { log_->Read(2, "", 100, done); });
  }
  void Reopen() {
    store_.Drop();
    const Status opened = store_.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    log_ = std::make_unique<RocksdbTableLog>(store_.store(), store_.pool());
  }
  // Flips a bit in the value of a key, as a bad memory would before RocksDB's own checksum.
  void Damage(const std::string& key) {
    std::string value;
    ASSERT_TRUE(store_.store().db().Get({}, store_.store().log(), key, &value).ok());
    value[1] = static_cast<char>(value[1] ^ 4);
    ASSERT_TRUE(store_.store().db().Put({}, store_.store().log(), key, value).ok());
  }
  template <size_t kBytes>
  static std::string Text(const std::array<char, kBytes>& bytes) {
    return {bytes.data(), kBytes};
  }

  FaultEnv disk_;
  StoreSetup store_;
  std::unique_ptr<RocksdbTableLog> log_ =
      std::make_unique<RocksdbTableLog>(store_.store(), store_.pool());
};

TEST_F(RocksdbTableLogTest, EverythingOutlivesADrop) {
  ASSERT_TRUE(Write(3, 1, {{1, 7, 70, 700}}).ok());
  ASSERT_TRUE(Write(3, 2, {{1, 8, 80, 800}}).ok());
  Reopen();
  EXPECT_EQ(Read()->slots, (std::vector<SlotRecord>{{1, 7, 70, 700}, {1, 8, 80, 800}}));
  EXPECT_TRUE(Write(3, 2, {{1, 8, 9, 9}}).ok());  // the repeat
  const auto end = Seal(3);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->last_sequence, 2u);
  EXPECT_EQ(end->versions_reserved, 200u);
  ASSERT_EQ(end->tokens.size(), 1u);
  EXPECT_EQ(end->tokens[0].token, 2u);
  EXPECT_EQ(Read()->slots[1].word, 80u);
}

TEST_F(RocksdbTableLogTest, FencingOutlivesADrop) {
  ASSERT_TRUE(Write(3, 1).ok());
  ASSERT_TRUE(Seal(5).ok());
  Reopen();
  EXPECT_EQ(ReasonOf(Write(4, 2)), ErrorReason::kStaleEpoch);
  EXPECT_EQ(ReasonOf(Seal(4).status()), ErrorReason::kStaleEpoch);
  // The sequence of the epoch before is still no repeat of this one's.
  EXPECT_EQ(Write(5, 1).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Write(5, 2).ok());
}

TEST_F(RocksdbTableLogTest, ADamagedSlotIsNamedAndNeverLeftOut) {
  ASSERT_TRUE(Write(1, 1, {{1, 7, 70, 700}, {1, 8, 80, 800}, {1, 9, 90, 900}}).ok());
  Damage(Text(EncodeSlotKey(2, {1, 8})));
  const auto read = Read();
  EXPECT_EQ(read.status().code(), StatusCode::kDataLoss) << read.status();
  EXPECT_NE(MessageOf(read.status()).find("space 1, offset 8"), std::string_view::npos)
      << read.status();
  // The next store to the slot mends it.
  ASSERT_TRUE(Write(1, 2, {{1, 8, 81, 801}}).ok());
  EXPECT_EQ(Read()->slots.size(), 3u);
}

TEST_F(RocksdbTableLogTest, ASlotUnderAnotherSlotsKeyIsFound) {
  ASSERT_TRUE(Write(1, 1, {{1, 7, 70, 700}, {1, 8, 80, 800}}).ok());
  rocksdb::DB& db = store_.store().db();
  std::string value;
  ASSERT_TRUE(db.Get({}, store_.store().log(), Text(EncodeSlotKey(2, {1, 7})), &value).ok());
  ASSERT_TRUE(db.Put({}, store_.store().log(), Text(EncodeSlotKey(2, {1, 8})), value).ok());
  EXPECT_EQ(Read().status().code(), StatusCode::kDataLoss);
}

TEST_F(RocksdbTableLogTest, ADamagedTokenStopsTheSeal) {
  ASSERT_TRUE(Write(1, 1).ok());
  Damage(Text(EncodeTokenKey(2, 1)));
  EXPECT_EQ(Seal(2).status().code(), StatusCode::kDataLoss);
}

TEST_F(RocksdbTableLogTest, ADamagedPositionStopsTheShard) {
  ASSERT_TRUE(Write(1, 1).ok());
  Damage(Text(EncodeMetaKey(2)));
  Reopen();
  EXPECT_EQ(Write(1, 2).code(), StatusCode::kDataLoss);
  EXPECT_EQ(Seal(2).status().code(), StatusCode::kDataLoss);
}

TEST_F(RocksdbTableLogTest, AWriteThatTheDiskRefusesIsAnsweredAndCanBeSentAgain) {
  store_.options.env = disk_.env();
  Reopen();
  ASSERT_TRUE(Write(1, 1, {{1, 7, 70, 700}}).ok());
  disk_.FailWrites(true);
  EXPECT_EQ(Write(1, 2, {{1, 7, 71, 700}}).code(), StatusCode::kInternal);
  disk_.FailWrites(false);
  Reopen();
  EXPECT_TRUE(Write(1, 2, {{1, 7, 71, 700}}).ok());
  EXPECT_EQ(Seal(1)->last_sequence, 2u);
  EXPECT_EQ(Read()->slots[0].word, 71u);
}

}  // namespace
}  // namespace vswap

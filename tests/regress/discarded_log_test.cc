#include <gtest/gtest.h>

#include <filesystem>

#include "services/common/page.h"
#include "services/standalone.h"
#include "tests/support/raw_client.h"
#include "tests/support/temp_dir.h"

// A table log that begins again issues the versions of the old one once more. An arena that
// outlived it answered a load with the page of the same name from before.
namespace vswap {
namespace {

std::string Letters(char letter) { return std::string(kPageBytes, letter); }

std::unique_ptr<Role> Start(const std::string& data_dir) {
  StandaloneOptions options;
  options.listen = "127.0.0.1:0";
  options.data_dir = data_dir;
  options.compressor.memory_max = 8 << 20;
  StatusOr<std::unique_ptr<Role>> started = Standalone::Start(options);
  EXPECT_TRUE(started.ok()) << started.status();
  return started.ok() ? *std::move(started) : nullptr;
}

void StorePages(Role& service, char letter) {
  RawClient client(service.listen(), "space", 1000);
  v1::StoreResponse stored;
  const std::vector<std::string> pages(64, Letters(letter));
  ASSERT_TRUE(client.Send(client.StoreOf(0, pages), &stored).ok());
  ASSERT_EQ(stored.codes(), std::string(64, '\1'));
  v1::LoadResponse loaded;
  ASSERT_TRUE(client.Send(client.LoadOf(0, 64), &loaded).ok());
  const std::string first = loaded.pages().substr(0, loaded.lengths(0));
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(loaded.pages().substr(static_cast<size_t>(i) * first.size(), first.size()), first);
  }
  // One literal letter begins the LZ4 block of a page of one letter.
  EXPECT_NE(first.find(letter), std::string::npos) << "pages of another life";
}

TEST(DiscardedLog, AnArenaOfTheOldLogIsNotBelieved) {
  TempDir directory;
  const std::string data_dir = directory.path() + "/data";
  std::unique_ptr<Role> service = Start(data_dir);
  ASSERT_NE(service, nullptr);
  StorePages(*service, 'a');
  service.reset();  // as kill -9: the arena stays
  std::filesystem::remove_all(data_dir + "/store");
  service = Start(data_dir);
  ASSERT_NE(service, nullptr);
  StorePages(*service, 'b');
  EXPECT_TRUE(service->Drain().ok());
}

}  // namespace
}  // namespace vswap

#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>

namespace vswap {

// RocksDB's files on a disk that stops taking writes when told to.
class FaultEnv {
 public:
  rocksdb::Env* env() { return env_.get(); }
  void FailWrites(bool fail) { failing_->store(fail); }

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;

  class File : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> file, Flag failing)
        : FSWritableFileOwnerWrapper(std::move(file)), failing_(std::move(failing)) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      return failing_->load() ? rocksdb::IOStatus::IOError("the test's disk takes no writes")
                              : FSWritableFileOwnerWrapper::Append(data, options, debug);
    }

   private:
    const Flag failing_;
  };

  class Files : public rocksdb::FileSystemWrapper {
   public:
    explicit Files(Flag failing)
        : FileSystemWrapper(rocksdb::FileSystem::Default()), failing_(std::move(failing)) {}
    const char* Name() const override { return "FaultEnv"; }
    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override {
      rocksdb::IOStatus made = FileSystemWrapper::NewWritableFile(path, options, file, debug);
      if (made.ok()) {
        *file = std::make_unique<File>(std::move(*file), failing_);
      }
      return made;
    }

   private:
    const Flag failing_;
  };

  const Flag failing_ = std::make_shared<std::atomic<bool>>(false);
  const std::unique_ptr<rocksdb::Env> env_ =
      rocksdb::NewCompositeEnv(std::make_shared<Files>(failing_));
};

}  // namespace vswap

#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <string>

namespace vswap {

// What RocksDB has to say goes into our log, from level warn on, under `name`. Its own LOG file is
// not kept: where the disk is full, Debian's build aborts the process while it writes there.
// Thread-safe.
std::shared_ptr<rocksdb::Logger> MakeRocksdbLogger(const std::string& name);

}  // namespace vswap

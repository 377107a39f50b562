#pragma once

#include <google/protobuf/stubs/logging.h>

namespace vswap::fuzz {

// Protobuf writes a line for each string that is not UTF-8.
inline google::protobuf::LogHandler* const kOldLogHandler =
    google::protobuf::SetLogHandler(nullptr);

}  // namespace vswap::fuzz

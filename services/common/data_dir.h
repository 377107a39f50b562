#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "services/common/executor.h"
#include "services/common/status.h"

namespace vswap {

// A data directory is known by a random number in its file `id` (16 hex digits and a newline), so
// that what lies elsewhere on its behalf, like a compressor's arena, is not mistaken for another's,
// also when a directory is moved or its path used again.

// Writes a file as a whole or not at all; durable when it has returned.
Status WriteWhole(const std::string& path, const std::string& text);

// 16 hex digits.
std::string FormatDataDirId(uint64_t id);

// Nothing where there is no directory or no id in it. DATA_LOSS where the file does not read as
// one.
StatusOr<std::optional<uint64_t>> ReadDataDirId(const std::string& directory);

// Makes the directory (mode 0700, its parent must exist) and the id where they are missing; durable
// when it has returned. Not for two processes at once: the caller holds the directory.
StatusOr<uint64_t> ReadOrMakeDataDirId(const std::string& directory, Random& random);

// Gives the directory a new id: what lies elsewhere on behalf of the old one belongs to nobody from
// now on. As above.
StatusOr<uint64_t> RenewDataDirId(const std::string& directory, Random& random);

}  // namespace vswap

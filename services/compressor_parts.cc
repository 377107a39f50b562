#include "services/compressor_parts.h"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "services/common/data_dir.h"

namespace vswap {
namespace {

void ReclaimArenas(const std::string& directory, uint64_t own_id) {
  const StatusOr<std::vector<std::string>> removed = ReclaimAbandoned(directory, own_id);
  if (!removed.ok()) {
    spdlog::warn("{}: cannot look for abandoned arenas: {}", directory,
                 std::string(MessageOf(removed.status())));
    return;
  }
  for (const std::string& path : *removed) {
    spdlog::info("removed {}: its data directory is gone", path);
  }
}

}  // namespace

StatusOr<std::unique_ptr<CompressorParts>> CompressorParts::Open(const std::string& data_dir,
                                                                 const CompressorOptions& options,
                                                                 Executor& executor,
                                                                 Random& random) {
  const StatusOr<uint64_t> id = ReadOrMakeDataDirId(data_dir, random);
  if (!id.ok()) {
    return id.status();
  }
  SlabArenaOptions arena_options;
  arena_options.path = options.arena.empty() ? DefaultArenaPath(*id) : options.arena;
  arena_options.data_dir_id = *id;
  arena_options.data_dir_path = std::filesystem::absolute(data_dir).string();
  arena_options.memory_max_bytes = options.memory_max;
  arena_options.allow_swappable = options.allow_swappable;
  ReclaimArenas(std::filesystem::path(arena_options.path).parent_path().string(), *id);
  StatusOr<std::unique_ptr<SlabArena>> arena = SlabArena::Open(arena_options, random);
  if (!arena.ok()) {
    return arena.status();
  }
  std::unique_ptr<CompressorParts> parts(new CompressorParts());
  parts->arena_ = *std::move(arena);
  const ArenaRecovery& found = parts->arena_->recovery();
  spdlog::info("arena {}: {} pages found, {} unfinished, {} damaged, {} conflicting, {}",
               arena_options.path, found.pages, found.unfinished, found.damaged, found.conflicting,
               parts->arena_->locked() ? "locked" : "not locked");
  parts->node_ = std::make_unique<CompressorNode>(*parts->arena_, executor);
  return parts;
}

}  // namespace vswap

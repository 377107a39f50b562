#pragma once

#include <cstddef>
#include <vector>

namespace vswap {

// Runs a test once for every sequence of the choices that it makes, depth first: all orders of what
// it could do next. The test must be deterministic but for its choices. Thread-confined.
class Explorer {
 public:
  // Which of `count` to do; only within a run.
  size_t Choose(size_t count) {
    if (next_ == path_.size()) {
      path_.push_back({0, count});
    }
    return path_[next_++].chosen;
  }
  // False once every sequence was run.
  bool NextRun() {
    if (runs_ > 0) {
      while (!path_.empty() && path_.back().chosen + 1 == path_.back().count) {
        path_.pop_back();
      }
      if (path_.empty()) {
        return false;
      }
      ++path_.back().chosen;
    }
    next_ = 0;
    ++runs_;
    return true;
  }
  size_t runs() const { return runs_; }

 private:
  struct Choice {
    size_t chosen = 0;
    size_t count = 0;
  };
  std::vector<Choice> path_;
  size_t next_ = 0;
  size_t runs_ = 0;
};

}  // namespace vswap

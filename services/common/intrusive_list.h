#pragma once

#include <cstddef>

namespace vswap {

// A place in one list, as a base class of T. Tag tells the lists apart that an element can be in at
// the same time.
template <typename T, typename Tag>
class ListNode {
 private:
  template <typename, typename>
  friend class IntrusiveList;
  T* before_ = nullptr;
  T* after_ = nullptr;
};

// A list through its elements themselves: nothing is allocated, and any element is taken out in one
// step. An element is in at most one list of a tag; the list owns none. Externally synchronised.
template <typename T, typename Tag>
class IntrusiveList {
 public:
  bool empty() const { return first_ == nullptr; }
  size_t size() const { return size_; }
  T* First() const { return first_; }
  T* Last() const { return last_; }
  static T* After(const T& item) { return Node(item).after_; }
  static T* Before(const T& item) { return Node(item).before_; }

  void PushBack(T& item) { InsertAfter(last_, item); }
  // At the front where `place` is null.
  void InsertAfter(T* place, T& item) {
    T* const next = place == nullptr ? first_ : Node(*place).after_;
    Node(item).before_ = place;
    Node(item).after_ = next;
    (place == nullptr ? first_ : Node(*place).after_) = &item;
    (next == nullptr ? last_ : Node(*next).before_) = &item;
    ++size_;
  }
  void Remove(T& item) {
    T* const before = Node(item).before_;
    T* const after = Node(item).after_;
    (before == nullptr ? first_ : Node(*before).after_) = after;
    (after == nullptr ? last_ : Node(*after).before_) = before;
    --size_;
  }
  // Null where there is none.
  T* PopFront() {
    T* const first = first_;
    if (first != nullptr) {
      Remove(*first);
    }
    return first;
  }

 private:
  static ListNode<T, Tag>& Node(T& item) { return item; }
  static const ListNode<T, Tag>& Node(const T& item) { return item; }

  T* first_ = nullptr;
  T* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace vswap

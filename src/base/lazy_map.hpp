// An ordered map that most of its owners never use: a pointer until something is put into it.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

namespace blazen {

template <class Key, class T>
class LazyMap {
 public:
  using Map = std::map<Key, T>;
  using iterator = typename Map::iterator;
  using const_iterator = typename Map::const_iterator;
  using NodeType = typename Map::node_type;

  bool empty() const noexcept { return !map_ || map_->empty(); }
  size_t size() const noexcept { return map_ ? map_->size() : 0; }
  // Of a map that nothing was ever put into, both are the end of one that is empty.
  iterator begin() noexcept { return map_ ? map_->begin() : none().begin(); }
  iterator end() noexcept { return map_ ? map_->end() : none().end(); }
  const_iterator begin() const noexcept { return map_ ? map_->begin() : none().begin(); }
  const_iterator end() const noexcept { return map_ ? map_->end() : none().end(); }

  // After it, insert() does not fail. Throws std::bad_alloc.
  Map& reserve() {
    if (!map_) map_ = std::make_unique<Map>();
    return *map_;
  }
  // What insert() takes, for later. Throws std::bad_alloc.
  static NodeType make_node() {
    Map one;
    one.try_emplace(Key{});
    return one.extract(one.begin());
  }
  template <class... Arguments>
  void emplace(Arguments&&... arguments) {
    reserve().emplace(std::forward<Arguments>(arguments)...);
  }
  iterator insert(NodeType&& node) noexcept { return map_->insert(std::move(node)).position; }
  NodeType extract(iterator at) noexcept { return map_->extract(at); }
  void erase(iterator at) noexcept { map_->erase(at); }
  void clear() noexcept {
    if (map_) map_->clear();
  }
  // Takes over what is in other; the keys are different ones.
  void take(LazyMap& other) noexcept {
    if (other.empty()) return;
    if (!map_) {
      map_ = std::move(other.map_);
    } else {
      map_->merge(*other.map_);
    }
  }

 private:
  static Map& none() noexcept {
    static Map map;
    return map;
  }
  std::unique_ptr<Map> map_;
};

}  // namespace blazen

// The host's objects that a run gets hold of, and how often the library has let go of each.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "support/blazen_test.hpp"

namespace sim {

// LIVE objects, and how often each was dropped.
class Objects {
 public:
  struct Object {
    Object(std::string its_text, Objects* its_owner) : text(std::move(its_text)), owner(its_owner) {}
    std::string text;
    Objects* owner;
    std::atomic<int> drops{0};
  };
  bt::Value make(const std::string& text, bool is_kept) {
    Object& object = add(text);
    bt::Value value;
    blazen_live_options options = BLAZEN_LIVE_OPTIONS_INIT;
    options.drop = [](void* self) { ++static_cast<Object*>(self)->drops; };
    if (is_kept) options.serialize = serialize;
    MUST(blazen_value_live_with(&object, BLAZEN_TEXT("sim/object"), &options, value.out(), e));
    return value;
  }
  static blazen_status serialize(void* self, blazen_value** value, blazen_error** error) {
    const std::string text = "\"" + static_cast<Object*>(self)->text + "\"";
    return blazen_value_json(text.data(), text.size(), value, error);
  }
  static blazen_status deserialize(void* self, const char*, size_t, blazen_value* kept, blazen_value** live,
                                   blazen_error**) {
    const std::string text = bt::data_of(kept);
    *live = static_cast<Objects*>(self)->make(text.substr(1, text.size() - 2), true).take();
    return BLAZEN_OK;
  }
  std::string problem() const {
    for (const Object& object : all_) {
      if (object.drops != 1)
        return "LIVE '" + object.text + "' was dropped " + std::to_string(object.drops) + " times";
    }
    return {};
  }

 private:
  Object& add(const std::string& text) {
    std::lock_guard guard(lock_);
    return all_.emplace_back(text, this);
  }

  std::mutex lock_;
  std::deque<Object> all_;
};

}  // namespace sim

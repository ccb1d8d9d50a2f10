// What snapshots do with LIVE values: the way out, through the host's serializer, and the way back.
//
// On the way out, the session policy of the workflow decides (encode.cpp): a LIVE value is kept as what its
// serializer gives, is left out under its name, or keeps the snapshot from being taken. On the way back, a
// maker that knows the label makes the object again (restore.cpp), or it is left out under its name.
//
// Invariants: the host is called outside every lock, and what it throws has become an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "value/error.hpp"
#include "value/value.hpp"

namespace blazen {

// Null: `kept`, which is not LIVE, is what a snapshot keeps of `live`, which has a serializer. Else why there
// is nothing.
using SerializeCall = Ref<Error> (*)(const Value& live, Ref<Value>& kept) noexcept;

// What makes LIVE values again.
class LiveMaker {
 public:
  virtual bool knows(std::string_view label) const noexcept = 0;
  // What is unknown is left out.
  virtual bool skips_unknown() const noexcept = 0;
  // label is known. Null: `live` is the value; or null, where this one cannot be made, and what is unknown is
  // left out. Throws std::bad_alloc.
  virtual Ref<Error> make(std::string_view label, const Ref<Value>& kept, Ref<Value>& live) = 0;

 protected:
  ~LiveMaker() = default;
};

// The places of values, as people read them.
std::string session_place(std::string_view key);
std::string event_place(std::string_view type, uint64_t id);
std::string answer_place(std::string_view request_id);
inline constexpr std::string_view kResultPlace = "result";
// Of the error `depth` causes beneath the first.
std::string detail_place(uint32_t depth);

// Leaves each name where it stands first.
void drop_repeated(std::vector<std::string>& names);

}  // namespace blazen

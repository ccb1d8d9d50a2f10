// The snapshot handle: the bytes, and the document they say, decoded when somebody asks for it.
#pragma once

#include "capi/handle.hpp"
#include "snapshot/decode.hpp"

namespace blazen::capi {

struct Snapshot final : Object {
  Snapshot() noexcept : Object(Kind::snapshot) {}
  static void destroy(Snapshot* snapshot) noexcept { delete snapshot; }

  // At one address for the whole life of the snapshot.
  std::string_view bytes() noexcept;
  // The decoded document, made once. Throws std::bad_alloc.
  Result<const SnapshotDocument*> document();

  Lock lock;
  CborBuffer made;  // by a run; empty from the time the document has taken it over
  std::unique_ptr<SnapshotDocument> decoded;
};

}  // namespace blazen::capi

// Where invariants are checked, each thread knows which function of the C interface it is in, and every call
// of the host is measured by what the header says of that function (its tag `calls`).
//
// The functions that are exported then are made from the header, by tests/header/entries.py: each notes its
// name and its tag, and goes on to the function of the same name in capi/. Elsewhere nothing of this is
// compiled.
#pragma once

#include <cstdint>

namespace blazen {

// Which code of the host's runs in the calling thread, as the tag says; each allows those before it.
enum class HostCode : uint8_t { none, drop, any };

#ifdef BLAZEN_INVARIANTS
// One exported function, from its entry to its return. What a callback calls in turn answers for itself.
class Entry {
 public:
  Entry(const char* function, HostCode allowed) noexcept;
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry();
  // The host is about to be called. Ends the process where the innermost function must not.
  static void note(HostCode code) noexcept;

 private:
  const char* const function_;
  const HostCode allowed_;
  Entry* const outer_;
};
inline void note_host_code(HostCode code) noexcept { Entry::note(code); }
#else
inline void note_host_code(HostCode) noexcept {}
#endif

}  // namespace blazen

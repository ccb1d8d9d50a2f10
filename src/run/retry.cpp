#include "run/retry.hpp"

#include <algorithm>

#include "base/digest.hpp"

namespace blazen {
namespace {

bool contains(const std::vector<int64_t>& codes, int64_t code) noexcept {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// From 0 to below 1.
double spread(const RunId& run, uint64_t invocation_id, uint32_t attempt) noexcept {
  Digest digest;
  digest.add_text({reinterpret_cast<const char*>(run.data()), run.size()});
  digest.add_number(invocation_id).add_number(attempt);
  return static_cast<double>(digest.finish() >> 11) * 0x1p-53;
}

}  // namespace

bool may_retry(const RetryPolicy& policy, uint32_t attempt, const Error& cause) noexcept {
  if (attempt >= policy.attempts_max || cause.status == Status::out_of_memory) return false;
  const bool is_host = cause.status == Status::host;
  if (!policy.only.empty() && !(is_host && contains(policy.only, cause.host_code))) return false;
  return !(is_host && contains(policy.never, cause.host_code));
}

int64_t retry_delay_ms(const RetryPolicy& policy, const RunId& run, uint64_t invocation_id,
                       uint32_t attempt) noexcept {
  const auto cap = static_cast<double>(policy.delay_max_ms);
  auto delay = static_cast<double>(policy.delay_ms);
  for (uint32_t i = 1; i < attempt && delay < cap && delay > 0 && policy.multiplier != 1; ++i)
    delay *= policy.multiplier;
  delay = std::min(delay, cap);
  if (policy.jitter > 0) delay -= delay * policy.jitter * spread(run, invocation_id, attempt);
  return static_cast<int64_t>(delay);
}

}  // namespace blazen

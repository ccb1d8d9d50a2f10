// What the builders of workflows and of pipelines read alike.
#pragma once

#include <cstddef>
#include <string_view>

#include "capi/handle.hpp"
#include "run/workflow.hpp"

namespace blazen::capi {

// The user_data of mappers that are refused is dropped all the same, as far as they can be read.
template <class Options>
DropGuard guard_mapper(const Options* options, size_t at) noexcept {
  if (!has_field(options, at + sizeof(blazen_mapper))) return {nullptr, nullptr};
  const auto* mapper = reinterpret_cast<const blazen_mapper*>(reinterpret_cast<const char*>(options) + at);
  return {mapper->drop, mapper->user_data};
}

// All of these: null, or what is wrong. They may throw std::bad_alloc.
Ref<Error> read_mapper(const char* name, const blazen_mapper& given, DropGuard& guard,
                       HostDefinition::Decision& decision);
// A name to which those of its parts are added.
Ref<Error> check_part_name(const char* what, std::string_view name);
Ref<Error> read_branches(const blazen_branch* branches, size_t count, HostDefinition& hosts);
// what: how its fields are named.
Ref<Error> read_retry(const char* what, const blazen_retry_options* given, RetryPolicy& policy);
Ref<Error> set_limit(WorkflowPolicy& policy, blazen_limit limit, uint64_t bound);
Ref<Error> set_session_policy(WorkflowPolicy& policy, blazen_session_policy session);

}  // namespace blazen::capi

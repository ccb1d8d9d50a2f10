// State and session of a run, for a call that is open.
#include <algorithm>
#include <new>
#include <set>
#include <utility>

#include "base/quotes.hpp"
#include "engine/refusals.hpp"
#include "engine/run.hpp"
#include "run/pipeline_parts.hpp"

namespace blazen {

// What was replaced goes when the lock is open, also where memory did not suffice.
class LetGoOfValues {
 public:
  explicit LetGoOfValues(Commands& commands) noexcept : commands_(commands) {}
  LetGoOfValues(const LetGoOfValues&) = delete;
  LetGoOfValues& operator=(const LetGoOfValues&) = delete;
  ~LetGoOfValues() { commands_.drop_values(); }

 private:
  Commands& commands_;
};

// Of an atomic step: what it writes counts when it completes. Null where the step writes at once.
WriteBuffer* Run::write_buffer_of(Call& call) const {
  return call.step_->atomic ? &const_cast<Run*>(this)->cold_state(call).write_buffer : nullptr;
}

namespace {

// Null, or which key of these is a pipeline's own.
Ref<Error> refuse_reserved(const Workflow& workflow, std::span<const Write> writes) {
  if (!workflow.is_pipeline()) return nullptr;
  for (const Write& write : writes) {
    if (write.key.starts_with(kPipelinePrefix))
      return Error::make(
          Status::invalid_argument,
          "key: " + in_quotes(write.key) + " is the pipeline's own, as all that begin with 'blazen/'");
  }
  return nullptr;
}

}  // namespace

Ref<Error> Run::write(Call& call, std::span<Write> writes, uint64_t* version, bool* removed) {
  if (!call.engine_writes_) {
    if (Ref<Error> error = refuse_reserved(workflow(), writes)) return error;
  }
  if (WriteBuffer* write_buffer = write_buffer_of(call))
    return write_buffered(*write_buffer, writes, version, removed);
  Commands& commands = call.commands_;
  commands.clear();
  const LetGoOfValues after(commands);
  Tick tick{Tick::Kind::write};
  tick.writes = writes;
  Guard guard(lock());
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  locked_state_.apply(guard, tick, commands);
  if (version != nullptr) *version = state().write_last;
  guard.unlock();
  if (commands.status == Status::ok) {
    commands.more = false;  // that was all
    if (removed != nullptr) *removed = true;
    return nullptr;
  }
  if (removed != nullptr) *removed = false;
  if (commands.status == Status::not_found) return nullptr;
  return refused_write(commands, writes);
}

// What the run has must be as expected now, and again when the step commits. Until then, a key keeps the
// version that the run has.
Ref<Error> Run::write_buffered(WriteBuffer& write_buffer, std::span<Write> writes, uint64_t* version,
                               bool* removed) {
  {
    Guard guard(lock());
    if (has_ended(state())) return ended_before();
    for (Write& write : writes) {
      const KeyTable::Entry* entry = state().state ? state().state->find(write.key) : nullptr;
      const uint64_t kept = entry == nullptr ? 0 : entry->version;
      Ref<Value> value;
      const WriteBuffer::Says says = write_buffer.find(write.key, value);
      if (write.kind == Write::Kind::expect) {
        // As find() tells the step: one that it has removed is not there.
        if (write.expected != (says == WriteBuffer::Says::removed ? 0 : kept)) return version_conflict(write);
        write.expected = kept;
      }
      if (version != nullptr) *version = kept;
      if (removed != nullptr)
        *removed = says == WriteBuffer::Says::set || (says == WriteBuffer::Says::nothing && entry != nullptr);
    }
  }
  write_buffer.add(writes);
  return nullptr;
}

Run::Found Run::find(std::string_view key) const {
  Guard guard(lock());
  const KeyTable::Entry* entry = state().state ? state().state->find(key) : nullptr;
  return entry == nullptr ? Found{} : Found{entry->value, entry->version};
}

Ref<Error> Run::write(std::span<Write> writes, uint64_t* version) {
  if (Ref<Error> error = refuse_reserved(workflow(), writes)) return error;
  Commands commands;
  const LetGoOfValues after(commands);
  Tick tick{Tick::Kind::write};
  tick.writes = writes;
  {
    Guard guard(lock());
    if (has_ended(state())) return ended_before();
    locked_state_.apply(guard, tick, commands);
    if (version != nullptr) *version = state().write_last;
  }
  if (commands.status == Status::ok || commands.status == Status::not_found) return nullptr;
  return refused_write(commands, writes);
}

Ref<Error> Run::clear_state(Call& call) {
  if (workflow().is_pipeline())
    return Error::make(
        Status::wrong_place,
        "the results of a pipeline stand in its state: remove the keys of your own one by one");
  if (WriteBuffer* write_buffer = write_buffer_of(call)) {
    write_buffer->clear();
    return nullptr;
  }
  Commands commands;
  Tick tick{Tick::Kind::clear};
  Guard guard(lock());
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  locked_state_.apply(guard, tick, commands);
  guard.unlock();
  return nullptr;
}

Ref<Error> Run::write_session(Call& call, Write write, bool* removed) {
  if (!call.engine_writes_) {
    if (Ref<Error> error = refuse_reserved(workflow(), {&write, 1})) return error;
  }
  Commands commands;
  Tick tick{Tick::Kind::session};
  tick.writes = {&write, 1};
  Guard guard(lock());
  if (has_ended(state())) return ended_before();
  if (call.abandoned_) return check_open(call);
  locked_state_.apply(guard, tick, commands);
  guard.unlock();
  if (removed != nullptr) *removed = commands.status != Status::not_found;
  return commands.status == Status::limit ? limit_reached(commands.limit) : nullptr;
}

Run::Found Run::find(Call& call, std::string_view key, bool session) const {
  Found own;
  WriteBuffer::Says says = WriteBuffer::Says::nothing;
  if (WriteBuffer* write_buffer = session ? nullptr : write_buffer_of(call))
    says = write_buffer->find(key, own.value);
  if (says == WriteBuffer::Says::removed) return {};
  Guard guard(lock());
  if (says == WriteBuffer::Says::set) {
    const KeyTable::Entry* known = state().state ? state().state->find(key) : nullptr;
    own.version = known == nullptr ? 0 : known->version;
    return own;
  }
  const Ref<KeyTable>& table = session ? state().session : state().state;
  const KeyTable::Entry* entry = table ? table->find(key) : nullptr;
  return entry == nullptr ? Found{} : Found{entry->value, entry->version};
}

std::vector<std::string> Run::keys(Call& call, std::string_view prefix, bool session) const {
  std::vector<std::string> keys;
  WriteBuffer* write_buffer = session ? nullptr : write_buffer_of(call);
  if (write_buffer == nullptr || !write_buffer->clears()) keys = kept_keys(prefix, session);
  if (write_buffer == nullptr || write_buffer->empty()) return keys;
  std::set<std::string> merged(keys.begin(), keys.end());
  for (const std::string& key : write_buffer->keys()) {
    Ref<Value> value;
    if (!std::string_view(key).starts_with(prefix)) continue;
    const WriteBuffer::Says says = write_buffer->find(key, value);
    if (says == WriteBuffer::Says::set) merged.insert(key);
    if (says == WriteBuffer::Says::removed) merged.erase(key);
  }
  return {merged.begin(), merged.end()};
}

std::vector<std::string> Run::kept_keys(std::string_view prefix, bool session) const {
  std::vector<std::string> keys;
  Guard guard(lock());
  const Ref<KeyTable>& table = session ? state().session : state().state;
  if (!table) return keys;
  if (table->order() == nullptr) table->keep_order(table->make_order());
  const auto& entries = table->entries();
  const KeyTable::Order& order = *table->order();
  auto at = std::lower_bound(
      order.begin(), order.end(), prefix,
      [&](uint32_t position, std::string_view text) { return entries[position].key() < text; });
  for (; at != order.end() && entries[*at].key().starts_with(prefix); ++at) {
    keys.emplace_back(entries[*at].key());
  }
  return keys;
}

}  // namespace blazen

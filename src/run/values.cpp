// Writes of the state and of the session.
#include <utility>
#include <vector>

#include "run/rooms.hpp"

namespace blazen {
namespace {

// A table that this run may write: its own, and not shared with a snapshot that is being encoded.
KeyTable& writable(Ref<KeyTable>& table, Commands& commands) {
  commands.more = true;
  if (!table) {
    table = Ref<KeyTable>::adopt(new KeyTable);
  } else if (table->shared()) {
    Ref<KeyTable> own = table->clone();
    commands.cold().dropped_table = std::exchange(table, std::move(own));
  }
  return *table;
}

}  // namespace

// One write can do without the preparation below: it is the everyday case.
void write_one(RunState& state, Ref<KeyTable>& place, uint64_t bytes_max, const char* limit, Write& write,
               Commands& commands) {
  KeyTable* known = place.get();
  KeyTable::Entry* entry = known == nullptr ? nullptr : known->find(write.key);
  if (write.kind == Write::Kind::remove) {
    if (entry == nullptr) {
      refuse(commands, Status::not_found, nullptr);
      return;
    }
    KeyTable& table = writable(place, commands);
    commands.replaced = table.remove(*table.find(write.key));
    return;
  }
  const uint64_t bytes = (known == nullptr ? 0 : known->bytes()) + write.value->data().size() +
                         (entry == nullptr ? write.key.size() : 0) -
                         (entry == nullptr ? 0 : entry->value->data().size());
  if (bytes > bytes_max) {
    refuse(commands, Status::limit, limit);
    return;
  }
  KeyTable& table = writable(place, commands);
  if (entry != nullptr) {
    if (&table != known) entry = table.find(write.key);
    commands.replaced = table.replace(*entry, std::move(write.value), ++state.write_last);
  } else {
    table.insert(write.key, std::move(write.value), state.write_last + 1);
    ++state.write_last;
  }
}

bool expectations_hold(const RunState& state, std::span<const Write> writes, Commands& commands) noexcept {
  for (size_t i = 0; i < writes.size(); ++i) {
    if (writes[i].kind != Write::Kind::expect) continue;
    const KeyTable::Entry* entry = state.state ? state.state->find(writes[i].key) : nullptr;
    if ((entry == nullptr ? 0 : entry->version) != writes[i].expected) {
      commands.fault = i;
      return refuse(commands, Status::conflict, nullptr);
    }
  }
  return true;
}

namespace {

// Writes to a table that can be taken back. A write costs the same however many keys the table has.
class Trial {
 public:
  Trial(KeyTable& table, size_t writes, uint64_t version) : table_(table), version_(version) {
    done_.reserve(writes);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial() {
    while (!done_.empty()) take_back();
  }
  // Throws std::bad_alloc, and has changed nothing then.
  void write(const Write& write) {
    KeyTable::Entry* entry = table_.find(write.key);
    if (write.kind == Write::Kind::remove) {
      if (entry == nullptr) return;
      if (removed_.size() == removed_.capacity()) removed_.reserve(removed_.size() * 2 + 4);
      removed_.push_back(table_.take(*entry));
      done_.push_back({write.key, nullptr, kRemoved});
    } else if (entry != nullptr) {
      const uint64_t before = entry->version;
      Ref<Value> value = table_.replace(*entry, write.value, ++version_);
      done_.push_back({write.key, std::move(value), before});
    } else {
      table_.insert(write.key, write.value, version_ + 1);
      ++version_;
      done_.push_back({write.key, nullptr, kInserted});
    }
  }
  // They stay; what they have replaced goes to `dropped`, which has room. The version of the last one.
  uint64_t keep(std::vector<Ref<Value>>& dropped) noexcept {
    for (Done& done : done_) {
      if (done.value) dropped.push_back(std::move(done.value));
    }
    for (KeyTable::Entry& entry : removed_) dropped.push_back(std::move(entry.value));
    done_.clear();
    return version_;
  }

 private:
  // No versions of a key that is there.
  static constexpr uint64_t kInserted = 0;
  static constexpr uint64_t kRemoved = UINT64_MAX;
  struct Done {
    std::string_view key;
    Ref<Value> value;  // before; of a key that was replaced
    uint64_t version;
  };
  void take_back() noexcept {
    Done& last = done_.back();
    if (last.value) {
      table_.replace(*table_.find(last.key), std::move(last.value), last.version);
    } else if (last.version == kInserted) {
      table_.remove(*table_.find(last.key));
    } else {
      table_.put_back(std::move(removed_.back()));
      removed_.pop_back();
    }
    done_.pop_back();
  }

  KeyTable& table_;
  uint64_t version_;
  std::vector<Done> done_;
  std::vector<KeyTable::Entry> removed_;  // in their order
};

// All or nothing, memory included. What the writes bring goes with them where they are taken back, and is not
// let go of here.
void write_many(RunState& state, std::span<Write> writes, uint64_t bytes_max, const char* limit,
                Commands& commands) {
  commands.cold().dropped_values.reserve(writes.size());
  KeyTable& table = writable(state.state, commands);
  Trial trial(table, writes.size(), state.write_last);
  for (const Write& write : writes) {
    if (write.kind != Write::Kind::expect) trial.write(write);
  }
  if (table.bytes() > bytes_max) {
    refuse(commands, Status::limit, limit);
    return;
  }
  state.write_last = trial.keep(commands.cold().dropped_values);
}

}  // namespace

void write_state(RunState& state, std::span<Write> writes, Commands& commands) {
  const uint64_t bytes_max = state.workflow->policy().limits.state_bytes;
  const char* limit = "BLAZEN_LIMIT_STATE_BYTES";
  if (!expectations_hold(state, writes, commands)) return;
  Write* only = nullptr;
  size_t changes = 0;
  for (Write& write : writes) {
    if (write.kind == Write::Kind::expect) continue;
    only = &write;
    ++changes;
  }
  if (changes == 0) return;
  if (changes == 1) return write_one(state, state.state, bytes_max, limit, *only, commands);
  write_many(state, writes, bytes_max, limit, commands);
}

}  // namespace blazen

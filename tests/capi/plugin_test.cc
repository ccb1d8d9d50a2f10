// Proves that the library can be a plugin: loaded, used in every mode, closed, unloaded, fifty times over;
// after the last release of everything nothing of it is left, no thread and no mapping.
//
// The test program itself is linked to the library. So the loading is done by a process of its own, this
// program run again through a copy of the library that nobody else has open.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "capi/world.hpp"

namespace {

using namespace host;  // NOLINT(google-build-using-namespace)

// The functions that are used, by the names of the header.
struct Library {
  void* handle = nullptr;
#define ENTRY(name) decltype(&blazen_##name) name = nullptr
  ENTRY(workflow_builder_create);
  ENTRY(workflow_builder_add_step);
  ENTRY(workflow_builder_build);
  ENTRY(workflow_builder_release);
  ENTRY(workflow_release);
  ENTRY(runtime_create);
  ENTRY(runtime_poll);
  ENTRY(runtime_close);
  ENTRY(runtime_release);
  ENTRY(task_run);
  ENTRY(run_create);
  ENTRY(run_start);
  ENTRY(run_wait);
  ENTRY(run_on_done);
  ENTRY(workflow_builder_set_timeout);
  ENTRY(run_release);
  ENTRY(context_emit);
  ENTRY(context_set_json);
  ENTRY(run_snapshot);
  ENTRY(snapshot_release);
#undef ENTRY

  bool load(const char* path) {
    handle = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return false;
    bool found = true;
    const auto resolve = [&](const char* name, auto& function) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
      found = found && function != nullptr;
    };
#define RESOLVE(name) resolve("blazen_" #name, name)
    RESOLVE(workflow_builder_create);
    RESOLVE(workflow_builder_add_step);
    RESOLVE(workflow_builder_build);
    RESOLVE(workflow_builder_release);
    RESOLVE(workflow_release);
    RESOLVE(runtime_create);
    RESOLVE(runtime_poll);
    RESOLVE(runtime_close);
    RESOLVE(runtime_release);
    RESOLVE(task_run);
    RESOLVE(run_create);
    RESOLVE(run_start);
    RESOLVE(run_wait);
    RESOLVE(run_on_done);
    RESOLVE(workflow_builder_set_timeout);
    RESOLVE(run_release);
    RESOLVE(context_emit);
    RESOLVE(context_set_json);
    RESOLVE(run_snapshot);
    RESOLVE(snapshot_release);
#undef RESOLVE
    return found;
  }
};

Library library;

struct Host {
  std::atomic<int> attached{0};
  std::atomic<int> detached{0};
  std::atomic<int> dropped{0};
  std::atomic<int> steps_dropped{0};
  blazen_task* task = nullptr;
};

size_t thread_count() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

// A thread that was joined may stand in /proc for a moment yet.
bool threads_come_down_to(size_t count) {
  for (int i = 0; i < 2000; ++i) {
    if (thread_count() <= count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

blazen_status step(void*, blazen_context* context, const blazen_event*, blazen_error** error) {
  if (const blazen_status status = library.context_set_json(context, "k", 1, "1", 1, error)) return status;
  return library.context_emit(context, BLAZEN_TEXT(BLAZEN_STOP_EVENT), nullptr, error);
}

// One run, from nothing to nothing. close: or the last release does it.
std::string use_library(blazen_mode mode, bool close) {
  Host host;
  blazen_workflow_builder* builder = nullptr;
  blazen_workflow* workflow = nullptr;
  blazen_runtime* runtime = nullptr;
  blazen_run* run = nullptr;
  blazen_snapshot* snapshot = nullptr;
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.mode = mode;
  options.threads = 3;
  options.user_data = &host;
  options.attach = [](void* data) { ++static_cast<Host*>(data)->attached; };
  options.detach = [](void* data) { ++static_cast<Host*>(data)->detached; };
  options.drop = [](void* data) { ++static_cast<Host*>(data)->dropped; };
  options.post = [](void* data, blazen_task* task) -> blazen_status {
    static_cast<Host*>(data)->task = task;
    return BLAZEN_OK;
  };
  const auto drop_step = [](void* data) { ++static_cast<Host*>(data)->steps_dropped; };
  blazen_run_state state = BLAZEN_RUN_NONE;
  const bool ok = library.workflow_builder_create("w", 1, &builder, nullptr) == BLAZEN_OK &&
                  library.workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT), step,
                                                    &host, drop_step, nullptr) == BLAZEN_OK &&
                  library.workflow_builder_build(builder, &workflow, nullptr) == BLAZEN_OK &&
                  library.runtime_create(&options, &runtime, nullptr) == BLAZEN_OK &&
                  library.run_create(runtime, workflow, nullptr, &run, nullptr) == BLAZEN_OK &&
                  library.run_start(run, nullptr, nullptr) == BLAZEN_OK;
  if (!ok) return "a call failed";
  if (mode == BLAZEN_MODE_PUMP && library.runtime_poll(runtime, 0, nullptr, nullptr) != BLAZEN_OK)
    return "poll";
  if (mode == BLAZEN_MODE_EXECUTOR) library.task_run(host.task);
  if (library.run_wait(run, 10000, &state, nullptr) != BLAZEN_OK || state != BLAZEN_RUN_COMPLETED)
    return "no end";
  if (library.run_snapshot(run, &snapshot, nullptr) != BLAZEN_OK) return "no snapshot";
  if (close && library.runtime_close(runtime, nullptr) != BLAZEN_OK) return "no close";
  if (close && host.attached != host.detached) return "a thread is attached after the close";
  library.workflow_builder_release(builder);
  library.runtime_release(runtime);
  library.workflow_release(workflow);
  library.snapshot_release(snapshot);
  library.run_release(run);
  if (host.attached != host.detached)
    return "attached " + std::to_string(host.attached) + " times, detached " + std::to_string(host.detached);
  if (kThreads && mode == BLAZEN_MODE_THREADS && host.attached != 3) return "not every thread was attached";
  if (mode != BLAZEN_MODE_THREADS && host.attached != 0) return "threads where there should be none";
  if (host.dropped != 1) return "the runtime's data was dropped " + std::to_string(host.dropped) + " times";
  if (host.steps_dropped != 1)
    return "the step's data was dropped " + std::to_string(host.steps_dropped) + " times";
  return "";
}

// The library that this program is linked to.
std::string path_of_library() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&blazen_abi), &info) == 0 || info.dli_fname == nullptr) return "";
  return std::filesystem::canonical(info.dli_fname);
}

struct Copy {
  Copy()
      : path(std::filesystem::temp_directory_path() /
             ("libblazen-plugin-" + std::to_string(::getpid()) + ".so")) {
    std::filesystem::copy_file(path_of_library(), path, std::filesystem::copy_options::overwrite_existing);
    // One with the same name in its head would be taken for the one that is loaded already.
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::stringstream all;
    all << file.rdbuf();
    const std::string text = all.str();
    for (size_t at = 0; (at = text.find("libblazen.so.2", at)) != std::string::npos; ++at) {
      file.seekp(static_cast<std::streamoff>(at));
      file.write("libplugin.so.2", 14);
    }
  }
  ~Copy() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

bool is_mapped(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(path) != std::string::npos) return true;
  }
  return false;
}

TEST(Plugin, IsUnloadedWithNothingLeftOfIt) {
  Watchdog watchdog("IsUnloadedWithNothingLeftOfIt", 100);
  const Copy copy;
  const std::string path = copy.path;
  const size_t threads_before = thread_count();
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(library.load(path.c_str())) << ::dlerror();
    ASSERT_TRUE(is_mapped(path));
    ASSERT_NE(reinterpret_cast<void*>(library.runtime_create),
              reinterpret_cast<void*>(&blazen_runtime_create))
        << "the copy is not a library of its own, and the test would prove nothing";
    for (const blazen_mode mode : {BLAZEN_MODE_THREADS, BLAZEN_MODE_PUMP, BLAZEN_MODE_EXECUTOR}) {
      ASSERT_EQ(use_library(mode, round % 2 == 0), "") << "round " << round << ", mode " << mode;
    }
    ASSERT_TRUE(threads_come_down_to(threads_before))
        << thread_count() << " threads, " << threads_before << " before";
    ASSERT_EQ(::dlclose(library.handle), 0);
    ASSERT_EQ(::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD), nullptr) << "it is still loaded";
    ASSERT_FALSE(is_mapped(path)) << "it is still mapped";
  }
}

// The last handle of the run goes in a callback, on a thread of the library: the one that runs steps, or the
// one that tells the time.
struct Closing {
  std::atomic<bool> is_called{false};
  static void release_run(void* data, blazen_run* run, blazen_run_state) {
    library.run_release(run);
    static_cast<Closing*>(data)->is_called = true;
  }
};

std::string close_from_outside(bool runs_out_of_time) {
  Closing closing;
  blazen_workflow_builder* builder = nullptr;
  blazen_workflow* workflow = nullptr;
  blazen_runtime* runtime = nullptr;
  blazen_run* run = nullptr;
  const auto sleep = [](void*, blazen_context*, const blazen_event*, blazen_error**) -> blazen_status {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return BLAZEN_OK;
  };
  blazen_runtime_options options = BLAZEN_RUNTIME_OPTIONS_INIT;
  options.threads = 2;
  const bool ok =
      library.workflow_builder_create("w", 1, &builder, nullptr) == BLAZEN_OK &&
      library.workflow_builder_add_step(builder, "s", 1, BLAZEN_TEXT(BLAZEN_START_EVENT),
                                        runs_out_of_time ? sleep : step, nullptr, nullptr,
                                        nullptr) == BLAZEN_OK &&
      library.workflow_builder_set_timeout(builder, runs_out_of_time ? 1 : 60000, nullptr) == BLAZEN_OK &&
      library.workflow_builder_build(builder, &workflow, nullptr) == BLAZEN_OK &&
      library.runtime_create(&options, &runtime, nullptr) == BLAZEN_OK &&
      library.run_create(runtime, workflow, nullptr, &run, nullptr) == BLAZEN_OK &&
      library.run_on_done(run, Closing::release_run, &closing, nullptr, nullptr) == BLAZEN_OK &&
      library.run_start(run, nullptr, nullptr) == BLAZEN_OK;
  if (!ok) return "a call failed";
  library.workflow_builder_release(builder);
  library.workflow_release(workflow);
  while (!closing.is_called) std::this_thread::yield();  // that thread is still in the library
  if (library.runtime_close(runtime, nullptr) != BLAZEN_OK) return "no close";
  library.runtime_release(runtime);
  return "";
}

// At once, with nothing that waits for threads: the close has done that.
TEST(Plugin, IsUnloadedAtOnceAfterACloseFromOutside) {
  if (!kThreads) GTEST_SKIP() << "a library without threads";
  Watchdog watchdog("IsUnloadedAtOnce", 100);
  const Copy copy;
  const std::string path = copy.path;
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(library.load(path.c_str())) << ::dlerror();
    ASSERT_EQ(close_from_outside(round % 2 == 0), "") << "round " << round;
    ASSERT_EQ(::dlclose(library.handle), 0);
    ASSERT_FALSE(is_mapped(path)) << "it is still mapped";
  }
}

}  // namespace

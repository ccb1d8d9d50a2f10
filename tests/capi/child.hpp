// Runs something in a process of its own: what may crash, hang, or has to come after a fork.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace host {

struct Child {
  std::string said;  // what the work answered
  int status = 0;    // as waitpid() gives it

  bool ended_well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  // How it ended; empty: well.
  std::string fault() const {
    if (WIFSIGNALED(status))
      return "it crashed: signal " + std::to_string(WTERMSIG(status)) + " (14: it hung)";
    return ended_well() ? "" : "it crashed: exit " + std::to_string(WEXITSTATUS(status));
  }
};

inline Child in_child(const std::function<std::string()>& work) {
  constexpr unsigned kPatience_s = 30;
  Child child;
  int ends[2];
  if (::pipe(ends) != 0) {
    child.status = 1 << 8;  // as exit(1)
    return child;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(kPatience_s);
    const std::string said = work();
    const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  char buffer[512];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    child.said.append(buffer, static_cast<size_t>(got));
  ::close(ends[0]);
  ::waitpid(pid, &child.status, 0);
  return child;
}

}  // namespace host

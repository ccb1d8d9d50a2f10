// Two parts: what is drawn (the graph), and how each program wants it (the pens). Ids of nodes are made here, and never
// come of names; whatever of a name could mean something to a program is written so that it means itself.
#include "run/workflow_drawing.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "run/workflow_paths.hpp"
#include "value/event.hpp"

namespace blazen {
namespace {

constexpr size_t kEdgesMax = 65536;

// ------------------------------------------------------------------------------------------------- what is drawn

// What stands beside the steps, where something leads there or comes from there.
enum class Beside : uint8_t { start, failure, human, outside, unknown, nobody, end };
struct BesideNode {
  Beside what;
  const char* id;
  const char* label;
};
constexpr BesideNode kBeside[] = {
    {Beside::start, "begin", "start"},   {Beside::failure, "failed", "a step fails"},
    {Beside::human, "human", "a human"}, {Beside::outside, "outside", "outside"},
    {Beside::unknown, "unknown", "?"},   {Beside::nobody, "nobody", "no step"},
    {Beside::end, "stop", "end"},
};

// A step, or what stands beside it.
struct Node {
  StepIndex step = kNoStep;
  Beside beside = Beside::start;
};
Node node_of(StepIndex step) noexcept { return {step, Beside::start}; }
Node node_of(Beside beside) noexcept { return {kNoStep, beside}; }

enum class Line : uint8_t {
  known,    // an event
  unknown,  // maybe one: nothing is declared
  scope     // from an opener to its join: no event
};

struct Edge {
  Node from;
  Node to;
  std::string_view label;  // empty: none
  Line line;
};

class Graph {
 public:
  explicit Graph(const Workflow& workflow) : workflow_(workflow), paths_(workflow) { put_edges(); }

  const Workflow& workflow() const noexcept { return workflow_; }
  const WorkflowPaths& paths() const noexcept { return paths_; }
  const std::vector<Edge>& edges() const noexcept { return edges_; }
  bool is_too_large() const noexcept { return edges_.size() > kEdgesMax; }
  bool has(Beside beside) const noexcept { return has_[static_cast<size_t>(beside)]; }

 private:
  void put(Node from, Node to, std::string_view label, Line line = Line::known) {
    if (from.step == kNoStep) has_[static_cast<size_t>(from.beside)] = true;
    if (to.step == kNoStep) has_[static_cast<size_t>(to.beside)] = true;
    if (!is_too_large()) edges_.push_back({from, to, label, line});
  }

  void put_edges() {
    for (const StepIndex step : workflow_.acceptors(kStartType))
      put(node_of(Beside::start), node_of(step), kStartEvent);
    for (StepIndex step = 0; step < workflow_.steps().size(); ++step) put_edges_of(step);
    for (const StepIndex step : workflow_.acceptors(kStepFailedType))
      put(node_of(Beside::failure), node_of(step), kStepFailed);
    put_answers();
    put_unexplained();
  }

  void put_edges_of(StepIndex step) {
    for (const TypeId type : paths_.emitted(step)) put_emitted(step, type);
    if (paths_.emitted(step).empty()) put(node_of(step), node_of(Beside::unknown), {}, Line::unknown);
    const OpenerIndex opener = workflow_.opened_by(step);
    if (opener == kNoOpener) return;
    for (const StepIndex join : workflow_.openers()[opener].joins)
      put(node_of(step), node_of(join), "scope", Line::scope);
  }

  void put_emitted(StepIndex step, TypeId type) {
    const std::string_view label = workflow_.type_name(type);
    if (type == kStopType) return put(node_of(step), node_of(Beside::end), label);
    if (type == kInputRequestType) {
      asks_.push_back(step);
      put(node_of(step), node_of(Beside::human), label);
    } else if (!paths_.is_taken(type, step)) {
      put(node_of(step), node_of(Beside::nobody), label);
    }
    for (const StepIndex taker : workflow_.acceptors(type)) {
      if (paths_.takes(taker, step)) put(node_of(step), node_of(taker), label);
    }
  }

  // An answer belongs where its question was asked.
  void put_answers() {
    if (asks_.empty()) return;
    bool is_taken = false;
    for (const StepIndex taker : workflow_.acceptors(kInputResponseType)) {
      if (std::none_of(asks_.begin(), asks_.end(),
                       [&](StepIndex asker) { return paths_.takes(taker, asker); }))
        continue;
      put(node_of(Beside::human), node_of(taker), kInputResponse);
      is_taken = true;
    }
    if (!is_taken) put(node_of(Beside::human), node_of(Beside::nobody), kInputResponse);
  }

  // What is accepted, and nobody declares to emit: it comes from a step that declares nothing, or else from outside.
  void put_unexplained() {
    std::vector<bool> is_explained(workflow_.type_count());
    is_explained[kStartType] = is_explained[kStepFailedType] = true;
    is_explained[kInputResponseType] = !asks_.empty();
    bool is_all_declared = true;
    for (StepIndex step = 0; step < workflow_.steps().size(); ++step) {
      for (const TypeId type : paths_.emitted(step)) is_explained[type] = true;
      is_all_declared = is_all_declared && !paths_.emitted(step).empty();
    }
    const Node from = node_of(is_all_declared ? Beside::outside : Beside::unknown);
    for (StepIndex step = 0; step < workflow_.steps().size(); ++step) {
      for (const std::string& accepted : workflow_.steps()[step].accepts) {
        if (is_explained[workflow_.find_type(accepted)]) continue;
        put(from, node_of(step), accepted, is_all_declared ? Line::known : Line::unknown);
      }
    }
  }

  const Workflow& workflow_;
  const WorkflowPaths paths_;
  std::vector<Edge> edges_;
  std::vector<StepIndex> asks_;
  bool has_[std::size(kBeside)] = {};
};

std::string id_of(Node node) {
  return node.step == kNoStep ? kBeside[static_cast<size_t>(node.beside)].id
                              : "n" + std::to_string(node.step);
}

// --------------------------------------------------------------------------------------------------------- names

bool is_plain(char byte) noexcept {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
}

struct Character {
  uint32_t code;
  size_t length;  // in bytes
};
// Of a name, which is well-formed UTF-8.
Character character_at(std::string_view name, size_t at) noexcept {
  const auto lead = static_cast<unsigned char>(name[at]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(name[at + i]) & 0x3fu);
  return {code, length};
}

// Neither program can show a control character: each is drawn as its picture, from U+2400 on.
bool put_picture(std::string& text, char byte) {
  const auto code = static_cast<unsigned char>(byte);
  if (code >= 0x20 && code != 0x7f) return false;
  const unsigned picture = code == 0x7f ? 0x21 : code;
  text += "\xE2\x90";
  text += static_cast<char>(0x80 + picture);
  return true;
}

// ------------------------------------------------------------------------------------------------------- Mermaid

// Mermaid makes marks of its own of two characters, and reads those out of the finished picture, where one of certain
// others follows: a word joiner, which nobody sees, stands between.
constexpr uint32_t kWordJoiner = 0x2060;
constexpr bool is_mark(uint32_t code) noexcept { return code == 0xB6 || code == 0xFB02; }

// Its labels are read by several grammars, one behind the other: its own, with comments, directives, icons and
// formulas, then Markdown, then HTML. So of ASCII, letters and digits stand as they are, and what joins two of them
// (`fetch-page`, `fetch_page`); and "blazen::" at the beginning. What is not ASCII means nothing to any of them.
std::string mermaid_text(std::string_view name) {
  constexpr std::string_view kOurs = "blazen::";
  std::string text = "\"";
  size_t at = 0;
  if (name.starts_with(kOurs)) {
    text += kOurs;
    at = kOurs.size();
  }
  while (at < name.size()) {
    const Character next = character_at(name, at);
    const bool is_inside = at > 0 && is_plain(name[at - 1]) && at + 1 < name.size() && is_plain(name[at + 1]);
    const bool joins = is_inside && (next.code == ' ' || next.code == '_' || next.code == '-');
    if (next.code >= 0x80 || is_plain(name[at]) || joins) {
      text += name.substr(at, next.length);
      if (is_mark(next.code)) text += "\xE2\x81\xA0";  // a word joiner
    } else if (!put_picture(text, name[at])) {
      text.append("#").append(std::to_string(next.code)).append(";");  // an entity
    }
    at += next.length;
  }
  return text += '"';
}

// The title stands in front of it in YAML, whose strings know the escapes of C. Where a '<' is in it, Mermaid shows what
// HTML would, with its entities: a wider one stands for that.
std::string yaml_text(std::string_view name) {
  std::string text = "\"";
  const auto put_code = [&text](uint32_t code) {
    text += code > 0xffff ? "\\U" : "\\u";
    for (int shift = code > 0xffff ? 28 : 12; shift >= 0; shift -= 4)
      text += "0123456789abcdef"[(code >> shift) & 15];
  };
  for (size_t at = 0; at < name.size();) {
    const Character next = character_at(name, at);
    if (is_plain(name[at]) || next.code == ' ' || next.code == '_' || next.code == '-') {
      text += name[at];
    } else if (!put_picture(text, name[at])) {
      put_code(next.code == '<' ? 0xFF1C : next.code);
      if (is_mark(next.code)) put_code(kWordJoiner);
    }
    at += next.length;
  }
  return text += '"';
}

void put_class(std::string& text, const Graph& graph, const char* name, const char* style,
               bool (*has)(const Graph&, StepIndex)) {
  std::string members;
  for (StepIndex step = 0; step < graph.workflow().steps().size(); ++step) {
    if (has(graph, step)) members.append(members.empty() ? "" : ",").append(id_of(node_of(step)));
  }
  if (members.empty()) return;
  text.append("  classDef ").append(name).append(" ").append(style).append("\n");
  text.append("  class ").append(members).append(" ").append(name).append("\n");
}

// Of a step that is a workflow, with the name of that.
std::string label_of(const StepDefinition& step) {
  if (!step.is_child() || step.elsewhere()) return step.name;
  const Workflow* child = step.child.get();
  return step.name + (child == nullptr ? std::string(": itself") : ": " + child->name());
}

bool is_elsewhere(const Graph& graph, StepIndex step) { return graph.workflow().steps()[step].elsewhere(); }
bool is_unreachable(const Graph& graph, StepIndex step) { return !graph.paths().is_reachable(step); }

std::string draw_mermaid(const Graph& graph) {
  std::string text = "---\ntitle: " + yaml_text(graph.workflow().name()) + "\n---\nflowchart TD\n";
  const std::vector<StepDefinition>& steps = graph.workflow().steps();
  for (StepIndex step = 0; step < steps.size(); ++step) {
    const bool is_join = steps[step].join.has_value();
    const char* const open = is_join ? "{{" : steps[step].elsewhere() ? "[[" : "[";
    const char* const close = is_join ? "}}" : steps[step].elsewhere() ? "]]" : "]";
    text.append("  ").append(id_of(node_of(step))).append(open).append(mermaid_text(label_of(steps[step])));
    text.append(close).append("\n");
  }
  for (const BesideNode& node : kBeside) {
    if (!graph.has(node.what)) continue;
    text.append("  ").append(node.id).append("([\"").append(node.label).append("\"])\n");
  }
  for (const Edge& edge : graph.edges()) {
    const bool is_solid = edge.line == Line::known;
    text.append("  ").append(id_of(edge.from));
    if (!edge.label.empty()) text.append(is_solid ? " -- " : " -. ").append(mermaid_text(edge.label));
    text.append(is_solid                   ? " --> "
                : edge.line == Line::scope ? " .- "
                : edge.label.empty()       ? " -.-> "
                                           : " .-> ");
    text.append(id_of(edge.to)).append("\n");
  }
  put_class(text, graph, "elsewhere", "stroke-width:4px", is_elsewhere);
  put_class(text, graph, "unreachable", "stroke-dasharray:5", is_unreachable);
  return text;
}

// ----------------------------------------------------------------------------------------------------------- DOT

// A label has escapes of its own (\N is the name of the node), and entities of HTML.
std::string dot_text(std::string_view name) {
  std::string text = "\"";
  for (const char byte : name) {
    if (byte == '"' || byte == '\\') {
      text.append("\\").append(1, byte);
    } else if (byte == '&') {
      text += "&amp;";
    } else if (!put_picture(text, byte)) {
      text += byte;
    }
  }
  return text += '"';
}

std::string draw_dot(const Graph& graph) {
  std::string text = "digraph {\n  label=" + dot_text(graph.workflow().name()) + ";\n  node [shape=box];\n";
  const std::vector<StepDefinition>& steps = graph.workflow().steps();
  for (StepIndex step = 0; step < steps.size(); ++step) {
    text.append("  ").append(id_of(node_of(step))).append(" [label=").append(dot_text(label_of(steps[step])));
    if (steps[step].join) text.append(", shape=hexagon");
    if (steps[step].elsewhere()) text.append(", peripheries=2");
    if (is_unreachable(graph, step)) text.append(", style=dashed");
    text.append("];\n");
  }
  for (const BesideNode& node : kBeside) {
    if (!graph.has(node.what)) continue;
    text.append("  ")
        .append(node.id)
        .append(" [label=")
        .append(dot_text(node.label))
        .append(", shape=oval];\n");
  }
  for (const Edge& edge : graph.edges()) {
    text.append("  ").append(id_of(edge.from)).append(" -> ").append(id_of(edge.to)).append(" [");
    if (!edge.label.empty()) text.append("label=").append(dot_text(edge.label));
    if (edge.line != Line::known) text.append(edge.label.empty() ? "" : ", ").append("style=dashed");
    if (edge.line == Line::scope) text.append(", dir=none");
    text.append("];\n");
  }
  return text += "}\n";
}

}  // namespace

Result<std::string> draw_workflow(const Workflow& workflow, DrawFormat format) {
  const Graph graph(workflow);
  if (graph.is_too_large())
    return Error::make(Status::limit, "a drawing of the workflow would have more than " +
                                          std::to_string(kEdgesMax) +
                                          " edges: blazen_workflow_describe says it all");
  return format == DrawFormat::mermaid ? draw_mermaid(graph) : draw_dot(graph);
}

}  // namespace blazen

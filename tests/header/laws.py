#!/usr/bin/env python3
"""Checks that include/blazen/blazen.h keeps the laws that it opens with, and that every compiler takes it alone.

    tests/header/laws.py [header]     checks the header
    tests/header/laws.py --self-test  plants a fault against each check and sees that it is found

Read from the text: comments, tags, names, types. Tried with gcc and clang: C99 to C17 and C++11 to C++20 at their
strictest, and the bare form (BLAZEN_BARE) with a parser that knows C alone.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "include/blazen/blazen.h"
ALLOCATIONS = ROOT / "tests/fault/alloc_test.cc"

VERSIONS = {"0.1", "0.2"}
THREADS = {"any", "outside", "step"}
BLOCKS = {"no", "yes"}
CALLS = {"none", "drop", "host"}
# Owners that a borrowed pointer may name beside the parameters.
OWNERS = {"the library", "the value", "the workflow", "the runtime", "the run", "the stream", "this call"}

# Macros that declare nothing for users: they need no tags.
PLUMBING = {"BLAZEN_BLAZEN_H", "BLAZEN_API"}
# blazen_status as an answer that cannot fail, and callbacks whose failure is only a number.
NO_ERROR_PARAMETER = {"blazen_error_status", "blazen_post_fn"}
# Callbacks whose first parameter is an object of the host under another name.
OBJECT_OF_ITS_OWN = {"blazen_serialize_fn": "object"}
# Elements of an array: they have no size and cannot grow.
ELEMENTS = {"blazen_mapper", "blazen_branch", "blazen_deserializer"}
# A drop is only compared here: nothing is registered.
COMPARES_DROP = {"blazen_value_object_of"}
# Handles that are not counted: they live for a call.
NOT_COUNTED = {"blazen_context", "blazen_task"}

# A double has 64 bits, as IEEE 754 says, wherever this library runs.
SCALARS = {"void", "int32_t", "uint32_t", "int64_t", "uint64_t", "size_t", "double"}
FORBIDDEN = [
    (r"\.\.\.", "is variadic"),
    (r"\blong\b", "uses long: its size differs between platforms"),
    (r"\bFILE\b", "uses FILE"),
    (r"\binline\b", "is inline"),
    (r"\b(?:int|unsigned|short|char|float|bool|_Bool|wchar_t)\b(?!\s*\*)", "uses a type whose size is not fixed"),
    (r"\w\s*:\s*\d", "has a bit-field"),
    (r"\bunion\b", "has a union"),
    (r"\benum\s+\w", "has a named enum: it is not 32 bits wide everywhere"),
]

# kind: define, opaque, scalar, callback, struct, enum or function; text: without comments, on one line; raw: with them.
Item = namedtuple("Item", "kind name text line comment grouped raw")
Tags = namedtuple("Tags", "own thread block calls since")

# ---- reading the header ----

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<directive>^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])*)
  | (?P<other>[^\n/#]+|[/#])
  | (?P<newline>\n)
""", re.VERBOSE | re.MULTILINE | re.DOTALL)


def without_comments(text):
    return " ".join(re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL).replace("\\\n", " ").split())


def chunks(text):
    """The header as a list of (kind, text, line): comment, directive, code (up to its semicolon) and blank."""
    found, code, begun = [], "", 0
    for match in TOKEN.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        kind, part = match.lastgroup, match[0]
        if code.strip():
            code += part
            if kind == "other" and code_ends(code):
                found.append(("code", code, begun))
                code = ""
            continue
        code = ""
        if kind in ("comment", "directive"):
            found.append((kind, part, line))
        elif kind == "newline":
            if text[match.end() - 2:match.end() - 1] == "\n":
                found.append(("blank", "", line))
        elif part.strip():
            code, begun = part, line
            if code_ends(code):
                found.append(("code", code, begun))
                code = ""
    if code.strip():
        found.append(("code", code, begun))
    return found


def code_ends(code):
    """Whether a piece of code is a whole declaration, or one brace of extern "C"."""
    bare = without_comments(code)
    if re.fullmatch(r'extern "C" \{|\}', bare):
        return True
    return bare.endswith(";") and bare.count("{") == bare.count("}")


def classify(kind, text):
    """The (kind, name) of a declaration; None for what declares nothing."""
    bare = without_comments(text)
    if kind == "directive":
        match = re.match(r"#\s*define\s+(\w+)", bare)
        return ("define", match[1]) if match and match[1] not in PLUMBING else None
    if re.fullmatch(r'extern "C" \{|\}', bare):
        return None
    for pattern, what in (
            (r"typedef struct (\w+) \w+;", "opaque"),
            (r"typedef [\w\s*]+\(\*(\w+)\)\s*\(", "callback"),
            (r"typedef struct (\w+) \{", "struct"),
            (r"typedef \w+ (\w+);", "scalar"),
            (r"enum \{\s*(\w+)", "enum"),
            (r"BLAZEN_API [\w\s*]*?(\w+)\s*\(", "function")):
        match = re.match(pattern, bare)
        if match:
            return what, match[1]
    return "unknown", bare[:60]


def items(text):
    """Every declaration with the comment that covers it: its own, or that of the group it goes on."""
    found, comment, last = [], None, None
    for kind, part, line in chunks(text):
        if kind == "comment":
            comment, last = part, None
            continue
        what = classify(kind, part) if kind in ("directive", "code") else None
        if what is None:
            comment, last = None, None
            continue
        grouped = comment is None and last is not None and last.kind == what[0] and what[0] in ("define", "opaque")
        item = Item(*what, without_comments(part), line, last.comment if grouped else comment, grouped, part)
        found.append(item)
        # A remark behind a #define belongs to it: the next line may go on the group.
        comment, last = None, item
    return found


# ---- the tags ----

TAG_LINE = re.compile(r"\[own: (.*?) \| thread: (\w+) \| block: (\w+) \| calls: (\w+) \| since: ([\w.]+)\]$")


def parse_tags(comment):
    """The tags at the end of a comment; a text that says why there are none."""
    last = [line.strip(" *\t") for line in comment.removesuffix("*/").removeprefix("/*").rstrip(" *\n").splitlines()][-1]
    match = TAG_LINE.search(last)
    if not match or not last.startswith("[own: "):
        return None, "its comment does not end with one line [own: ... | thread: ... | block: ... | calls: ... | since: ...]"
    own = {}
    for entry in [] if match[1] == "none" else match[1].split(", "):
        word = re.fullmatch(r"(\w+) ((?:in|keep|out)\??|borrow [\w ]+)", entry)
        if not word:
            return None, f"own: cannot read '{entry}'"
        own[word[1]] = word[2]
    return Tags(own, *match.groups()[1:]), None


def parameters(item):
    """The (type, name) of each parameter of a function or callback; the name is empty where there is none."""
    inside = item.text[item.text.rindex("(") + 1:item.text.rindex(")")].strip()
    if inside in ("", "void"):
        return []
    named = [(part.strip(), re.fullmatch(r"(.+?)\s*(\b\w+)", part.strip())) for part in inside.split(",")]
    return [match.groups() if match else (part, "") for part, match in named]


def returned(item):
    """The return type of a function or callback."""
    pattern = r"BLAZEN_API (.*?)\s*\w+\s*\(" if item.kind == "function" else r"typedef (.*?)\s*\(\*"
    return re.match(pattern, item.text)[1].strip()


def is_call(item):
    return item.kind in ("function", "callback")


def is_error_output(kind, name):
    return name == "error" and kind.replace(" ", "") == "blazen_error**"


def check_tags(item):
    if item.comment is None:
        yield "is not directly preceded by a comment"
        return
    tags, why = parse_tags(item.comment)
    if why:
        yield why
        return
    if not item.comment.split("[own: ")[0].strip("/*<\n "):
        yield "its comment says nothing but its tags"
    for word, value, known in (("thread", tags.thread, THREADS), ("block", tags.block, BLOCKS),
                               ("calls", tags.calls, CALLS), ("since", tags.since, VERSIONS)):
        if value not in known:
            yield f"{word}: '{value}' is none of {', '.join(sorted(known))}"
    if item.kind != "function" and tags.calls != "none":
        yield f"calls: '{tags.calls}', but it is no function"
    if tags.calls == "none" and item.kind == "function" and item.name not in COMPARES_DROP and any(kind == "blazen_drop_fn" for kind, _ in parameters(item)):
        yield "calls: none, but it takes a drop, which runs where it fails (law 4)"
    yield from check_own(item, tags.own)


def check_own(item, own):
    """Each pointer stands in own, once, with a word that its type allows; nothing else does."""
    pointers = {}
    if is_call(item):
        pointers = {name: kind for kind, name in parameters(item) if "*" in kind and not is_error_output(kind, name)}
        if "*" in returned(item):
            pointers["return"] = returned(item)
    for name in pointers.keys() - own.keys():
        yield f"own says nothing of {name}"
    for name in own.keys() - pointers.keys():
        yield f"own speaks of {name}, which is no pointer here"
    for name in sorted(pointers.keys() & own.keys()):
        yield from check_own_word(name, own[name], pointers)


def check_own_word(name, word, pointers):
    kind, may_be_null = pointers[name], word.endswith("?")
    word = word.removesuffix("?")
    # A number of the system's, which lives as long as what it belongs to.
    if name == "descriptor" and kind.replace(" ", "") == "int32_t*":
        if not word.startswith("borrow "):
            yield f"own: {name} belongs to the library, so it has to be borrowed"
    if name == "return" and may_be_null:
        yield "own: `?` is about what is given, not about what is returned"
    if word == "out" and name != "return" and kind.startswith("const") and kind.count("*") == 1:
        yield f"own: {name} is const, so it cannot be out"
    # An array of texts is given, not taken.
    is_array = re.fullmatch(r"const char ?\* ?const ?\*", kind.strip()) is not None
    if name != "return" and kind.count("*") == 2 and not is_array and word != "out":
        yield f"own: {name} is a place for an output, so it has to be out"
    if name == "return" and word in ("in", "keep"):
        yield f"own: what is returned is out or borrowed, not '{word}'"
    if word.startswith("borrow "):
        owner = word.removeprefix("borrow ")
        if owner not in OWNERS and (owner not in pointers or owner == name):
            yield f"own: {name} borrows from '{owner}', which is neither a parameter nor one of: " \
                  f"{', '.join(sorted(OWNERS))}"


# ---- the laws about one declaration ----


def check_words(item):
    """Nothing that differs between platforms, languages or compilers (law 10)."""
    if item.kind == "unknown":
        yield "is a declaration of a form that the laws do not know"
    if item.kind == "define":
        return
    # An enum's numbers and a callback's `(*name)` are not what the words below look for.
    for pattern, why in FORBIDDEN:
        if re.search(pattern, item.text):
            yield why
    if item.kind == "enum":
        for constant in item.text[item.text.index("{") + 1:item.text.rindex("}")].split(","):
            if constant.strip() and not re.fullmatch(r"\s*BLAZEN_[A-Z0-9_]+ = -?(\d+|0x[0-9A-Fa-f]+)\s*", constant):
                yield f"leaves a number to the compiler, or is not named BLAZEN_...: {constant.strip()}"


def check_call(item, known):
    """Law 3, types of fixed width by value, and user_data with its drop."""
    if not is_call(item):
        return
    params, answer = parameters(item), returned(item)
    has_error = bool(params) and is_error_output(*params[-1])
    if any(is_error_output(*param) for param in params[:-1]):
        yield "has error, but not as its last parameter"
    if answer == "blazen_status" and not has_error and item.name not in NO_ERROR_PARAMETER:
        yield "returns blazen_status without `blazen_error **error` as its last parameter"
    if has_error and answer != "blazen_status":
        yield "takes error, but does not return blazen_status"
    for kind in [answer, *(kind for kind, _ in params)]:
        if "*" not in kind and kind != "..." and kind.removeprefix("const ") not in SCALARS | known["scalar"] | known["callback"]:
            yield f"passes {kind} by value"
    yield from check_user_data(item, params)


def check_user_data(item, params):
    kinds = [kind for kind, _ in params]
    if item.kind == "callback":
        wanted = OBJECT_OF_ITS_OWN.get(item.name, "user_data")
        if not params or params[0] != ("void *", wanted):
            yield f"is a callback whose first parameter is not `void *{wanted}`"
        return
    for at, kind in enumerate(kinds):
        if kind.endswith("_fn") and kind != "blazen_drop_fn":
            if params[at + 1:at + 3] != [("void *", "user_data"), ("blazen_drop_fn", "drop")]:
                yield f"takes {kind} without `void *user_data, blazen_drop_fn drop` behind it"


def check_fields(item):
    """Whose each pointer in a struct is: its comment begins with a word of own."""
    if item.kind != "struct":
        return
    body = item.raw[item.raw.index("{") + 1:item.raw.rindex("}")]
    for name, comment in re.findall(r"\*\s*(\w+);[ \t]*(?:/\*+<?\s*(.*?)\*/)?", body, re.DOTALL):
        if item.name.endswith("_view"):  # filled by the library
            if not re.match(r"borrow(?:\??: |$)", comment.strip()):
                yield f"the comment of {name} does not begin with borrow, or borrow? and a colon"
        elif not re.match(r"(?:in|keep)\??: ", comment):
            yield f"the comment of {name} does not begin with in, in?, keep or keep?, and a colon"


# What #if needs.
FOR_THE_PREPROCESSOR = r"BLAZEN_VERSION_\w+"


def check_constant(item):
    """What fits in an int is an enum constant: a parser without a preprocessor has it."""
    match = re.fullmatch(r"#define (\w+) \(?(-?\w+)\)?", item.text) if item.kind == "define" else None
    if not match or re.fullmatch(FOR_THE_PREPROCESSOR, match[1]) or not re.fullmatch(r"-?(0x)?[0-9a-fA-F]+", match[2]):
        return
    if -2**31 <= int(match[2], 0) < 2**31:
        yield "is a number that fits in an int: make it an enum constant"


def check_name(item):
    upper = item.kind in ("define", "enum")
    if not re.fullmatch(r"BLAZEN_[A-Z0-9_]+" if upper else r"blazen_[a-z0-9_]+", item.name):
        yield "is not named as the others are"


# ---- the laws about several declarations ----


def check_structs(all_items):
    """Law 8: each option struct opens with its size, and has an _INIT macro and an init function."""
    names = {item.name for item in all_items}
    for item in all_items:
        if item.kind != "struct" or item.name in ELEMENTS:
            continue
        if not re.search(r"\{ size_t struct_size;", item.text):
            yield item, "does not open with size_t struct_size"
        for needed in (f"{item.name.upper()}_INIT", f"{item.name}_init"):
            if needed not in names:
                yield item, f"has no {needed}"


def check_handles(all_items):
    """Law 1: a counted handle has both _retain and _release."""
    calls = {item.name: item for item in all_items if item.kind == "function"}
    for item in all_items:
        if item.kind != "opaque" or item.name in NOT_COUNTED:
            continue
        for needed, answer in ((f"{item.name}_retain", f"{item.name} *"), (f"{item.name}_release", "void")):
            if needed not in calls:
                yield item, f"has no {needed}"
            elif returned(calls[needed]) != answer:
                yield calls[needed], f"does not return {answer}"


def check_twice(all_items):
    seen = {}
    for item in all_items:
        names = re.findall(r"(BLAZEN_\w+) =", item.text) if item.kind == "enum" else [item.name]
        for name in names:
            if name in seen:
                yield item, f"{name} is declared in line {seen[name]} already"
            seen[name] = item.line


def text_faults(text):
    """Every law that can be read off the text, as "line N: name ...: why"."""
    all_items = items(text)
    known = {kind: {item.name for item in all_items if item.kind == kind} for kind in ("scalar", "callback")}
    found = []
    for item in all_items:
        for check in (check_tags, check_words, check_name, check_fields, check_constant, lambda one: check_call(one, known)):
            found += [(item, why) for why in check(item)]
    for check in (check_structs, check_handles, check_twice):
        found += check(all_items)
    if not any(item.kind == "function" for item in all_items):
        return ["no function found"]
    return [f"line {item.line}: {item.name}: {why}" for item, why in found]


def functions(text):
    """The names of all functions, for the other checks of the header."""
    return [item.name for item in items(text) if item.kind == "function"]


def not_failed(text, tests):
    """The functions that can fail, and that no life of the test of allocations calls."""
    can_fail = [item.name for item in items(text)
                if item.kind == "function" and any(is_error_output(*each) for each in parameters(item))]
    return [f"{name}: {ALLOCATIONS.name} does not call it: how does it do without memory?"
            for name in can_fail if not re.search(rf"\b{name}\b", tests)]


# ---- compilers ----

GCC = ["-Wall", "-Wextra", "-Wpedantic", "-pedantic-errors", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow",
       "-Wundef", "-Wredundant-decls", "-Wcast-qual", "-Wwrite-strings", "-Wswitch-enum"]
GCC_C = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wold-style-definition", "-Wc++-compat"]
GCC_CXX = ["-Wold-style-cast", "-Wzero-as-null-pointer-constant", "-Wextra-semi", "-Wuseless-cast"]
# All that clang knows, but what speaks of other language levels, of layout, of memory models and of unused macros.
CLANG = ["-Weverything", "-Wpedantic", "-pedantic-errors", "-Werror", "-Wno-unsafe-buffer-usage", "-Wno-padded",
         "-Wno-c++98-compat", "-Wno-c++98-compat-pedantic", "-Wno-pre-c11-compat", "-Wno-pre-c23-compat",
         "-Wno-declaration-after-statement", "-Wno-unused-macros", "-Wno-documentation-unknown-command"]

COMPILERS = [
    *(("gcc", "c", standard, GCC + GCC_C) for standard in ("c99", "c11", "c17")),
    *(("clang-19", "c", standard, CLANG) for standard in ("c99", "c11", "c17")),
    *(("g++", "c++", standard, GCC + GCC_CXX) for standard in ("c++11", "c++14", "c++17", "c++20")),
    *(("clang++-19", "c++", standard, CLANG) for standard in ("c++11", "c++14", "c++17", "c++20")),
]

FORMS = {"alone": [], "static": ["-DBLAZEN_STATIC"], "building": ["-DBLAZEN_BUILDING"]}


def program(text):
    """A unit that includes the header twice and uses every macro, since an unused one is not compiled."""
    names = [item.name for item in items(text) if item.kind == "define"]
    lines = ['#include "blazen/blazen.h"', '#include "blazen/blazen.h"', "int blazen_header_law(void);",
             "int blazen_header_law(void) {", "  uint64_t sum = 0;"]
    for name in names:
        if name.endswith("_INIT"):
            lines += [f"  {{ {name[:-5].lower()} made = {name}; sum += made.struct_size; }}"]
        elif name == "BLAZEN_TEXT":
            lines += ['  { struct { const char *at; size_t length; } pair = { BLAZEN_TEXT("[1]") };',
                      "    sum += pair.length + (pair.at != NULL); }"]
        else:
            lines += [f"  sum += (sizeof({name}) != 0);"]
    return "\n".join([*lines, "  return sum != 0;", "}", ""])


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def compile_one(folder, source, compiler, language, standard, flags, form):
    command = [compiler, "-x", language, f"-std={standard}", *flags, *FORMS[form], f"-I{folder}", "-c",
               "-o", f"{folder}/{compiler}-{standard}-{form}.o", str(source)]
    done = run(command)
    if done.returncode == 0:
        return []
    return [f"{compiler} -std={standard} ({form}) refuses it:\n{done.stderr.strip()}"]


def compile_faults(text):
    """The header by itself, under every compiler and standard."""
    missing = [tool for tool in sorted({row[0] for row in COMPILERS}) if not shutil.which(tool)]
    if missing:
        return [f"not installed: {', '.join(missing)}; run: tools/setup test"]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        (Path(folder) / "blazen").mkdir()
        (Path(folder) / "blazen/blazen.h").write_text(text, encoding="utf-8")
        source = Path(folder) / "alone.inc"
        source.write_text(program(text), encoding="utf-8")
        tasks = [pool.submit(compile_one, folder, source, *row, form) for row in COMPILERS for form in FORMS]
        return [fault for task in tasks for fault in task.result()]


# ---- the bare form ----

# What a parser that knows C alone is told beforehand.
BARE_TYPES = "".join(f"typedef {kind} {name};\n" for name, kind in (
    ("int32_t", "int"), ("uint32_t", "unsigned int"), ("int64_t", "long long"), ("uint64_t", "unsigned long long"),
    ("size_t", "unsigned long long")))


def bare_text(text):
    """The header as the preprocessor leaves it under BLAZEN_BARE."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blazen.h"
        path.write_text(text, encoding="utf-8")
        done = run(["gcc", "-E", "-P", "-x", "c", "-nostdinc", "-DBLAZEN_BARE", str(path)])
    if done.returncode != 0:
        raise ValueError(f"the preprocessor refuses the bare form:\n{done.stderr.strip()}")
    return done.stdout


def bare_faults(text):
    """The bare form is plain C: no attribute, no include, no macro of ours left."""
    try:
        from pycparser import c_ast, c_parser
    except ImportError:
        return ["pycparser is missing; run: tools/setup test, and use build/venv/bin/python"]
    try:
        bare = bare_text(text)
    except ValueError as error:
        return [str(error)]
    found = [f"the bare form contains {word}" for word in ("__attribute__", "__declspec", "BLAZEN_API", "extern", "#")
             if word in bare]
    try:
        tree = c_parser.CParser().parse(BARE_TYPES + bare)
    except Exception as error:  # the parser's own exception differs between its versions
        return [*found, f"the bare form is not plain C: {error}"]
    declared = {node.name for node in tree.ext if isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl)}
    if declared != set(functions(text)):
        found.append(f"the bare form has other functions: {sorted(declared ^ set(functions(text)))}")
    return found


# ---- self-test ----

SAMPLE = '''/* A header like ours. */
#ifndef BLAZEN_BLAZEN_H
#define BLAZEN_BLAZEN_H
#ifndef BLAZEN_BARE
#include <stddef.h>
#include <stdint.h>
#endif
/* BLAZEN_API marks what is exported. */
#if defined(BLAZEN_BARE) || defined(BLAZEN_STATIC)
#define BLAZEN_API
#else
#define BLAZEN_API __attribute__((visibility("default")))
#endif
#ifndef BLAZEN_BARE
/* Two arguments.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_TEXT(literal) (literal), (sizeof(literal) - 1)
#ifdef __cplusplus
extern "C" {
#endif
#endif
/* Bounds.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_NAME_MAX 0x100000000 /* a name */
#define BLAZEN_STEP_MAX 4096000000

/* ------ types */

/* How it ended.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef int32_t blazen_status;
/* The values.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
enum {
    BLAZEN_OK = 0, /* well */

    BLAZEN_BAD = 1
};
/* Handles.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_error blazen_error;
typedef struct blazen_value blazen_value;

/* Ends it.
 * [own: user_data keep | thread: any | block: no | calls: none | since: 0.1] */
typedef void (*blazen_drop_fn)(void *user_data);
/* A step.
 * [own: user_data borrow the workflow, value borrow this call | thread: any | block: no | calls: none | since: 0.1] */
typedef blazen_status (*blazen_step_fn)(void *user_data, blazen_value *value,
                                        blazen_error **error);
/* Options.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
typedef struct blazen_options {
    size_t struct_size;
    const char *name; /**< in?: its name */
    void *user_data;  /**< keep: of nothing */
} blazen_options;
/* The defaults.
 * [own: none | thread: any | block: no | calls: none | since: 0.1] */
#define BLAZEN_OPTIONS_INIT \\
    { sizeof(blazen_options), NULL, NULL }
/* Defaults.
 * [own: options in | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_options_init(blazen_options *options, size_t struct_size);
/* One more.
 * [own: error in, return out | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_error *blazen_error_retain(const blazen_error *error);
/* Takes it back.
 * [own: error keep | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_error_release(blazen_error *error);
/* Makes one.
 * [own: text in, value out | thread: outside | block: yes | calls: host | since: 0.1] */
BLAZEN_API blazen_status blazen_value_json(const char *text, size_t text_length, blazen_value **value,
                                           blazen_error **error);
/* One more.
 * [own: value in, return out | thread: step | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_value *blazen_value_retain(const blazen_value *value);
/* Takes it back.
 * [own: value keep | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API void blazen_value_release(blazen_value *value);
/* The text.
 * [own: value in, length out?, return borrow value | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_value_text(const blazen_value *value, size_t *length);
/* Calls later.
 * [own: value in, user_data keep | thread: any | block: no | calls: drop | since: 0.1] */
BLAZEN_API blazen_status blazen_value_on(blazen_value *value, blazen_step_fn step, void *user_data,
                                         blazen_drop_fn drop, blazen_error **error);
/* A descriptor.
 * [own: value in, descriptor borrow value | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API blazen_status blazen_value_descriptor(blazen_value *value, int32_t *descriptor, blazen_error **error);
/* The version.
 * [own: return borrow the library | thread: any | block: no | calls: none | since: 0.1] */
BLAZEN_API const char *blazen_version(void);
#ifndef BLAZEN_BARE
#ifdef __cplusplus
}
#endif
#endif
#endif
'''

TAGGED = "/* It.\n * [own: none | thread: any | block: no | calls: none | since: 0.1] */\n"
VERSION = "BLAZEN_API const char *blazen_version(void);\n"

# What is replaced in the sample, by what, and a part of the fault that the reader of the text has to find.
TEXT_PLANTS = [
    ("/* The version.\n * [own: return borrow the library | thread: any | block: no | calls: none | since: 0.1] */\n", "",
     "blazen_version: is not directly preceded by a comment"),
    (VERSION, "\n" + VERSION, "blazen_version: is not directly preceded by a comment"),
    ("#define BLAZEN_STEP_MAX", "\n#define BLAZEN_STEP_MAX", "BLAZEN_STEP_MAX: is not directly preceded"),
    ("typedef struct blazen_value", "\ntypedef struct blazen_value", "blazen_value: is not directly preceded"),
    ("/* How it ended.\n * [own: none | thread: any | block: no | calls: none | since: 0.1] */", "/* How it ended. */",
     "blazen_status: its comment does not end with one line"),
    ("enum {", "\nenum {", "BLAZEN_OK: is not directly preceded"),
    ("typedef struct blazen_options {", "\ntypedef struct blazen_options {", "blazen_options: is not directly preceded"),
    ("#define BLAZEN_OPTIONS_INIT", "\n#define BLAZEN_OPTIONS_INIT", "BLAZEN_OPTIONS_INIT: is not directly preceded"),
    ("since: 0.1] */\n" + VERSION, "since: 0.1] It is text. */\n" + VERSION, "does not end with one line"),
    ("thread: outside | block: yes | calls", "thread: outside | calls", "does not end with one line"),
    ("block: yes | calls: host | since", "block: yes | since", "does not end with one line"),
    ("thread: outside", "thread: inside", "thread: 'inside' is none of"),
    ("block: yes", "block: maybe", "block: 'maybe' is none of"),
    ("/* How it ended.\n * [own: none | thread: any | block: no | calls: none", "/* How it ended.\n * [own: none | thread: any | block: no | calls: drop",
     "blazen_status: calls: 'drop', but it is no function"),
    ("[own: value in, user_data keep | thread: any | block: no | calls: drop",
     "[own: value in, user_data keep | thread: any | block: no | calls: none", "blazen_value_on: calls: none, but it takes a drop"),
    ("/* Takes it back.\n * [own: error", "/* [own: error", "blazen_error_release: its comment says nothing but its tags"),
    ("calls: host", "calls: somebody", "calls: 'somebody' is none of"),
    ("calls: host | since: 0.1", "calls: host | since: 9.9", "since: '9.9' is none of"),
    ("[own: text in, value out", "[own: text in", "own says nothing of value"),
    ("[own: text in, value out", "[own: text in, value takes", "own: cannot read 'value takes'"),
    ("[own: text in, value out", "[own: text in, text_length in, value out", "own speaks of text_length"),
    ("[own: text in, value out", "[own: text in, value in", "own: value is a place for an output"),
    ("[own: text in, value out", "[own: text out, value out", "own: text is const"),
    ("length out?, return borrow value", "return borrow value", "own says nothing of length"),
    ("length out?, return borrow value", "length out?", "own says nothing of return"),
    ("length out?", "length ?out", "own: cannot read 'length ?out'"),
    ("length out?", "length out??", "own: cannot read 'length out??'"),
    ("length out?", "length borrow value?", "own: cannot read 'length borrow value?'"),
    ("error in, return out", "error in, return out?", "`?` is about what is given"),
    ("descriptor borrow value", "descriptor out", "descriptor belongs to the library"),
    ("/**< in?: its name", "/**< its name", "the comment of name does not begin with"),
    ("  /**< keep: of nothing */", "", "the comment of user_data does not begin with"),
    ("BLAZEN_STEP_MAX 4096000000", "BLAZEN_STEP_MAX 4096", "BLAZEN_STEP_MAX: is a number that fits in an int"),
    ("BLAZEN_STEP_MAX 4096000000", "BLAZEN_STEP_MAX (-1)", "BLAZEN_STEP_MAX: is a number that fits in an int"),
    ("return borrow value", "return borrow somebody", "borrows from 'somebody'"),
    ("return borrow value", "return keep", "what is returned is out or borrowed"),
    ("[own: error keep", "[own: error keep, return out", "own speaks of return"),
    ("[own: error keep", "[own: none", "own says nothing of error"),
    ("[own: user_data borrow the workflow, value", "[own: value", "own says nothing of user_data"),
    ("blazen_value **value,\n                                           blazen_error **error);", "blazen_value **value);",
     "blazen_value_json: returns blazen_status without"),
    ("blazen_drop_fn drop, blazen_error **error);", "blazen_error **error, blazen_drop_fn drop);",
     "blazen_value_on: has error, but not as its last parameter"),
    ("blazen_status blazen_value_json", "int32_t blazen_value_json", "takes error, but does not return"),
    ("blazen_step_fn step, void *user_data,", "void *user_data, blazen_step_fn step,",
     "takes blazen_step_fn without `void *user_data"),
    ("(void *user_data, blazen_value *value,", "(blazen_value *value, void *user_data,",
     "blazen_step_fn: is a callback whose first parameter"),
    ("size_t text_length,", "size_t text_length, ...,", "is variadic"),
    ("blazen_version(void);", "blazen_version(...);", "is variadic"),
    ("size_t text_length,", "long text_length,", "uses long"),
    ("size_t text_length,", "unsigned long text_length,", "uses long"),
    ("size_t text_length,", "int text_length,", "uses a type whose size is not fixed"),
    ("const char *text,", "FILE *text,", "uses FILE"),
    ("size_t text_length,", "blazen_options text_length,", "passes blazen_options by value"),
    ("const char *name; /*", "uint32_t flag : 1; /*", "has a bit-field"),
    ("BLAZEN_API void blazen_error_release", "BLAZEN_API inline void blazen_error_release", "is inline"),
    ("enum {", "enum blazen_codes {", "blazen_codes"),
    ("BLAZEN_BAD = 1", "BLAZEN_BAD", "leaves a number to the compiler"),
    ("BLAZEN_BAD = 1", "BLAZEN_NAME_MAX = 1", "is declared in line"),
    ("    size_t struct_size;\n", "    int32_t size;\n", "does not open with size_t struct_size"),
    ("void blazen_options_init", "void blazen_options_start", "has no blazen_options_init"),
    ("define BLAZEN_OPTIONS_INIT", "define BLAZEN_OPTIONS_BEGIN", "has no BLAZEN_OPTIONS_INIT"),
    ("void blazen_value_release", "void blazen_value_free", "has no blazen_value_release"),
    ("void blazen_error_release", "int32_t blazen_error_release", "does not return void"),
    ("blazen_value_text", "Blazen_value_text", "is not named as the others are"),
    (VERSION, VERSION + TAGGED + "extern int32_t blazen_counter;\n", "of a form that the laws do not know"),
    (VERSION, VERSION + TAGGED + "void blazen_hidden(void);\n", "of a form that the laws do not know"),
]

# The same for the compilers: a standard that has to refuse it.
COMPILE_PLANTS = [
    ("    BLAZEN_BAD = 1\n", "    BLAZEN_BAD = 1,\n    BLAZEN_WORSE = 3000000000\n", "-std=c99"),
    ("#include <stdint.h>\n", "", "-std=c++11"),
    ("    { sizeof(blazen_options), NULL, NULL }", "    { .struct_size = sizeof(blazen_options), .name = NULL }", "-std=c++17"),
    ("    { sizeof(blazen_options), NULL, NULL }", "    { sizeof(blazen_options), }", "-std=c"),
    ("blazen_value_retain(const blazen_value *value);", "blazen_value_retain(const blazen_value *class);", "-std=c++20"),
    ("blazen_version(void);", "blazen_version();", "-std=c17"),
    ("#ifndef BLAZEN_BLAZEN_H\n#define BLAZEN_BLAZEN_H\n", "#if 1\n", "-std=c++14"),
    ("typedef int32_t blazen_status;", "typedef int32_t blazen_status;;", "-std=c11"),
]

BARE_PLANTS = [
    ("#if defined(BLAZEN_BARE) || defined(BLAZEN_STATIC)", "#if defined(BLAZEN_STATIC)", "contains __attribute__"),
    ("#ifndef BLAZEN_BARE\n#include <stddef.h>", "#if 1\n#include <stddef.h>", "the preprocessor refuses"),
    ("#ifndef BLAZEN_BARE\n#ifdef __cplusplus\n}", "#if 1\n}\n#ifdef __cplusplus\n", "is not plain C"),
    (VERSION, "#ifndef BLAZEN_BARE\n" + VERSION + "#endif\n", "has other functions: ['blazen_version']"),
]


def missed(check, plants):
    """What is wrong with a check: it refuses the sample, or it lets a plant pass."""
    failed = [f"{check.__name__} refuses the good sample: {fault}" for fault in check(SAMPLE)]
    for old, new, expected in plants:
        if SAMPLE.count(old) < 1:
            failed.append(f"{check.__name__}: the sample has no '{old}'")
            continue
        found = check(SAMPLE.replace(old, new, 1))
        if not any(expected in fault for fault in found):
            failed.append(f"{check.__name__}: '{old}' -> '{new}': expected '{expected}', found {found}")
    return failed


def self_test():
    checks = ((text_faults, TEXT_PLANTS), (compile_faults, COMPILE_PLANTS), (bare_faults, BARE_PLANTS))
    failed = [fault for check, plants in checks for fault in missed(check, plants)]
    tests = ALLOCATIONS.read_text(encoding="utf-8").replace("blazen_run_fail_question(", "")
    found = not_failed(HEADER.read_text(encoding="utf-8"), tests)
    if [fault.split(":")[0] for fault in found] != ["blazen_run_fail_question"]:
        failed.append("not_failed: does not find blazen_run_fail_question, which is not called")
    count = sum(len(plants) for _, plants in checks) + 1
    return failed, f"self-test: {count} planted faults found\ncases: {count + len(checks)}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        failed, message = self_test()
    else:
        path = Path(sys.argv[1]) if sys.argv[1:] else HEADER
        text = path.read_text(encoding="utf-8")
        failed = [*text_faults(text), *compile_faults(text), *bare_faults(text),
                  *not_failed(text, ALLOCATIONS.read_text(encoding="utf-8"))]
        message = f"laws: {len(items(text))} declarations, {len(functions(text))} of them functions, keep them; " \
                  f"{len(COMPILERS) * len(FORMS)} compilations without a warning\n" \
                  f"cases: {1 + len(COMPILERS) * len(FORMS)}"
    print("\n".join(failed) if failed else message)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# The README's commands, as somebody runs them who has just cloned the tree; works from any folder.
#
# In a fresh copy of the tree: tools/demo and then tools/test, and again the other way round; and every way in which a build
# folder may have been left behind is put right by the next command. tools/test runs one stage and a few of its tests there:
# what is proved is that they are built, found and run. What the outer tree has compiled (build/ccache) and its Python
# environment are shared, for the time alone.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
copy=$(mktemp -d "${TMPDIR:-/tmp}/blazen-commands.XXXXXX")
trap 'rm -rf "$copy"' EXIT
cases=0
export CCACHE_DIR=$root/build/ccache CCACHE_BASEDIR=$copy
some_tests='^(header\.|capi\.consumer|python\.test_relay)'

fail() { printf 'tests/commands.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%s (after %d s)\n' "$*" "$SECONDS"; }
passed() { cases=$((cases + 1)) && say "ok: $*"; }

# As a clone: all but what is built.
clone() {
  rm -rf "${copy:?}"/{*,.[!.]*}
  tar -C "$root" --exclude=./build --exclude=./.git --exclude=__pycache__ --exclude=node_modules -cf - . | tar -C "$copy" -xf -
  mkdir -p "$copy/build"
  ln -s "$root/build/venv" "$copy/build/venv"
}

# ---- the two commands ----

run_demo() { "$copy/tools/demo" --check >"$copy/demo.log" 2>&1 || { cat "$copy/demo.log"; fail "tools/demo failed"; }; }

run_test() {
  "$copy/tools/test" --tests "$some_tests" --only release >"$copy/test.log" 2>&1 || { cat "$copy/test.log"; fail "tools/test failed"; }
  grep -qE '^release +ok .* [1-9][0-9]* passed' "$copy/test.log" || { cat "$copy/test.log"; fail "tools/test ran no test"; }
}

# ---- what configures a folder, whatever was there before ----

configure() { "$copy/tools/configure" "$@" >"$copy/configure.log" 2>&1 || { cat "$copy/configure.log"; fail "tools/configure $*"; }; }
by_hand() { cmake -G Ninja -S "$copy" -B "$copy/build/release" "$@" >"$copy/configure.log" 2>&1 || true; }
has() { grep -qxE "$1:[A-Z]+=$2" "$copy/build/release/CMakeCache.txt" || fail "$what: $1 is not $2 in build/release"; }
is_complete() {
  has BLAZEN_TESTS ON
  has BLAZEN_BENCH ON
  has BLAZEN_INVARIANTS OFF
  has BLAZEN_SANITIZE ''
  has CMAKE_BUILD_TYPE RelWithDebInfo
  has CMAKE_CXX_COMPILER '.*g\+\+'
  ctest --test-dir "$copy/build/release" -N -R '^header\.' | grep -q 'Total Tests: [1-9]' || fail "$what: ctest finds no test"
}

left_by_another_compiler_name() { by_hand -DCMAKE_C_COMPILER=cc -DCMAKE_CXX_COMPILER=c++; }
left_by_another_compiler() { by_hand -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DBLAZEN_TESTS=ON; }
left_without_tests() { by_hand -DBLAZEN_TESTS=OFF; }
left_with_a_sanitizer() { by_hand -DBLAZEN_SANITIZE=thread -DCMAKE_BUILD_TYPE=Debug; }
left_by_a_failure() { by_hand -DBLAZEN_TESTS=ON -DBLAZEN_BENCH=ON -DBLAZEN_FUZZ=ON; } # fuzz targets need clang
left_half_way() { rm -f "$copy/build/release/build.ninja"; }
left_by_another_tree() { sed -i 's|^CMAKE_HOME_DIRECTORY:INTERNAL=.*|&/elsewhere|' "$copy/build/release/CMakeCache.txt"; }
left_by_an_older_compiler() { sed -i 's|\(CMAKE_CXX_COMPILER_VERSION "\)|\10.|' "$copy"/build/release/CMakeFiles/*/CMakeCXXCompiler.cmake; }
left_by_the_demo() { configure --fresh demo; }

put_right() {
  local what
  for what in $(compgen -A function | grep '^left_'); do
    configure release
    "$what"
    configure release
    is_complete
    configure demo # takes nothing away
    is_complete
    passed "$what"
  done
}

# ---- a stage without tests says why ----

says_why() {
  local folder=$copy/build/release
  "$copy/tools/test" --tests '^no such test$' --only release >"$copy/test.log" 2>&1 && fail "a stage that runs no test passes"
  grep -q "no tests were found in build/release: no name matches --tests" "$copy/test.log" ||
    { cat "$copy/test.log"; fail "a stage that runs no test does not say why"; }
  [[ -d $folder ]]
  passed "a stage that runs no test fails, and says why"
}

clone
run_demo && passed "tools/demo in a fresh copy"
run_test && passed "tools/test after tools/demo"
run_demo && passed "tools/demo after tools/test"
says_why
put_right
clone
run_test && passed "tools/test in a fresh copy"
run_demo && passed "tools/demo after tools/test, in a fresh copy"
echo "cases: $cases"

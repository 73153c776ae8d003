# Sourced by scripts/normbench and scripts/test, which set `root`: makes the checkout's .venv, and keeps it at the pins.
# Written for bash 3.2 and the tools that Linux and macOS share.

venv=$root/.venv
# A symlink whose target is the owner's process id: created atomically, so an owner cannot die before its id is in it.
lock=$venv/lock
# A copy of what the environment was made from, written last: if it is missing or differs, the set-up runs again.
stamp=$venv/stamp
# Present in every environment that these scripts made or took over. Without a stamp the set-up was interrupted and is
# repeated, because what a killed installer leaves can look installed.
managed=$venv/managed

say() {
  printf 'normbench: %s\n' "$*" >&2
}

fail() {
  say "$@"
  exit 2
}

# stamp_for PINS: print what the stamp holds when PINS are installed. The folder is part of it, because a .venv that was
# copied or moved along with its checkout still runs the code in the old place.
stamp_for() {
  printf '%s\n' "$root"
  cat "$root/pyproject.toml" "$root/scripts/$1"
}

# is_set_up PINS...: true if the environment was made from one of PINS.
is_set_up() {
  local pins
  [ -x "$venv/bin/normbench" ] && [ -x "$venv/bin/python" ] || return 1
  for pins in "$@"; do
    if stamp_for "$pins" | cmp -s - "$stamp"; then return 0; fi
  done
  return 1
}

# set_up PINS [SUPERSET]: return at once if PINS or SUPERSET are installed; else install PINS.
set_up() {
  if is_set_up "$@"; then return 0; fi
  # A subshell, so that its traps and its folder are not the caller's; stdout belongs to the command that comes after.
  (
    cd "$root" || exit 2
    mkdir -p "$venv" || fail "cannot write to $root"
    take_lock
    trap 'release_lock' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if ! is_set_up "$@"; then install "$1"; fi
  ) >&2 || exit
}

# The owner is the subshell, not the script: it continues if only the script is killed. Bash 3.2 has no $BASHPID.
take_lock() {
  local owner said=
  me=$(exec sh -c 'echo $PPID')
  until ln -s "$me" "$lock" 2>/dev/null; do
    if ! owner=$(readlink "$lock"); then
      [ -w "$venv" ] || fail "cannot write to $venv"
    elif is_alive "$owner"; then
      [ -n "$said" ] || say "waiting for process $owner, which is setting up $venv (if it is not, delete $lock)"
      said=yes
      sleep 1
    elif take_over; then
      return 0
    fi
  done
}

# A zombie process still accepts signals; /proc, if present, distinguishes it from a running one.
is_alive() {
  kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"
}

# Renaming is atomic, but several may have seen the same dead owner: the last to rename has the lock.
take_over() {
  ln -sf "$me" "$lock.$me" && mv -f "$lock.$me" "$lock" || fail "cannot take over $lock"
  sleep 1
  owns_lock
}

owns_lock() {
  [ "$(readlink "$lock")" = "$me" ]
}

release_lock() {
  if owns_lock; then rm -f "$lock"; fi
}

install() {
  local pins=$1 anew=
  can_be_updated || anew=yes
  : >"$managed" && rm -f "$stamp" || fail "cannot write to $venv"
  if [ -n "$anew" ]; then make_venv; fi
  say "installing scripts/$pins into $venv"
  find_uv "$pins"
  # Without build isolation hatchling comes from the pins, not as the newest version from the index.
  "$uv" pip install --python "$venv/bin/python" --requirements "scripts/$pins" &&
    "$uv" pip install --python "$venv/bin/python" --quiet --no-deps --no-build-isolation --editable . ||
    fail "scripts/$pins could not be installed, see above; nothing was started"
  stamp_for "$pins" >"$stamp.new" && mv -f "$stamp.new" "$stamp" || fail "cannot write $stamp"
}

# True for a working environment with other pins, and for a working one made by hand.
can_be_updated() {
  is_new_enough "$venv/bin/python" || return 1
  command -v uv >/dev/null || "$venv/bin/python" -m pip --version >/dev/null 2>&1 || return 1
  if [ -e "$managed" ]; then [ "$(head -n 1 "$stamp" 2>/dev/null)" = "$root" ]; fi
}

make_venv() {
  local python
  python=$(find_python) || exit 2
  say "creating $venv with $("$python" --version 2>&1)"
  find "$venv/" -mindepth 1 -maxdepth 1 ! -name lock ! -name managed -exec rm -rf {} + && "$python" -m venv "$venv" ||
    fail "$venv could not be created, see above"
}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local name found='no python3'
  for name in python3 python3.13 python3.12 python3.11; do
    if is_new_enough "$name"; then
      command -v "$name"
      return 0
    fi
  done
  if command -v python3 >/dev/null; then found=$(python3 --version 2>&1); fi
  fail "needs Python 3.11 or newer, found $found: install one as python3 on the PATH"
}

# find_uv PINS: set `uv` to the one on the PATH, or else to the pinned one in .venv, which pip puts there.
find_uv() {
  uv=$(command -v uv) && return 0
  uv=$venv/bin/uv
  if "$uv" --version >/dev/null 2>&1; then return 0; fi
  "$venv/bin/python" -m pip install --disable-pip-version-check --quiet "$(grep '^uv==' "scripts/$1")" ||
    fail "uv could not be installed, see above"
}

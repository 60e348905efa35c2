# shellcheck shell=bash
# Shared by the tests of packages. A test starts with `isolate "$@"`: it runs in namespaces of its own, so that
# its processes end with it, its mounts vanish and its ports are free.
set -euo pipefail
export LC_ALL=C

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  say "FAILED: $*"
  exit 1
}

passed() { say "ok: $*"; }

# Removes the folder of the test, after the mounts below it: the last one first.
leave() {
  local place
  while read -r place; do
    umount --lazy "$place"
  done < <(awk -v work="$work/" 'index($2, work) == 1 {print $2}' /proc/mounts | tac)
  rm -rf --one-file-system "$work"
}

isolate() {
  if [ -z "${LATCHET_TEST_ISOLATED-}" ]; then
    [ "$(id -u)" -eq 0 ] || fail 'this test enters chroots and mounts folders: run it as root'
    unshare --mount --net --pid --fork true 2>/dev/null ||
      fail 'this machine permits no namespaces (in a container: run it with --privileged)'
    local name=LATCHET_TEST_ISOLATED
    exec env "$name=yes" unshare --mount --net --pid --fork --kill-child --mount-proc bash "$0" "$@"
  fi
  unset LATCHET_TEST_ISOLATED
  python3 - <<'END'
import fcntl, socket, struct
# IFF_UP | IFF_LOOPBACK | IFF_RUNNING for `lo`, as `ip link set lo up` does.
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x49))
END
  mount -t tmpfs none /run
  work=$(mktemp -d)
  trap leave EXIT
  at=http://127.0.0.1:8080
}

# Runs a command until it succeeds; fails after 60 s, or when the process `server` has ended.
wait_for() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited 60 s for $what: $(tail -n 5 "$work/log")"
    kill -0 "$server" 2>/dev/null || fail "the server ended: $(tail -n 5 "$work/log")"
    sleep 0.1
  done
}

# Stops `server` and checks that it ends without an error.
stop() {
  kill -TERM "$server"
  wait "$server" || fail "the server ended with code $?: $(tail -n 5 "$work/log")"
}

readonly password='a long password of alice'

# Logs alice in and sets `refresh` to the body of a refresh.
log_in() {
  local tokens
  tokens=$(curl -fsS "$at/v1/login" --json "{\"username\": \"alice\", \"password\": \"$password\"}")
  refresh=$(jq -c '{refresh_token}' <<<"$tokens")
}

# Checks that the session still exists, and continues it.
continue_session() {
  refresh=$(curl -fsS "$at/v1/refresh" --json "$refresh" | jq -c '{refresh_token}')
}

# Fetches a small Debian once: before `isolate`, which takes the network away.
fetch_debian() {
  base=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")/target/packaging/debian.tar
  if [ ! -e "$base" ]; then
    say 'fetching a Debian of its own'
    mkdir -p "$(dirname "$base")"
    local sources=/etc/apt/sources.list.d/debian.sources
    [ -e "$sources" ] || sources=/etc/apt/sources.list
    mmdebstrap --quiet --format=tar --variant=minbase --include=systemd,procps '' "$base.new" "$sources"
    mv "$base.new" "$base"
  fi
}

# Unpacks that Debian into `tree`.
enter_debian() {
  tree=$work/debian
  mkdir "$tree"
  tar -C "$tree" -xf "$base" --exclude './dev/*'
  mount -t proc none "$tree/proc"
  mount --bind /dev "$tree/dev"
}

in_debian() {
  chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

# Starts what the unit starts, as its user: no systemd runs here. Arguments are variables.
start() {
  local command
  command=$(sed -n 's/^ExecStart=//p' "$tree$unit")
  # shellcheck disable=SC2086 # the words of a command
  (umask 077 && exec chroot --userspec=latchet:latchet "$tree" env -i PATH=/usr/local/bin:/usr/bin:/bin "$@" $command) \
    >"$work/log" 2>&1 &
  server=$!
  wait_for 'the server to be ready' latchet health
}

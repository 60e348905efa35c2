# shellcheck shell=bash
# Shared by the scripts of this folder. Each starts with `prepare "$@"`, which sets these variables:
#   root          folder of the sources
#   output        folder for the packages: target/packages, or that of --output
#   work          folder for intermediate files, empty at first; removed at the end
#   version       version of the program
#   architecture  architecture, as Debian names it: amd64 or arm64
#   host          the same as Rust names it
# and exports SOURCE_DATE_EPOCH, the time that every packed file gets: by default that of the last commit.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC PYTHONDONTWRITEBYTECODE=1

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

prepare() {
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  output=$root/target/packages
  given_program=
  while [ $# -gt 0 ]; do
    case $1 in
      --program) given_program=$(realpath "$2") && shift 2 ;;
      --output) output=$(realpath -m "$2") && shift 2 ;;
      *) fail "unknown option $1; usage: ${0##*/} [--program FILE] [--output FOLDER]" ;;
    esac
  done
  cd "$root"
  mkdir -p "$output"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
  host=$(rustc --print host-tuple)
  case $host in
    x86_64-unknown-linux-gnu) architecture=amd64 ;;
    aarch64-unknown-linux-gnu) architecture=arm64 ;;
    *) fail "packages are built on Linux with glibc, on x86_64 or aarch64; this is $host" ;;
  esac
  if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) ||
      fail 'no commit to take the time from: set SOURCE_DATE_EPOCH'
  fi
  export SOURCE_DATE_EPOCH
}

# Installs what is missing: `require PROGRAM DEBIAN_PACKAGE …`, in pairs.
require() {
  local missing=() sudo=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "please install, by Debian's names: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  say "installing by apt: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# Sets `program`, which is built unless one was given. Names of folders of this machine are no part of it, so
# that two builds are equal.
build_program() {
  if [ -n "$given_program" ]; then
    program=$given_program
    return
  fi
  local cargo_home=${CARGO_HOME:-$HOME/.cargo} sysroot folders
  sysroot=$(rustc --print sysroot)
  folders=("$root=/latchet" "$cargo_home=/cargo" "$sysroot=/rust")
  local flags="${folders[*]/#/--remap-path-prefix=}" pages=()
  # jemalloc does not start where pages are larger than at its build; kernels for arm64 have up to 64 KiB.
  [ "$architecture" != arm64 ] || pages=(JEMALLOC_SYS_WITH_LG_PAGE=16)
  say 'building the program'
  env "${pages[@]}" CARGO_ENCODED_RUSTFLAGS="${flags// /$'\x1f'}" \
    CFLAGS="${CFLAGS:-} ${folders[*]/#/-ffile-prefix-map=}" \
    cargo build --locked --release --package latchet --bin latchet \
    --target-dir "$root/target/packaging" >&2
  program=$root/target/packaging/release/latchet
}

# Sets `manual`: a folder with man pages and completions. They are written by the same sources in the
# profile of the tests, so that they need no second optimized build.
build_manual() {
  manual=$work/manual
  # Build scripts run again when the time differs: of the tests it has none.
  env -u SOURCE_DATE_EPOCH cargo build --locked --workspace --example manual >&2
  "$root/target/debug/examples/manual" "$manual"
}

# Copies what every package contains to a folder: `stage FOLDER`.
stage() {
  local to=$1
  build_program
  build_manual
  install -D -m 0755 "$program" "$to/latchet"
  install -m 0644 README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$to"
  install -m 0644 packaging/latchet.toml "$to/latchet.toml"
  "$program" config example >"$to/all-settings.toml"
  cp -r "$manual/man" "$manual/completions" "$to"
  packaging/notices "$host" >"$to/THIRD-PARTY-NOTICES.txt"
  chmod -R u=rwX,go=rX "$to"
}

# Packs a folder so that equal content gives equal bytes: `pack FOLDER NAME`, to standard output.
pack() {
  tar --create --directory "$1" --sort=name --format=gnu --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" -- "$2"
}

# Sourced by quickstart and test: what banger needs of the system and of npm. Only what is missing.

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

check_node() {
  command -v node >/dev/null || fail 'Node.js 20.19 or newer is needed (https://nodejs.org), and node is not on PATH.'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed; this is $(node --version)."
  command -v npm >/dev/null || fail 'npm is needed, and it is not on PATH: it comes with Node.js from https://nodejs.org.'
}

# tool:package, by the tool's presence, so that whoever brings a tool by other means is left alone.
tools='qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mmdebstrap:mmdebstrap iptables:iptables
  ip:iproute2 sysctl:procps mkfs.ext4:e2fsprogs debugfs:e2fsprogs modinfo:kmod newuidmap:uidmap ssh:openssh-client
  cc:gcc make:make g++:g++ python3:python3 git:git strip:binutils lz4:lz4 zstd:zstd xz:xz-utils'

# Arguments are more of tool:package.
missing_packages() {
  local pair
  for pair in $tools "$@"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
  # The guest's agent is one static program.
  compgen -G '/usr/lib/*/libc.a' >/dev/null || echo libc6-dev
  [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
  # apt verifies Debian's archive by it; Ubuntu does not have it by itself.
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

install_packages() {
  local packages as_root=()
  mapfile -t packages < <(missing_packages "$@" | sort -u)
  [ ${#packages[@]} -eq 0 ] && return
  command -v apt-get >/dev/null ||
    fail "these are missing, and there is no apt-get to install them: ${packages[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "run this as root, or install sudo: missing are ${packages[*]}"
    as_root=(sudo)
  fi
  say "installing by apt: ${packages[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
}

# npm ci takes a minute (native modules are compiled): only when the lock file has changed.
install_modules() {
  local stamp=node_modules/.installed wanted
  wanted="$(node --version) $(sha256sum <package-lock.json)"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  say 'npm ci'
  npm ci --no-audit --no-fund --loglevel=error
  printf '%s\n' "$wanted" >"$stamp"
}

set_up() {
  check_node
  install_packages "$@"
  install_modules
  say 'build'
  node scripts/build.mjs
}

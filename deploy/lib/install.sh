# Sourced by deploy/demo.sh and tests/run.sh: the packages of deploy/packages.txt, and the build.
# Needs $root, the top of the tree.

# One line a package of the one list.
listed_packages() {
  sed 's/#.*//' "$root/deploy/packages.txt" | awk 'NF {print $1}'
}

missing_packages() {
  listed_packages | while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q '^install ok installed$' || echo "$package"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $(id -u) -ne 0 ]]; then
    echo "these packages are missing, and only root can install them: ${missing[*]}" >&2
    return 1
  fi
  echo "== installing ${#missing[@]} packages"
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  export DEBIAN_FRONTEND=noninteractive
  if ! "${apt[@]}" update || ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" > /dev/null; then
    echo "cannot install ${missing[*]}: is a Debian 12 mirror within reach?" >&2
    return 1
  fi
}

# build_preset PRESET [TARGET...]: all of it, or these targets, with ninja's progress.
build_preset() {
  local preset=$1
  shift
  echo "== building ($root/build/$preset)"
  local log
  log=$(cd "$root" && cmake --preset "$preset" 2>&1) || {
    echo "$log" >&2
    return 1
  }
  (cd "$root" && cmake --build --preset "$preset" ${1:+--target "$@"})
}

#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. Ends with ctest's summary and status.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
labels=(lint unit model sim crash fault host chaos sanitize long)

usage() {
  cat << END
usage: tests/run.sh [--only LABEL] [--no-install]

  --only LABEL   only tests with this label: ${labels[*]} (default: all but long)
  --no-install   do not install packages

Environment: VSWAP_TEST_SEED (an integer; else random tests choose and print one),
VSWAP_TEST_MINUTES (how long each test labelled long goes on, by default 5, and the schedule of
faults of chaos, which by default is a short one; chaos then also runs all of what the seed else
chooses from, which takes up to 20 minutes more), VSWAP_TEST_OPERATIONS (of the model test; default
100000, under a sanitizer 10000).
END
}

only=""
install=yes
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --no-install) install=no ;;
    --only)
      [[ $# -ge 2 && " ${labels[*]} " == *" $2 "* ]] || {
        echo "tests/run.sh: --only is '${2:-}', allowed: ${labels[*]}" >&2
        exit 2
      }
      only=$2
      shift
      ;;
    *)
      echo "tests/run.sh: unknown option $1" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done

minutes=${VSWAP_TEST_MINUTES:-0}
[[ $minutes =~ ^[0-9]+$ ]] || {
  echo "tests/run.sh: VSWAP_TEST_MINUTES is '$minutes', allowed: a number" >&2
  exit 2
}
minutes=$((10#$minutes))

# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
[[ $install == no ]] || install_packages
build_preset release
if [[ -z $only || $only == sanitize ]]; then
  "$root/tests/sanitize/run.sh" asan --build-only
  "$root/tests/sanitize/run.sh" tsan --build-only
fi

echo "== testing"
select=(--label-exclude '^long$')
[[ -z $only ]] || select=(--label-regex "^$only\$")
# What a test without a limit of its own may take: chaos.
seconds=$((minutes == 0 ? 1200 : 3600 + 60 * minutes))
cd "$root/build/release"
exec ctest --output-on-failure --no-tests=error --timeout "$seconds" "${select[@]}"

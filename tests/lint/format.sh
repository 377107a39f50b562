#!/usr/bin/env bash
# Formats the C++ sources as .clang-format says; with --check, only names the files that are not.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t files < <(find client proto services tests \( -name '*.cc' -o -name '*.h' \) | sort)
[[ ${#files[@]} -gt 0 ]]
case ${1:-} in
  "")
    clang-format-14 -i "${files[@]}"
    ;;
  --check)
    # One process a few files: two at once.
    if ! unformatted=$(printf '%s\0' "${files[@]}" | xargs -0 -n 20 -P 2 clang-format-14 --dry-run -Werror 2>&1); then
      grep -o '^[^:]*:[0-9]*:[0-9]*: error.*' <<< "$unformatted" | cut -d: -f1 | sort | uniq -c
      echo "not formatted (places, file): run tests/lint/format.sh, or build the target format"
      exit 1
    fi
    echo "${#files[@]} files"
    ;;
  *)
    echo "usage: tests/lint/format.sh [--check]" >&2
    exit 2
    ;;
esac

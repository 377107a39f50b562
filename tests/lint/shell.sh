#!/usr/bin/env bash
# Runs shellcheck over the shell scripts of the project and what they source.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t scripts < <(
  find . \( -path ./build -o -path ./.git \) -prune -o -type f -print0 \
    | xargs -0 awk 'FNR == 1 && /^#!.*[\/ ](ba|da)?sh( |$)/ {print FILENAME}; {nextfile}' | sort
)
echo "${#scripts[@]} scripts"
[[ ${#scripts[@]} -gt 0 ]]
shellcheck --check-sourced "${scripts[@]}"

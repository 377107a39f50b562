#!/usr/bin/env bash
# What the plugin says to bad parameters, and what requests get that cannot be served.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

plugin=$bin/nbdkit-vswap-plugin.so
raw=$root/tests/host/raw_nbd.py
long=$(printf 'x%.0s' {1..256})

# refused TEXT PARAMETERS...: nbdkit does not start, and says so.
refused() {
  local text=$1
  shift
  if timeout 20 nbdkit -f -U "$run_dir/refused.sock" "$plugin" "$@" 2> "$run_dir/err" < /dev/null; then
    fail "accepted: $*"
  fi
  [[ ! -S $run_dir/refused.sock ]] || fail "it listened with: $*"
  grep -qF -- "$text" "$run_dir/err" || fail "to '$*' it says: $(cat "$run_dir/err")"
}

refused 'parameter frontend=HOST:PORT is missing'
refused 'parameter frontend=HOST:PORT is missing' size=1G
for frontend in nonsense 127.0.0.1 127.0.0.1: 127.0.0.1:0 127.0.0.1:65536 :7410 127.0.0.1:x; do
  refused "frontend is '$frontend', allowed: HOST:PORT,... with ports of 1..65535" "frontend=$frontend"
done
good=frontend=127.0.0.1:7410
for size in 0 1 4095 4097 10K1; do
  refused 'size' "$good" "size=$size"
done
refused 'size is 4097, allowed: a multiple of 4096 bytes, 4096..8P' "$good" size=4097
refused 'size is 0, allowed: a multiple of 4096 bytes, 4096..8P' "$good" size=0
refused 'size is 7E, allowed: a multiple of 4096 bytes, 4096..8P' "$good" size=7E
refused 'could not parse' "$good" size=large
refused 'patience is 0, allowed: 1..86400 seconds' "$good" patience=0
refused 'patience is 86401, allowed: 1..86400 seconds' "$good" patience=86401
refused 'patience' "$good" patience=long
refused 'patience' "$good" patience=-1
refused 'maybe' "$good" take-over=maybe
refused 'holder is 256 bytes long, allowed: 1..255 bytes' "$good" "holder=$long"
refused 'space is 256 bytes long, allowed: 1..255 bytes' "$good" "space=$long"
refused 'space is 0 bytes long, allowed: 1..255 bytes' "$good" space=
refused 'unknown parameter sise, allowed: frontend, size, holder, in-flight, metrics, patience, space, take-over' "$good" sise=1G
refused 'frontend is' not-a-parameter

nbdkit "$plugin" --help > "$run_dir/help"
for word in 'nbdkit vswap plugin' 'frontend=HOST:PORT' size=SIZE holder=NAME patience=SECONDS space=NAME take-over=BOOL \
  '(default 1G)' '(default 60)'; do
  grep -qF -- "$word" "$run_dir/help" || fail "--help does not tell $word: $(cat "$run_dir/help")"
done
nbdkit "$plugin" --dump-plugin > "$run_dir/dump"
for line in name=vswap vswap_version=0.1.0 thread_model=parallel magic_config_key=frontend has_extents=1 has_cache=1; do
  grep -qx -- "$line" "$run_dir/dump" || fail "--dump-plugin has no $line: $(cat "$run_dir/dump")"
done

# No service: the connection is refused after the patience, and the reason is in the log.
if timeout 60 nbdkit -U - "$plugin" frontend=127.0.0.1:1 patience=1 --run 'nbdinfo --size "$uri"' > "$run_dir/err" 2>&1; then
  fail "an export without a service: $(cat "$run_dir/err")"
fi
grep -q 'export default: frontend 127.0.0.1:1 did not serve within 1000 ms' "$run_dir/err" || fail "$(cat "$run_dir/err")"

start_vswapd --memory-max 4MiB --capacity-pages 256
# The frontend may also be named without its key; a space that exists keeps its size.
[[ $(nbdkit -U - "$plugin" "$VSWAP_LISTEN" size=12K space=small --run 'nbdinfo --size "$uri"') == 12288 ]] ||
  fail "the size of a new space is not 12288"
[[ $(nbdkit -U - "$plugin" "$VSWAP_LISTEN" size=16K space=small --run 'nbdinfo --size "$uri"') == 12288 ]] ||
  fail "the size of a space that exists is not 12288"

# results REQUESTS...: on one connection, in one line.
results() {
  "$raw" "$run_dir/nbd.sock" "$@" | paste -sd' '
}
# expect RESULTS REQUESTS...
expect() {
  local expected=$1 found
  shift
  found=$(results "$@")
  [[ $found == "$expected" ]] || fail "to $*: $found, not $expected: $(tail -3 "$run_dir/nbdkit.log")"
}

start_nbdkit size=64M holder=first
# One by one, each refused, the connection goes on.
expect 'EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL ok ok' read:512:4096 read:0:512 write:1:4096 write:4096:4095 \
  trim:4096:1 zero:100:4096 cache:8:4096 read:2048:2048 write:4096:4096 read:0:8192
grep -q 'a request of 512 bytes at offset 0 is not aligned to pages of 4096 bytes' "$run_dir/nbdkit.log" ||
  fail "$(tail "$run_dir/nbdkit.log")"
# Past the end; nbdkit answers that itself.
expect 'EINVAL ENOSPC ok' read:67108864:4096 write:67108864:4096 read:67104768:4096

# Attached by somebody else, while a connection is open.
qemu-io -f raw -c 'read 0 4k' -c 'sleep 60000' "$uri" > /dev/null 2>&1 &
keeper=$!
is_attached() {
  [[ $(status_of '[p["holder"] for p in s["spaces"] if p["name"] == "default"][0]') == first ]]
}
wait_until 20 is_attached || fail "not attached: $(status_json)"
if nbdkit -U - "$plugin" "$VSWAP_LISTEN" holder=second patience=5 --run 'nbdinfo --size "$uri"' > "$run_dir/err" 2>&1; then
  fail "a second holder was let in: $(cat "$run_dir/err")"
fi
grep -q 'space default is attached by holder first; ask to take it over' "$run_dir/err" || fail "$(cat "$run_dir/err")"
expect 'ok' read:4096:4096
# Unless it asks to take over; the first is fenced then, and gets errors, never data.
[[ $(nbdkit -U - "$plugin" "$VSWAP_LISTEN" holder=second take-over=true --run 'nbdinfo --size "$uri"') == 67108864 ]] ||
  fail "no take-over"
expect 'EIO EIO EIO' read:4096:4096 write:4096:4096 trim:4096:4096
kill "$keeper"
wait "$keeper" 2> /dev/null || true
stop_nbdkit

# Full: noise finds room in the store alone, and there for as many pages as it has. The second may still hold the space:
# nbdkit does not wait for what it closes when its command has ended.
start_nbdkit size=64M holder=first take-over=true
expect 'ok' trim:0:67108864
expect 'ENOSPC 256' fill:67108864
grep -q 'write at offset 1048576: page 256: ' "$run_dir/nbdkit.log" || fail "$(tail -3 "$run_dir/nbdkit.log")"
expect 'ENOSPC ok ok ok' write:33554432:4096 read:33554432:4096 write:4096:65536 text:33554432:4096
# A request of several pages of which one finds no room fails, and what is freed can be used again.
expect 'ENOSPC ok ok ENOSPC' write:1044480:8192 trim:0:4096 write:50331648:4096 write:50335744:4096
expect 'ok' trim:0:67108864
stop_nbdkit
expect_empty

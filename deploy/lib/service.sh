# Sourced by deploy/demo.sh and the host tests: one vswapd and one nbdkit, started and stopped by pid.
# Needs $root. Everything lies in $run_dir, a fresh directory; stop_service removes it.

# shellcheck source=deploy/lib/free_port.sh
source "$root/deploy/lib/free_port.sh"

bin=$root/build/release/bin
vswapd_pid=""
nbdkit_pid=""

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# wait_until SECONDS COMMAND...: false when the time is over first.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.05
  done
}

make_run_dir() {
  run_dir=$(mktemp -d "${TMPDIR:-/tmp}/vswap-XXXXXX")
  nbdkit_options=(-U "$run_dir/nbd.sock")
}

is_ready() {
  kill -0 "$vswapd_pid" 2> /dev/null || fail "vswapd ended: $(tail -3 "$run_dir/vswapd.log")"
  grep -q '^ready ' "$run_dir/vswapd.out"
}

# start_vswapd FLAGS...: on free ports, or again on the same one.
start_vswapd() {
  : > "$run_dir/vswapd.out"  # without the "ready" of one before
  "$bin/vswapd" standalone --listen "${VSWAP_LISTEN:-127.0.0.1:$(free_port)}" --metrics-listen 127.0.0.1:0 \
    --data-dir "$run_dir/data" "$@" > "$run_dir/vswapd.out" 2>> "$run_dir/vswapd.log" &
  vswapd_pid=$!
  wait_until 60 is_ready || fail "vswapd is not ready: $(tail -3 "$run_dir/vswapd.log")"
  # shellcheck source=/dev/null
  source "$run_dir/data/endpoints.env"
}

listens() {
  kill -0 "$nbdkit_pid" 2> /dev/null || fail "nbdkit ended: $(tail -3 "$run_dir/nbdkit.log")"
  [[ -f $run_dir/nbdkit.pid ]]
}

# start_nbdkit PARAMETERS...: the plugin on the unix socket $run_dir/nbd.sock, unless nbdkit_options says otherwise.
start_nbdkit() {
  rm -f "$run_dir/nbd.sock" "$run_dir/nbdkit.pid"
  nbdkit -f --swap -P "$run_dir/nbdkit.pid" "${nbdkit_options[@]}" "$bin/nbdkit-vswap-plugin.so" "frontend=$VSWAP_LISTEN" \
    "$@" > /dev/null 2>> "$run_dir/nbdkit.log" &
  nbdkit_pid=$!
  wait_until 20 listens || fail "nbdkit does not listen: $(tail -3 "$run_dir/nbdkit.log")"
}

# stop_pid PID SECONDS: SIGTERM, after that time SIGKILL.
stop_pid() {
  [[ -n $1 ]] || return 0
  kill "$1" 2> /dev/null || return 0
  local deadline=$((SECONDS + $2))
  while kill -0 "$1" 2> /dev/null && [[ $SECONDS -lt $deadline ]]; do
    sleep 0.05
  done
  kill -9 "$1" 2> /dev/null || true
  wait "$1" 2> /dev/null || true
}

stop_nbdkit() {
  stop_pid "$nbdkit_pid" 10
  nbdkit_pid=""
}

# The arena is removed here too: a service that was killed leaves it for a next start that will not come.
stop_service() {
  stop_nbdkit
  stop_pid "$vswapd_pid" 30
  vswapd_pid=""
  if [[ -n ${run_dir:-} && -d $run_dir ]]; then
    [[ ! -f $run_dir/data/id ]] || rm -f "/dev/shm/vswap-$(cat "$run_dir/data/id")"
    rm -rf "$run_dir"
  fi
}

status_json() {
  "$bin/vswapctl" --frontend "$VSWAP_LISTEN" status --output json
}

# status_of PYTHON-EXPRESSION over `s`, the status as a dictionary.
status_of() {
  status_json | python3 -c "import json, sys; s = json.load(sys.stdin); print($1)"
}

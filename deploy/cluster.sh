#!/usr/bin/env bash
# A cluster of vswap on this machine: etcd and all roles on free loopback ports. See usage below.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/lib/free_port.sh
source "$root/deploy/lib/free_port.sh"

usage() {
  cat << 'END'
usage: deploy/cluster.sh up --dir DIR [--frontends N] [--compressors N] [--stores N] [--etcd N] [--shards N] [--replicas N]
                           [--memory-max SIZE] [--capacity-pages N] [--store-disk SIZE] [--netns]
       deploy/cluster.sh status --dir DIR
       deploy/cluster.sh kill|stop|cont|restart|destroy|cut|join --dir DIR ROLE/N
       deploy/cluster.sh down --dir DIR

up waits until the cluster serves and writes DIR/cluster.env: VSWAP_FRONTENDS (HOST:PORT,..., as the plugin and libvswap
take it; vswapctl takes one of them), VSWAP_ETCD and VSWAP_PID_ROLE_N of each process. ROLE: frontend, compressor,
store, etcd; N from 1. Each process counts as a machine of its own. kill is SIGKILL, stop and cont are SIGSTOP and
SIGCONT, restart starts what was killed, at the same address; destroy is SIGKILL and the loss of all that the process
kept: restarted, it comes back empty.
--netns: each process in a network namespace of its own, with an address of 10.A.B.0/24 that only this machine reaches,
through a bridge; A and B differ between clusters, and down removes it all. cut takes a process' link down, as if its cable
were pulled, join takes it up again. Needs root and iproute2.
--store-disk: each store's data on a file system of its own and of that size, in memory, at DIR/store-N, which can so be
filled; down unmounts it. Needs root.
All front-ends serve, each a part of the shards. --shards N: of the table (default 256). --replicas N: copies of pages
and of the table logs, on different machines (default 2). The last line of status tells whether everything has as many
copies as are wanted.
END
}

fail() {
  echo "cluster.sh: $1" >&2
  exit 1
}

command=${1:-}
[[ $# -gt 0 ]] && shift
dir=
target=
frontends=2 compressors=2 stores=2 etcd_members=1 shards=256 replicas=2 memory_max=64MiB capacity_pages=262144
netns=no store_disk=
while [[ $# -gt 0 ]]; do
  case $1 in
    --dir) dir=$2; shift ;;
    --frontends) frontends=$2; shift ;;
    --compressors) compressors=$2; shift ;;
    --stores) stores=$2; shift ;;
    --etcd) etcd_members=$2; shift ;;
    --shards) shards=$2; shift ;;
    --replicas) replicas=$2; shift ;;
    --memory-max) memory_max=$2; shift ;;
    --capacity-pages) capacity_pages=$2; shift ;;
    --store-disk) store_disk=$2; shift ;;
    --netns) netns=yes ;;
    -*) usage >&2; fail "unknown option $1" ;;
    *) target=$1 ;;
  esac
  shift
done
vswapd=${VSWAPD:-$root/build/release/bin/vswapd}
vswapctl=${VSWAPCTL:-$(dirname "$vswapd")/vswapctl}

# The files of one process: DIR/ROLE-N.{cmd,pid,log} and DIR/ROLE-N/ for its data; DIR/ROLE-N.link names its link.
start() { # ROLE-N
  local name=$1
  mkdir -p "$dir/$name"
  setsid bash -c 'exec bash "$0"' "$dir/$name.cmd" > "$dir/$name.out" 2>> "$dir/$name.log" < /dev/null &
  echo $! > "$dir/$name.pid"
  disown
}

# As the kernel tells it; nothing once it is gone.
state() { # ROLE-N
  awk '/^State/ {print $2}' "/proc/$(cat "$dir/$1.pid")/status" 2> /dev/null
}

# One that has ended may stand as a zombie for as long as its parent likes; but as long as it has other threads it holds
# its files and ports.
alive() { # ROLE-N
  [[ -e $dir/$1.pid ]] || return
  local threads
  threads=("/proc/$(cat "$dir/$1.pid")/task"/*)
  [[ $(state "$1") == [^Z] || ${#threads[@]} -gt 1 ]]
}

names() {
  local file
  for file in "$dir"/*.cmd; do
    [[ -e $file ]] && basename "$file" .cmd
  done
}

write_env() {
  local name role
  {
    echo "VSWAP_FRONTENDS=$(cat "$dir/frontends")"
    echo "VSWAP_ETCD=$(cat "$dir/etcd")"
    for name in $(names); do
      role=${name%-*}
      echo "VSWAP_PID_${role^^}_${name##*-}=$(cat "$dir/$name.pid")"
    done
  } > "$dir/cluster.env.new"
  mv "$dir/cluster.env.new" "$dir/cluster.env"
}

wait_until() { # SECONDS WHAT COMMAND...
  local seconds=$1 what=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@"; do
    ((SECONDS < end)) || fail "$what did not come up in $seconds seconds: see $dir/*.log"
    sleep 0.05
  done
}

# A number that names the bridge, links and namespaces, and is in their addresses. Making the bridge claims it.
make_network() {
  [[ $(id -u) -eq 0 ]] || fail "--netns needs root"
  command -v ip > /dev/null || fail "ip is missing: apt-get install iproute2 (tests/run.sh installs it too)"
  local number try prefix
  number=$(cksum <<< "$dir $$" | cut -d' ' -f1)
  for ((try = 0; try < 100; ++try)); do
    number=$(((number + 1) % 65536))
    prefix=10.$((number / 256)).$((number % 256))
    # An address of its own stays as it is when ports come and go.
    if ! routed "$prefix.0/24" && ip link add "vswap-$number" address "$(printf '02:76:73:77:%02x:%02x' \
      $((number / 256)) $((number % 256)))" type bridge 2> /dev/null; then
      echo "$number" > "$dir/network"
      ip address add "$prefix.1/24" dev "vswap-$number"
      ip link set "vswap-$number" up
      return
    fi
  done
  fail "cannot make a bridge, or all of 10.0.0.0/8 is in use here"
}

# Whether this machine knows a way to some of these addresses, other than the way to everywhere.
routed() { # PREFIX
  [[ -n $(ip -4 route show to root "$1"; ip -4 route show to match "$1" | sed '/^default/d') ]]
}

remove_network() {
  local number link namespace
  number=$(cat "$dir/network")
  # Links first: a namespace keeps its own for as long as a process in it is ending.
  for link in $(ip -br link show | sed -n "s/^\(vswap-$number-[0-9]*\)@.*/\1/p"); do ip link del "$link"; done
  for namespace in $(ip netns list | grep -o "^vswap-$number-[a-z]*-[0-9]*"); do ip netns del "$namespace"; done
  if [[ -e /sys/class/net/vswap-$number ]]; then ip link del "vswap-$number"; fi
}

# Sets where the process listens, and what runs it there: `host` and `within`.
place() { # ROLE-N
  host=127.0.0.1
  within=
  [[ $netns == yes ]] || return 0
  local name=$1 number link namespace
  number=$(cat "$dir/network")
  host_number=$((host_number + 1))
  link=vswap-$number-$host_number
  namespace=vswap-$number-$name
  host=10.$((number / 256)).$((number % 256)).$host_number
  within="ip netns exec $namespace"
  echo "$link" > "$dir/$name.link"
  ip netns add "$namespace"
  ip link add "$link" type veth peer name eth0 netns "$namespace"
  ip link set "$link" master "vswap-$number" up
  ip -n "$namespace" address add "$host/24" dev eth0
  ip -n "$namespace" link set eth0 up
  ip -n "$namespace" link set lo up
}
host_number=1  # the bridge's

is_cut() { # ROLE-N
  [[ -e $dir/$1.link ]] && ip link show "$(cat "$dir/$1.link")" | grep -q 'state DOWN'
}

set_link() { # up|down
  local name=${target/\//-}
  [[ -e $dir/$name.link ]] || fail "$target has no link of its own in $dir: see --netns"
  ip link set "$(cat "$dir/$name.link")" "$1"
}

# tmpfs knows K, M and G.
mount_disk() { # ROLE-N
  mkdir -p "$dir/$1"
  mount -t tmpfs -o "size=${store_disk%iB}" "vswap-$1" "$dir/$1"
}

unmount_disks() {
  local disk
  for disk in "$dir"/store-*/; do
    if mountpoint -q "$disk"; then umount "$disk"; fi
  done
}

node_ready() { grep -q '^ready ' "$dir/$1.out" 2> /dev/null || { alive "$1" || fail "$1 ended: $(tail -n 1 "$dir/$1.log")"; false; }; }
etcd_ready() { curl -sf "http://$(cut -d, -f1 "$dir/etcd")/health" | grep -q true; }
up() {
  [[ -x $vswapd ]] || fail "$vswapd is missing: build first (tests/run.sh does)"
  command -v etcd > /dev/null || fail "etcd is missing: apt-get install etcd-server (tests/run.sh installs it too)"
  mkdir -p "$dir"
  [[ ! -e $dir/cluster.env ]] || fail "$dir has a cluster already"
  [[ $netns == no ]] || make_network
  local n port peer host within cluster=() clients=()
  for ((n = 1; n <= etcd_members; ++n)); do
    place "etcd-$n"
    port=$(free_port)
    peer=$(free_port)
    clients+=("$host:$port")
    cluster+=("etcd-$n=http://$host:$peer")
    echo "exec $within etcd --name etcd-$n --data-dir '$dir/etcd-$n/data' --listen-client-urls http://$host:$port" \
      "--advertise-client-urls http://$host:$port --listen-peer-urls http://$host:$peer" \
      "--initial-advertise-peer-urls http://$host:$peer --initial-cluster INITIAL" > "$dir/etcd-$n.cmd"
  done
  local joined_cluster joined_clients
  joined_cluster=$(IFS=,; echo "${cluster[*]}")
  joined_clients=$(IFS=,; echo "${clients[*]}")
  sed -i "s|INITIAL|$joined_cluster|" "$dir"/etcd-*.cmd
  echo "$joined_clients" > "$dir/etcd"
  for ((n = 1; n <= etcd_members; ++n)); do start "etcd-$n"; done
  wait_until 30 etcd etcd_ready

  local addresses=()
  for ((n = 1; n <= frontends; ++n)); do
    place "frontend-$n"
    port=$(free_port)
    addresses+=("$host:$port")
    echo "exec $within '$vswapd' frontend --etcd $joined_clients --id frontend-$n --listen $host:$port --metrics-listen $host:0" \
      "--shards $shards --log-replicas $replicas --compressed-replicas $replicas --physical-replicas $replicas" \
      "--machine frontend-$n" > "$dir/frontend-$n.cmd"
  done
  (IFS=,; echo "${addresses[*]}") > "$dir/frontends"
  for ((n = 1; n <= frontends; ++n)); do start "frontend-$n"; done
  for ((n = 1; n <= compressors; ++n)); do
    place "compressor-$n"
    echo "exec $within '$vswapd' compressor --etcd $joined_clients --id compressor-$n --listen $host:$(free_port) --metrics-listen $host:0" \
      "--data-dir '$dir/compressor-$n/data' --memory-max $memory_max --machine compressor-$n" > "$dir/compressor-$n.cmd"
    start "compressor-$n"
  done
  for ((n = 1; n <= stores; ++n)); do
    place "store-$n"
    [[ -z $store_disk ]] || mount_disk "store-$n"
    echo "exec $within '$vswapd' store --etcd $joined_clients --id store-$n --listen $host:$(free_port) --metrics-listen $host:0" \
      "--data-dir '$dir/store-$n/data' --capacity-pages $capacity_pages --machine store-$n" > "$dir/store-$n.cmd"
    start "store-$n"
  done
  for ((n = 1; n <= compressors; ++n)); do wait_until 60 "compressor-$n" node_ready "compressor-$n"; done
  for ((n = 1; n <= stores; ++n)); do wait_until 60 "store-$n" node_ready "store-$n"; done
  for ((n = 1; n <= frontends; ++n)); do wait_until 60 "frontend-$n" node_ready "frontend-$n"; done
  write_env
}

status() {
  local name condition
  for name in $(names); do
    condition=dead
    if alive "$name"; then
      condition=running
      [[ $(state "$name") == T ]] && condition=stopped
      is_cut "$name" && condition="cut"
    fi
    printf '%-14s %-8s pid %-8s %s\n' "$name" "$condition" "$(cat "$dir/$name.pid")" "$(head -1 "$dir/$name.out" 2> /dev/null | grep '^ready' || true)"
  done

  redundancy
}

# As the first front-end that answers tells it of all (each looks once a second).
redundancy() {
  local name address line=
  for name in $(names); do
    if [[ $name != frontend-* || $(state "$name") != [RSD] ]]; then continue; fi
    address=$(sed -n 's/^ready listen=\([^ ]*\) .*/\1/p' "$dir/$name.out")
    line=$("$vswapctl" --frontend "$address" status 2> /dev/null | grep '^redundancy: ') && break
  done
  echo "${line:-redundancy: not known, as no front-end answers}"
}

# SIGTERM, and after 20 seconds SIGKILL.
end_processes() { # ROLE-N...
  local name end=$((SECONDS + 20))
  for name in "$@"; do
    # The process may end between the question and the signal.
    if alive "$name"; then
      kill -CONT "$(cat "$dir/$name.pid")" 2> /dev/null || true
      kill "$(cat "$dir/$name.pid")" 2> /dev/null || true
    fi
  done
  for name in "$@"; do
    while alive "$name" && ((SECONDS < end)); do sleep 0.05; done
    if alive "$name"; then
      kill -9 "$(cat "$dir/$name.pid")" 2> /dev/null || true
    fi
  done
}

down() {
  local etcds others
  [[ -e $dir/etcd || -e $dir/network ]] || fail "$dir holds no cluster"
  mapfile -t etcds < <(names | grep '^etcd-')
  mapfile -t others < <(names | grep -v '^etcd-')
  # Front-ends give their leases back to an etcd that is still there.
  end_processes "${others[@]}"
  end_processes "${etcds[@]}"
  remove_arenas
  unmount_disks
  [[ ! -e $dir/network ]] || remove_network
  rm -rf "$dir"
}

# Arenas live in /dev/shm under the numbers of their data directories.
remove_arenas() {
  local id
  for id in "$dir"/compressor-*/data/id; do
    [[ -e $id ]] && rm -f "/dev/shm/vswap-$(cat "$id")"
  done
  true
}

signal() { # SIGNAL
  local name=${target/\//-}
  [[ -e $dir/$name.pid ]] || fail "there is no $target in $dir"
  alive "$name" || fail "$target is not running"
  kill "-$1" "$(cat "$dir/$name.pid")"
}

kill_it() {
  signal KILL
  while alive "${target/\//-}"; do sleep 0.02; done
}

destroy() {
  local name=${target/\//-}
  [[ $name == compressor-* || $name == store-* ]] || fail "destroy: $target is neither a compressor nor a store"
  # One that did not start may be gone already.
  if alive "$name"; then kill_it; fi
  [[ $name != compressor-* ]] || rm -f "/dev/shm/vswap-$(cat "$dir/$name/data/id")"
  find "${dir:?}/$name" -mindepth 1 -delete
}

restart() {
  local name=${target/\//-} end=$((SECONDS + 10))
  [[ -e $dir/$name.cmd ]] || fail "there is no $target in $dir"
  if alive "$name"; then
    kill -9 "$(cat "$dir/$name.pid")"
    while alive "$name" && ((SECONDS < end)); do sleep 0.02; done
  fi
  start "$name"
  write_env
}

[[ -n $dir || $command == "" || $command == --help ]] || fail "--dir DIR is missing"
case $command in
  up) up ;;
  status) status ;;
  kill) kill_it ;;
  stop) signal STOP ;;
  cont) signal CONT ;;
  restart) restart ;;
  destroy) destroy ;;
  cut) set_link down ;;
  join) set_link up ;;
  down) down ;;
  --help | "") usage ;;
  *) usage >&2; fail "unknown command $command" ;;
esac

# Shared by up and down: where the services live, and how one is started and stopped by hand.
# Nothing here relies on an init system, so it works the same on a server, in a VM and in CI.

# Short, because a Unix socket's path holds at most 107 bytes.
dir=${RAVE_SERVICES_DIR:-/tmp/rave-services}
log=$dir/log

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Everything below acts on root's own processes and files in a world-writable place.
claim_dir() {
    [ "$(id -u)" = 0 ] || die "needs root: it starts a Docker Engine"
    mkdir -p -m 700 "$dir"
    [ "$(stat -c '%F %u' "$dir")" = "directory 0" ] || die "$dir belongs to somebody else; set RAVE_SERVICES_DIR"
    # One up or down at a time; the lock goes with this process.
    exec 9>"$dir/.lock"
    flock 9
    mkdir -p "$log"
}

# alive NAME: is the process that NAME.pid names still ours? Each service has $dir in its
# arguments, so a number that the kernel gave to somebody else is never mistaken for it.
alive() {
    local pid arguments
    pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
    arguments=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    [[ $arguments == *"$dir/"* ]]
}

# start NAME COMMAND...: in a session of its own, so that it outlives the caller's terminal.
start() {
    local name=$1
    shift
    setsid nohup "$@" >>"$log/$name.log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/$name.pid"
    # On a busy machine it takes a moment until the program has taken the place of this shell; until
    # then it would not look alive.
    for _ in {1..50}; do
        if alive "$name" || ! kill -0 $! 2>/dev/null; then return; fi
        sleep 0.1
    done
}

# stop NAME: SIGTERM, then SIGKILL after 20 seconds.
stop() {
    local name=$1 pid
    if alive "$name"; then
        pid=$(cat "$dir/$name.pid")
        kill "$pid"
        for _ in {1..200}; do
            alive "$name" || break
            sleep 0.1
        done
        if alive "$name"; then
            say "$name does not stop, killing it"
            kill -KILL "$pid"
        fi
    fi
    rm -f "$dir/$name.pid"
}

# wait_for NAME COMMAND...: until COMMAND succeeds; gives up at once when NAME has died.
wait_for() {
    local name=$1
    shift
    for _ in {1..300}; do
        if "$@" >/dev/null 2>&1; then return; fi
        alive "$name" || break
        sleep 0.1
    done
    tail -n 20 "$log/$name.log" >&2 || true
    die "$name did not come up; the whole log is $log/$name.log"
}

start_engine() {
    if alive containerd && alive dockerd; then return; fi
    # An own containerd: dockerd would otherwise borrow the system's, and its containers with it.
    mkdir -p "$dir/docker"
    cat >"$dir/docker/containerd.toml" <<EOF
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
root = "$dir/docker/containerd"
state = "$dir/docker/containerd-state"
[grpc]
address = "$dir/docker/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$dir/docker/containerd-opt"
EOF
    if ! alive containerd; then
        # A killed containerd leaves its socket behind, which would pass for a new one's.
        rm -f "$dir/docker/containerd.sock"
        start containerd containerd --config "$dir/docker/containerd.toml" --log-level warn
    fi
    wait_for containerd test -S "$dir/docker/containerd.sock"

    # A configuration file of its own keeps the user's /etc/docker/daemon.json out.
    echo '{}' >"$dir/docker/daemon.json"
    # dockerd removes its pid file when it ends, and refuses to start over a stale one.
    rm -f "$dir/docker/dockerd.pid"
    # The machine's firewall and docker0 belong to the user's engine: two engines that rewrite the
    # same iptables chains cut each other's containers off. Published ports still work, through
    # docker-proxy. The address pool is the range for benchmarks, which no real network uses.
    # cgroupfs works with and without systemd.
    start dockerd dockerd --config-file "$dir/docker/daemon.json" --log-level warn \
        --host "unix://$dir/docker.sock" --containerd "$dir/docker/containerd.sock" \
        --data-root "$dir/docker/data" --exec-root "$dir/docker/exec" --pidfile "$dir/docker/dockerd.pid" \
        --iptables=false --ip-masq=false --bridge=none \
        --default-address-pool base=198.18.0.0/16,size=24 \
        --exec-opt native.cgroupdriver=cgroupfs --max-concurrent-downloads 4
    wait_for dockerd engine version
}

# The docker command line against this engine, and without the user's contexts and logins.
engine() { DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/client DOCKER_CONTEXT='' docker "$@"; }

# Ends and removes all there is, also what a crash or a restart of the machine left behind.
teardown() {
    rm -f "$dir/env"
    if [ -d "$dir/docker/data" ]; then
        # Containers outlive a killed engine, and only an engine ends them properly.
        stop_engine_unless_whole
        start_engine
        engine ps -aq | while read -r id; do engine rm -f -v "$id" >/dev/null; done
        # A network is a bridge of the machine, which would stay behind.
        engine network prune -f >/dev/null
    fi
    stop dockerd
    stop containerd
    stop registry
    # A killed engine also leaves mounts, on which rm would stumble.
    awk -v under="$dir/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
    rm -rf "$dir/docker" "$dir/registry" "$dir/client" "$dir/tree" "$dir/apt" "$dir/docker.sock"
}

stop_engine_unless_whole() {
    if alive dockerd && alive containerd; then return; fi
    stop dockerd
    stop containerd
}

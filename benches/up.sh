#!/bin/sh
# What `up` and `down` cost, against the bars of docs/BENCHMARKS.md: one node, from a stored image.
#   benches/up.sh STEAD [ROUNDS]
# Prints figures; asserts nothing.
set -eu
stead=$(realpath "$1")
rounds=${2:-5}
[ "$(id -u)" = 0 ] || { echo "local nodes need root; run this as root" >&2; exit 1; }

# On a disk: /tmp may be memory, and a node's folder must carry an overlay.
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/stead-bench.XXXXXX")
fleet=$dir/bench
clean() {
    "$stead" --fleet "$fleet" --quiet down --yes >/dev/null 2>&1 || echo "something is left in $fleet" >&2
    [ -d "$fleet/.stead/nodes" ] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Runs a command, leaves its output in $dir/out and appends its wall time in ms to the figures of name $1.
timed() {
    name=$1
    shift
    begun=$(date +%s%N)
    "$stead" --fleet "$fleet" --json --quiet "$@" >"$dir/out" || { echo "$name failed" >&2; exit 1; }
    wall=$((($(date +%s%N) - begun) / 1000000))
    echo "$name $wall" >>"$dir/figures"
}

# The steps that were done, as "NAME MS", from the events of `--json`.
steps() {
    sed -n '/"state":"done"/s/.*"step":"\([a-z-]*\)".*"elapsed_ms":\([0-9]*\).*/\1 \2/p' "$dir/out"
}

"$stead" init "$fleet" --name bench --quiet >/dev/null
head -c 24 /dev/urandom | base64 | "$stead" --fleet "$fleet" --quiet secret set acme OPENAI_API_KEY >/dev/null
echo "Bringing the image, if it is not stored." >&2
"$stead" --fleet "$fleet" up acme >/dev/null
"$stead" --fleet "$fleet" --quiet down --yes >/dev/null

round=1
while [ "$round" -le "$rounds" ]; do
    echo "Round $round of $rounds" >&2
    timed up up acme
    boot=$(steps | awk '$1 == "boot" { print $2 }')
    {
        echo "boot $boot"
        echo "own $((wall - boot))"
        steps | sed 's/^/step:/'
    } >>"$dir/figures"
    timed again up acme
    timed down down --yes
    round=$((round + 1))
done

# NAME LABEL BAR: median and range in seconds.
figure() {
    awk -v name="$1" '$1 == name { print $2 }' "$dir/figures" | sort -n | awk -v label="$2" -v bar="$3" '
        { value[NR] = $1 / 1000 }
        END {
            middle = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
            printf "%-26s %7.2f s   %.2f to %.2f%s\n", label, middle, value[1], value[NR], bar == "" ? "" : "   (bar: " bar " s)"
        }'
}

memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
echo "$("$stead" --version), $(nproc) cores, $memory, Linux $(uname -r), PID 1 $(cat /proc/1/comm), $rounds rounds; p50, range"
figure up "up to healthy" 30
figure boot "  the node's boot" ""
figure own "  our own work" 3
figure again "second up" 2
figure down "down" ""
echo "steps of up"
awk '/^step:/ && !seen[$1]++ { print $1 }' "$dir/figures" | while read -r name; do
    figure "$name" "  ${name#step:}" ""
done

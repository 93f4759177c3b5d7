#!/bin/sh
# A node that is a virtual machine, for a user who is not root, from the image to the end: up, a reboot, a check for drift, a kill
# of its supervisor, up again, down. Without KVM about ten minutes.
# Usage: vm-proof.sh STEAD
set -eu
stead=$(realpath "$1")
here=$PWD/target/vm-proof
fleet=$here/fleet
user=65534 # nobody
say() { echo "vm-proof: $*" >&2; }

[ "$(id -u)" = 0 ] || { say "building an image needs root; the node is then another user's"; exit 1; }
"$stead" doctor --fix >/dev/null
rm -rf "$fleet"
mkdir -p "$here"
export STEAD_CACHE_DIR="$here/cache"
"$stead" init --name vm-proof "$fleet" >/dev/null 2>&1
head -c 24 /dev/urandom | base64 | "$stead" --quiet --fleet "$fleet" secret set acme OPENAI_API_KEY
"$stead" --fleet "$fleet" image build agent-node
chown -R $user:$user "$fleet"

as_user() { setpriv --reuid=$user --regid=$user --clear-groups env HOME="$here" USER=nobody "$stead" --fleet "$fleet" "$@"; }
# What a check finds pending is told by exit code 3.
settled() { as_user --quiet converge acme --check; }
node() { ls -d "$fleet"/.stead/nodes/st-*; }
supervisor() { cat "$(node)/supervisor.lock"; }
port() { sed -n 's/.*"ssh_port": *\([0-9]*\).*/\1/p' "$(node)/machine.json"; }
# A command on the node. (ssh wants to know who runs it; so it is root who asks, with the user's keys.)
on_node() {
    cp "$fleet/.stead/keys/fleet_ssh" "$here/key" && chmod 600 "$here/key"
    as_user --quiet node logs acme >/dev/null 2>&1 # writes known_hosts
    ssh -i "$here/key" -o IdentitiesOnly=yes -o UserKnownHostsFile="$fleet/.stead/known_hosts" -o StrictHostKeyChecking=yes \
        -o LogLevel=ERROR -p "$(port)" stead@127.0.0.1 "$@"
}
left() { pgrep -u $user -f "$fleet" || pgrep -u $user -f "127.0.0.1/$port:22"; }
trap 'as_user --quiet down --yes || say "something is left in $fleet"' EXIT

as_user up acme
as_user status
settled
port=$(port)
say "what it reaches: names, and no service of this machine's loopback"
python3 -m http.server --bind 127.0.0.1 "$((port + 1))" >/dev/null 2>&1 &
server=$!
reaches=$(on_node "systemctl is-system-running; resolvectl dns | grep -c '[0-9]\.[0-9]' >/dev/null && echo names
    for address in 127.0.0.1 \$(ip -4 route show default | awk '{print \$3}'); do
        timeout 5 bash -c \"</dev/tcp/\$address/$((port + 1))\" 2>/dev/null && echo \"reached \$address\"
    done; true")
kill $server
echo "$reaches"
[ "$reaches" = "running
names" ] || { say "that is not as it should be"; exit 1; }
say "a reboot from within"
before=$(on_node cat /proc/sys/kernel/random/boot_id)
on_node "sudo -n systemctl reboot" || true
begun=$(date +%s)
until after=$(on_node cat /proc/sys/kernel/random/boot_id 2>/dev/null) && [ "$after" != "$before" ]; do
    [ $(($(date +%s) - begun)) -lt 600 ] || { say "it did not come back"; exit 1; }
    sleep 5
done
settled
say "ending its supervisor, and the node with it"
kill -9 "$(supervisor)"
as_user up acme
settled
as_user down --yes
trap - EXIT
if [ -e "$fleet/.stead/nodes" ] || left >/dev/null; then
    say "down left something"
    exit 1
fi
say "all of it holds"

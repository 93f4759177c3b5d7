#!/bin/sh
# What a container cannot show, on a machine with a kernel of its own: Debian in QEMU, brought to a fleet as somebody's
# machine would be. Without KVM a boot takes a minute or two. Usage: test-vm.sh STEAD [SUITE]
set -eu
stead=$1 suite=${2:-trixie}
here=$PWD/target/vm/$suite
say() { echo "test-vm: $*" >&2; }

[ "$(id -u)" = 0 ] || { say "laying out a system's files needs root"; exit 1; }
need=
command -v qemu-system-x86_64 >/dev/null || need="$need qemu-system-x86"
command -v mke2fs >/dev/null || need="$need e2fsprogs"
command -v ssh >/dev/null || need="$need openssh-client"
command -v mmdebstrap >/dev/null || need="$need mmdebstrap"
if [ -n "$need" ]; then
    say "installing$need"
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
fi

mkdir -p "$here"
[ -e "$here/ops" ] || ssh-keygen -q -t ed25519 -N '' -C ops -f "$here/ops"
[ -e "$here/host" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$here/host"

# Somebody's Debian: a kernel, sshd, their key. Kept for the next time.
if [ ! -e "$here/root.ext4" ]; then
    say "laying out Debian ($suite)"
    root=$(mktemp -d "$here/root.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    chmod 0755 "$root"
    mmdebstrap --quiet --variant=minbase --mode=root \
        --include=linux-image-cloud-amd64,systemd-sysv,systemd-resolved,udev,dbus,openssh-server,sudo,iproute2,nftables,kmod,ca-certificates \
        "$suite" "$root" >"$here/debian.log" 2>&1 || { cat "$here/debian.log" >&2; exit 1; }
    printf 'theirs\n' >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 theirs\n' >"$root/etc/hosts"
    printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/10-dhcp.network"
    install -d -m 0700 "$root/root/.ssh"
    install -m 0600 "$here/ops.pub" "$root/root/.ssh/authorized_keys"
    rm -f "$root"/etc/ssh/ssh_host_*
    install -m 0600 "$here/host" "$root/etc/ssh/ssh_host_ed25519_key"
    install -m 0644 "$here/host.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
    chroot "$root" systemctl enable --quiet systemd-networkd ssh 2>>"$here/debian.log"
    cp "$root"/boot/vmlinuz-* "$here/vmlinuz"
    cp "$root"/boot/initrd.img-* "$here/initrd"
    rm -f "$here/new.ext4"
    mke2fs -q -t ext4 -L root -d "$root" "$here/new.ext4" 3G
    mv "$here/new.ext4" "$here/root.ext4"
    rm -rf "$root"
    trap - EXIT
fi

# Each run begins with the disk as it was laid out, and an empty second one.
run=$(mktemp -d "$here/run.XXXXXX")
cp --sparse=always --reflink=auto "$here/root.ext4" "$run/root.ext4"
truncate -s 64M "$run/data.ext4"
mke2fs -q -t ext4 -L data "$run/data.ext4"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 20022)
# A /dev/kvm that is there may still not do, as on a host that is a machine in a machine itself.
accel=tcg
if [ -w /dev/kvm ] && [ "$(timeout 3 qemu-system-x86_64 -accel kvm -cpu max -display none -S 2>/dev/null; echo $?)" = 124 ]; then
    accel=kvm
fi
qemu-system-x86_64 -accel "$accel" -cpu max -smp 2 -m 1024 -display none -serial "file:$run/console.log" \
    -kernel "$here/vmlinuz" -initrd "$here/initrd" -append "root=/dev/vda rw console=ttyS0 quiet" \
    -drive "file=$run/root.ext4,format=raw,if=virtio" -drive "file=$run/data.ext4,format=raw,if=virtio" \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net,netdev=net &
qemu=$!
end() {
    status=$?
    kill "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
    [ "$status" = 0 ] || { say "the last lines of the machine's console:"; tail -n 20 "$run/console.log" >&2; }
    rm -rf "$run"
}
trap end EXIT
trap 'exit 130' INT TERM

"$stead" init --name vm "$run/fleet" >/dev/null 2>&1
mkdir -p "$run/fleet/keys" "$run/fleet/playbooks"
install -m 0600 "$here/ops" "$run/fleet/keys/ops"
cp tests/vm/*.yaml "$run/fleet/playbooks/"
id=$(sed -n 's/.*\(fl_[0-9a-z]*\).*/\1/p' "$run/fleet/stead.yaml" | head -n 1)
cat >"$run/fleet/stead.yaml" <<YAML
fleet: {name: vm, id: $id}
providers: {own: {kind: ssh}}
tiers: {own: {provider: own, playbooks: [kernel]}}
workspaces:
  box:
    tier: own
    host: 127.0.0.1
    port: $port
    user: root
    identity: keys/ops
    host_key: "$(cut -d' ' -f1,2 "$here/host.pub")"
YAML

on() {
    ssh -i "$here/ops" -p "$port" -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=5 -o UserKnownHostsFile=/dev/null \
        -o StrictHostKeyChecking=no -o LogLevel=ERROR root@127.0.0.1 "$@"
}
say "waiting for the machine ($accel)"
tries=0
until on true 2>/dev/null; do
    kill -0 "$qemu" 2>/dev/null || { say "the machine ended"; exit 1; }
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || { say "no sshd after 10 minutes"; exit 1; }
    sleep 5
done
boot=$(on cat /proc/sys/kernel/random/boot_id)

# Up boots the machine in the middle of the playbook, and goes on.
"$stead" --fleet "$run/fleet" up
[ "$boot" != "$(on cat /proc/sys/kernel/random/boot_id)" ] || { say "it was not booted"; exit 1; }
"$stead" --fleet "$run/fleet" converge --check
"$stead" --fleet "$run/fleet" converge --playbook proof
# Past Stead: what holds after one more boot, which nobody of ours makes.
on systemctl reboot || true
sleep 10
tries=0
until on true 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] || { say "it did not come back"; exit 1; }
    sleep 5
done
"$stead" --fleet "$run/fleet" converge --playbook proof
"$stead" --fleet "$run/fleet" converge --check
"$stead" --fleet "$run/fleet" down --yes
on 'test ! -e /etc/stead && ! id stead 2>/dev/null'
say "all of it holds"

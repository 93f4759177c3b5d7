#!/bin/sh
# Everything that an image is put to, from nothing, with a table of what was seen: lock, build, verify (identical), audit (bars
# met), boot on BIOS and UEFI, promotion, difference, signature. Without KVM the audit alone takes half an hour.
# Usage: image-proof.sh STEAD [IMAGE]
set -eu
stead=$1 image=${2:-agent-node}
here=$PWD/target/image-proof
fleet=$here/fleet
table=$here/table.md
say() { echo "image-proof: $*" >&2; }

[ "$(id -u)" = 0 ] || { say "laying out a system's files needs root"; exit 1; }
"$stead" doctor --fix >/dev/null
command -v ssh-keygen >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends openssh-client >/dev/null; }

# Packages that came once are taken from the store again; nothing else is.
rm -rf "$fleet" "$here/cache/stages" "$here/record"
mkdir -p "$here"
export STEAD_CACHE_DIR="$here/cache"
"$stead" init --name proof "$fleet" >/dev/null 2>&1
printf '| step | found | seconds |\n| --- | --- | --- |\n' >"$table"

# step NAME FOUND COMMAND...: FOUND is shown where the command succeeds.
step() {
    name=$1 found=$2
    shift 2
    say "$name"
    begun=$(date +%s)
    if "$@" >"$here/$name.log" 2>&1; then
        # What a lock says of itself is what was found.
        packages=$(sed -n 's/.* \([0-9]* packages\),.*/\1/p' "$here/$name.log" | head -n 1)
        echo "| $name | ${found:-$packages} | $(($(date +%s) - begun)) |" >>"$table"
    else
        echo "| $name | **failed** | $(($(date +%s) - begun)) |" >>"$table"
        tail -n 30 "$here/$name.log" >&2
        cat "$table"
        exit 1
    fi
}
on() { "$stead" --fleet "$fleet" image "$@"; }
signed() {
    on show "$image" --export "$here/record" &&
        (cd "$here/record" && ssh-keygen -Y verify -f allowed_signers -I stead -n stead-image -s SHA256SUMS.sig <SHA256SUMS)
}
# A change of one playbook, as an operator makes it all day.
changed() {
    mkdir -p "$fleet/playbooks" "$fleet/images/$image" &&
        printf 'name: proof\ntasks:\n  - file: {path: /etc/stead-proof, content: "changed\\n", mode: "0644"}\n' >"$fleet/playbooks/proof.yaml" &&
        sed 's/^playbooks: \[\(.*\)\]/playbooks: [\1, proof]/' "images/$image/image.yaml" >"$fleet/images/$image/image.yaml" &&
        on build "$image"
}
# What differs: the file, and sizes; no package.
different() {
    on diff "$image:stable" "$image" >"$here/diff.txt" && grep -q '+ etc/stead-proof$' "$here/diff.txt" &&
        ! grep -q -e '^[-+~] ' -e '^files of [^n]' "$here/diff.txt"
}

step lock "" on lock "$image"
step tools "" on lock tools
step auditors "" on lock auditors
step build "" on build "$image"
again() { "$stead" --json --fleet "$fleet" image build "$image" | tee "$here/again.json" && grep -q '"made":\[\]' "$here/again.json"; }
step build-again "nothing made" again
step verify "identical" on verify "$image"
step boot-bios "all checks hold" on boot "$image" --firmware bios
step boot-uefi "all checks hold, Secure Boot on" on boot "$image" --firmware uefi
step audit "" on audit "$image"
# Each auditor's score, as the command told it: NAME [VERSION] SCORE BAR…
scores=$(sed -n 's/^\(profile\|cloud-init\|systemd\|lynis [0-9.]*\|ssh-audit\|openscap\)  *\([0-9.]*\)  .* passed .*/\1 \2/p' "$here/audit.log" | paste -sd, | sed 's/,/, /g')
sed -i "s/^| audit |  |/| audit | every bar met: $scores |/" "$table"
step promote "stable" on promote "$image"
step build-changed "one playbook changed" changed
step diff "the change, and nothing else" different
step signature "good" signed
size=$(on show "$image:stable" | sed -n 's/^disk.qcow2 *\([0-9.]* [KMG]iB\).*/\1/p')
[ -z "$size" ] || echo "| disk.qcow2 | $size | - |" >>"$table"
cat "$table"

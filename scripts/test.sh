#!/bin/sh
# All tests. As root, with everything they need installed, every one runs. Without root, those that need real nodes
# (their names begin with `node_` or `rooted_`) are listed as skipped.
set -eu
stead=$1
shift

# What needs root: real nodes, a real sshd, systemd's credentials.
rooted='test(/node_/) | test(/rooted_/) | test(/^ssh::tests/) | test(/^node::secrets/)'

if [ "$(id -u)" = 0 ]; then
    "$stead" doctor --fix
    need=
    [ -x /usr/sbin/sshd ] || need="$need openssh-server"
    command -v ssh >/dev/null || need="$need openssh-client"
    command -v age >/dev/null || need="$need age"
    command -v openssl >/dev/null || need="$need openssl"
    # Reads YAML as cloud-init does; without it that test would look at nothing.
    python3 -c 'import yaml' 2>/dev/null || [ -d /usr/lib/python3/dist-packages/yaml ] || need="$need python3-yaml"
    python3 -c 'import ensurepip' 2>/dev/null || need="$need python3-venv"
    # The real server; its tests start it themselves, so no cluster of the machine's own comes with it.
    if [ ! -d /usr/lib/postgresql ]; then
        need="$need postgresql"
        mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
    fi
    command -v pgbouncer >/dev/null || need="$need pgbouncer"
    if [ -n "$need" ]; then
        echo "Installing what only the tests need:$need"
        # The tests start an sshd of their own; the machine's must not start, now or at the next boot.
        policy=/usr/sbin/policy-rc.d
        [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
        case "$need" in *openssh-server*) systemctl disable ssh 2>/dev/null || true ;; esac
        case "$need" in *pgbouncer*) systemctl disable pgbouncer 2>/dev/null || true ;; esac
    fi
    # Asks the API what its own description allows, and what it does not.
    if [ ! -x .tools/schemathesis/bin/schemathesis ]; then
        python3 -m venv .tools/schemathesis
        .tools/schemathesis/bin/pip install --quiet --disable-pip-version-check schemathesis==4.32.5
    fi
    # Takes the mails that people sign in with.
    if [ ! -x .tools/aiosmtpd/bin/aiosmtpd ]; then
        python3 -m venv .tools/aiosmtpd
        .tools/aiosmtpd/bin/pip install --quiet --disable-pip-version-check aiosmtpd==1.4.6
    fi
    cargo nextest run "$@"
else
    # They run as any user, where the server is installed.
    [ -d /usr/lib/postgresql ] || rooted="$rooted | test(/postgres::/) | test(/^shared::/)"
    command -v pgbouncer >/dev/null || rooted="$rooted | test(/pooler/)"
    [ -x .tools/schemathesis/bin/schemathesis ] || rooted="$rooted | test(/schemathesis/)"
    [ -x .tools/aiosmtpd/bin/aiosmtpd ] || rooted="$rooted | test(/^api::accounts::/)"
    echo "skipped, since they need root (or, for some, the package postgresql):"
    cargo nextest list -E "$rooted" --message-format oneline
    cargo nextest run -E "not ($rooted)" "$@"
fi

#!/bin/sh
# The main job, from an empty folder to two healthy nodes: a fleet, a secret for each customer, `up`.
set -eu
stead=$1
fleet=demo
[ -e "$fleet/stead.yaml" ] || "$stead" init "$fleet"
# A value for each customer; it waits in the operator vault, encrypted, until the node is there.
for workspace in acme globex; do
    [ -e "$fleet/secrets/$workspace/OPENAI_API_KEY.age" ] ||
        head -c 24 /dev/urandom | base64 | "$stead" --fleet "$fleet" secret set "$workspace" OPENAI_API_KEY
done
"$stead" --fleet "$fleet" up

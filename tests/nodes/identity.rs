//! Another identity for a node: nothing that it holds, and nothing that is on its way to it, is lost, wherever it dies.

use stead::clock::{Clock, SystemClock};
use stead::secrets::seal::{Destination, seal};
use stead::store::{EnvelopeRecord, Node};
use stead::workflow::flows::{Params, rotate_identity};
use stead::workflow::test_helpers::exercise;

use crate::crash::dies_at;
use crate::fleet::TestFleet;
use crate::workbench::Workbench;

const STEPS: [&str; 5] = ["start", "prepare", "install", "promote", "retire"];

/// The recipients of the identities that the node has in use, the first one first.
fn recipients(fleet: &TestFleet, node: &Node) -> Vec<String> {
    let (_, said) = fleet.inside(&node.id.to_string(), "sed -n 's/^# public key: //p' /var/lib/stead/identity");
    said.lines().map(str::to_owned).collect()
}

/// What the workload answers: the fingerprints of the secrets that it was really given, after it was started anew.
pub(crate) fn workload(fleet: &TestFleet, node: &Node) -> String {
    workload_of(fleet, &node.id.to_string())
}

pub(crate) fn workload_of(fleet: &TestFleet, node: &str) -> String {
    let ask = "systemctl reset-failed agent@acme; systemctl restart agent@acme && exec 3<>/dev/tcp/127.0.0.1/8080 && \
               printf 'GET /health HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3 && timeout 5 cat <&3";
    fleet.inside(node, ask).1
}

#[tokio::test(flavor = "multi_thread")]
async fn node_identity_is_rotated_twice_over_and_fails_everywhere() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let bench = Workbench::new(&fleet).await;
    let workspace = bench.workspace("acme").await;
    let params = serde_json::to_value(Params::of(&workspace, "test")).expect("JSON");
    let record =
        async || bench.store.read().await.expect("read").node_of(workspace.id).await.expect("read").expect("there");
    let before = record().await;
    let clean = async || {
        let node = record().await;
        assert_eq!(node.recipient_pending, None);
        let used = recipients(&fleet, &node);
        assert_eq!(used.first(), node.recipient.as_ref(), "{used:?}");
        assert!(!fleet.inside(&node.id.to_string(), "test -e /var/lib/stead/identity.new").0);
    };
    let engine = |flow| bench.engine(flow);
    exercise(rotate_identity::flow, engine, &workspace.id.to_string(), &params, workspace.revision_id, clean).await;
    let after = record().await;
    assert_ne!(after.recipient, before.recipient);
    assert_eq!(recipients(&fleet, &after), [after.recipient.clone().expect("one")], "the old ones are destroyed");
    let secret = bench.store.read().await.expect("read").secret(workspace.id, "OPENAI_API_KEY").await.expect("read");
    let seen = workload(&fleet, &after);
    assert!(seen.contains(&secret.expect("recorded").fingerprint), "{seen}");
    drop(bench);
    // What is sealed from now on is opened.
    fleet.give("acme", "sk-planted-for-the-new-identity");
    let listed = fleet.json(&["secret", "list", "acme"]).to_string();
    assert!(listed.contains("delivered"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_identity_survives_a_kill_at_every_boundary_with_secrets_in_flight() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let rotate = ["node", "rotate-identity", "acme"];
    let bench = Workbench::new(&fleet).await;
    let workspace = bench.workspace("acme").await;
    let record =
        async || bench.store.read().await.expect("read").node_of(workspace.id).await.expect("read").expect("there");
    let before = record().await;
    for step in STEPS {
        for point in ["before", "after"] {
            dies_at(&fleet, &rotate, &format!("rotate-identity/{step}/{point}"));
            if (step, point) == ("install", "after") {
                // Sealed for the identity that is still the current one, as a request to the API does it.
                let node = record().await;
                assert_eq!((&node.recipient, node.recipient_pending.is_some()), (&before.recipient, true));
                let destination = Destination {
                    fleet: &fleet.id.parse().expect("an id"),
                    workspace: workspace.id,
                    node: node.id,
                    recipient: node.recipient.as_deref().expect("one"),
                    name: "LATE_KEY",
                    version: 1,
                };
                let now = SystemClock.now();
                let sealed = seal(&stead::redact::Secret::new(b"late".to_vec()), &destination, &bench.keys());
                let sealed = sealed.expect("sealed");
                let secret = sealed.record(&destination, None, now);
                let waiting = EnvelopeRecord {
                    node_id: node.id,
                    name: "LATE_KEY".into(),
                    version: 1,
                    envelope: sealed.envelope,
                    expires_at: now + chrono::TimeDelta::hours(1),
                };
                let put = bench.store.write(move |tx| {
                    Box::pin(async move {
                        tx.put_secret(&secret).await?;
                        tx.put_envelope(&waiting).await
                    })
                });
                put.await.expect("written");
            }
        }
    }
    fleet.ok(&rotate);
    let node = record().await;
    assert_ne!(node.recipient, before.recipient);
    assert_eq!(recipients(&fleet, &node), [node.recipient.clone().expect("one")]);
    let late = bench.store.read().await.expect("read").secret(workspace.id, "LATE_KEY").await.expect("read");
    assert_eq!(late.expect("recorded").state, stead::store::SecretState::Delivered);
    assert!(fleet.inside(&node.id.to_string(), "test -e /etc/credstore.encrypted/LATE_KEY").0);
    let workflows = fleet.json(&["workflow", "list", "--all"]).to_string();
    assert_eq!(workflows.matches("rotate-identity").count(), 1, "one, however often it died: {workflows}");
    // A node that does not answer keeps what it has.
    fleet.inside(&node.id.to_string(), "systemctl stop ssh.socket ssh.service");
    let refused = fleet.run(&rotate);
    assert_eq!(refused.status.code(), Some(1), "{}", crate::fleet::text(&refused));
    assert_eq!((record().await.recipient, record().await.recipient_pending), (node.recipient.clone(), None));
    assert_eq!(recipients(&fleet, &node), [node.recipient.expect("one")]);
}

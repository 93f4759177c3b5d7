//! Records: what is written is read, and what must not be is refused.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use stead::clock::{Clock, SystemClock};
use stead::id::{FleetId, RevisionId, SecretId, WorkflowId, WorkspaceId};
use stead::store::{
    BlobKey, Channel, EnvelopeRecord, Image, Listed, ManagedBy, Node, NodeRole, NodeState, SecretRecord, SecretState,
    StepRecord, StepState, Suspender, WorkflowRecord, WorkflowState, Workspace, WorkspaceState,
};
use stead::wire::envelope::Envelope;

use crate::{Kind, World, both};

both!(
    a_store_is_one_fleets,
    revisions_are_numbered_and_equal_ones_published_once,
    a_slug_is_unique_without_case_until_its_workspace_is_gone,
    a_nodes_record_comes_back_and_refuses_a_lower_fence,
    secrets_keep_the_newest_and_envelopes_go_when_acknowledged_or_late,
    an_image_is_recorded_by_its_key,
    a_channel_points_at_one_build,
    a_workflow_is_written_only_under_its_latest_fence,
    a_reader_sees_one_state_while_others_write,
    what_is_asked_together_is_answered_to_each_and_never_old,
    a_workspace_and_its_node_are_the_same_together_and_alone,
);

#[tokio::test]
async fn the_embedded_store_is_its_owners_alone() {
    let world = World::new(Kind::Sqlite).await;
    let mode = |name: &str| std::fs::metadata(world.store.dir().join(name)).unwrap().permissions().mode() & 0o777;
    let modes = ["", "blobs", "store.db", "store.db-wal"].map(mode);
    assert_eq!(modes, [0o700, 0o700, 0o600, 0o600]);
}

async fn a_store_is_one_fleets(kind: Kind) {
    let world = World::new(kind).await;
    world.store.bind_fleet(&world.fleet).await.unwrap();
    let error = world.store.bind_fleet(&FleetId::mint()).await.unwrap_err();
    assert!(error.to_string().contains(world.fleet.as_str()), "{error}");
}

async fn revisions_are_numbered_and_equal_ones_published_once(kind: Kind) {
    let world = World::new(kind).await;
    let blob = BlobKey::of(b"files");
    let mut published = Vec::new();
    for digest in ["a", "a", "b", "a"] {
        let blob = blob.clone();
        let publish =
            world.store.write(move |tx| Box::pin(async move { tx.publish(digest, &blob, "local:root").await }));
        published.push(publish.await.unwrap());
    }
    let numbers: Vec<_> = published.iter().map(|(revision, new)| (revision.number, *new)).collect();
    assert_eq!(numbers, [(1, true), (1, false), (2, true), (3, true)]);
    let mut reader = world.store.read().await.unwrap();
    assert_eq!(reader.latest_revision().await.unwrap().unwrap(), published[3].0);
    assert_eq!(reader.revision(published[0].0.id).await.unwrap().unwrap(), published[1].0);
    assert_eq!(reader.revision(RevisionId::new()).await.unwrap(), None);
    assert_eq!(reader.revisions().await.unwrap().len(), 3);
}

async fn a_slug_is_unique_without_case_until_its_workspace_is_gone(kind: Kind) {
    let world = World::new(kind).await;
    let (mut acme, _) = world.with_node("acme").await;
    let twin = Workspace::new("ACME", "starter", ManagedBy::Api, SystemClock.now());
    let insert =
        |twin: Workspace| world.store.write(move |tx| Box::pin(async move { tx.insert_workspace(&twin).await }));
    let error = insert(twin.clone()).await.unwrap_err();
    assert!(error.to_string().contains("\"ACME\""), "{error}");
    assert_eq!(error.kind().exit_code(), 2);

    acme.state = WorkspaceState::Gone;
    let gone = acme.clone();
    world.store.write(move |tx| Box::pin(async move { tx.update_workspace(&gone).await })).await.unwrap();
    insert(twin.clone()).await.unwrap();
    let mut reader = world.store.read().await.unwrap();
    assert_eq!(reader.workspace_by_slug("Acme").await.unwrap().unwrap().id, twin.id);
    assert_eq!(reader.workspaces(Listed::Live).await.unwrap(), [twin]);
    assert_eq!(reader.workspaces(Listed::All).await.unwrap().len(), 2);
}

async fn a_nodes_record_comes_back_and_refuses_a_lower_fence(kind: Kind) {
    let world = World::new(kind).await;
    let (workspace, mut node) = world.with_node("acme").await;
    node.state = NodeState::Ready;
    node.addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
    node.host_key = Some("ssh-ed25519 AAAA".into());
    (node.recipient, node.recipient_pending) = (Some("age1old".into()), Some("age1new".into()));
    node.verified = true;
    node.details = json!({"machine": "m-1"});
    node.fence = 7;
    let update = |node: Node| world.store.write(move |tx| Box::pin(async move { tx.update_node(&node).await }));
    update(node.clone()).await.unwrap();
    let found = world.store.read().await.unwrap().node_of(workspace.id).await.unwrap().unwrap();
    node.updated_at = found.updated_at;
    assert_eq!(found, node);
    assert_eq!(world.store.read().await.unwrap().node_by_mark(&node.mark).await.unwrap().unwrap(), node);

    // A rebuild's own nodes stand beside it, one of each kind, and serve nobody.
    let beside = |role| Node { role, ..Node::new(&world.fleet, workspace.id, "local", "local", SystemClock.now()) };
    let insert = |node: Node| world.store.write(move |tx| Box::pin(async move { tx.insert_node(&node).await }));
    let incoming = beside(NodeRole::Incoming);
    insert(incoming.clone()).await.unwrap();
    assert!(insert(beside(NodeRole::Incoming)).await.unwrap_err().to_string().contains("has a node already"));
    let mut reader = world.store.read().await.unwrap();
    assert_eq!(reader.node_of(workspace.id).await.unwrap().unwrap(), node);
    assert_eq!(reader.nodes_of(&[workspace.id]).await.unwrap()[&workspace.id], node);
    assert_eq!(reader.node_as(workspace.id, NodeRole::Incoming).await.unwrap().unwrap(), incoming);
    assert_eq!(reader.node_as(workspace.id, NodeRole::Outgoing).await.unwrap(), None);
    assert_eq!(reader.all_nodes_of(workspace.id).await.unwrap().len(), 2);
    drop(reader);
    // The one takes the other's place.
    let (old, new) = (node.clone(), incoming.clone());
    let switch = world.store.write(move |tx| {
        Box::pin(async move {
            tx.update_node(&Node { role: NodeRole::Outgoing, ..old }).await?;
            tx.update_node(&Node { role: NodeRole::Serving, ..new }).await
        })
    });
    switch.await.unwrap();
    let serving = world.store.read().await.unwrap().node_of(workspace.id).await.unwrap().unwrap();
    assert_eq!(serving.id, incoming.id);
    update(Node { state: NodeState::Gone, ..serving }).await.unwrap();
    update(node.clone()).await.unwrap();

    let stale = Node { fence: 6, state: NodeState::Gone, ..node.clone() };
    let error = update(stale).await.unwrap_err();
    assert!(error.to_string().contains("taken over by another program (fence 7, ours is 6)"), "{error}");

    let second = Node::new(&world.fleet, workspace.id, "local", "local", SystemClock.now());
    assert!(insert(second.clone()).await.unwrap_err().to_string().contains("has a node already"));
    update(Node { state: NodeState::Gone, ..node }).await.unwrap();
    insert(second.clone()).await.unwrap();
    assert_eq!(world.store.read().await.unwrap().nodes(Listed::Live).await.unwrap(), [second]);
}

async fn secrets_keep_the_newest_and_envelopes_go_when_acknowledged_or_late(kind: Kind) {
    let world = World::new(kind).await;
    let (workspace, node) = world.with_node("acme").await;
    let now = SystemClock.now();
    let secret = |version| SecretRecord {
        id: SecretId::new(),
        workspace_id: workspace.id,
        name: "KEY".into(),
        version,
        fingerprint: format!("f{version}"),
        masked_tail: None,
        salt: "00".into(),
        state: SecretState::Vault,
        node_id: None,
        delivered_at: None,
        created_at: now,
        updated_at: now,
        lost_at: None,
    };
    let put = |secret: SecretRecord| world.store.write(move |tx| Box::pin(async move { tx.put_secret(&secret).await }));
    put(secret(1)).await.unwrap();
    put(secret(2)).await.unwrap();
    assert!(put(secret(1)).await.is_err(), "an older value");
    let found = world.store.read().await.unwrap().secrets(workspace.id).await.unwrap();
    assert_eq!(found.iter().map(|s| s.fingerprint.as_str()).collect::<Vec<_>>(), ["f2"]);

    let envelope = move |version, seconds| EnvelopeRecord {
        node_id: node.id,
        name: "KEY".into(),
        version,
        envelope: Envelope {
            fleet: "fl_testtest".into(),
            node: node.id.to_string(),
            name: "KEY".into(),
            version,
            ciphertext: String::new(),
            signature: String::new(),
        },
        expires_at: now + chrono::TimeDelta::seconds(seconds),
    };
    let expired = world.store.write(move |tx| {
        Box::pin(async move {
            for envelope in [envelope(1, 60), envelope(2, 60), envelope(3, 60), envelope(4, -60)] {
                tx.put_envelope(&envelope).await?;
            }
            tx.acknowledge_envelope(node.id, "KEY", 2).await?;
            tx.expire_envelopes().await
        })
    });
    assert_eq!(expired.await.unwrap(), 1);
    let left = world.store.read().await.unwrap().envelopes(node.id, now).await.unwrap();
    assert_eq!(left.iter().map(|e| e.envelope.version).collect::<Vec<_>>(), [3]);
}

async fn an_image_is_recorded_by_its_key(kind: Kind) {
    let world = World::new(kind).await;
    let image = Image {
        key: "k1".into(),
        name: "agent-node".into(),
        suite: "trixie".into(),
        arch: "amd64".into(),
        size: 1 << 33,
        location: "/var/cache/x".into(),
        built_at: SystemClock.now(),
        build_seconds: 80,
        record: None,
    };
    let put = image.clone();
    let written = world.store.write(move |tx| {
        Box::pin(async move {
            tx.put_image(&put).await?;
            tx.put_image(&put).await
        })
    });
    written.await.unwrap();
    assert_eq!(world.store.read().await.unwrap().image("k1").await.unwrap(), Some(image.clone()));
    assert_eq!(world.store.read().await.unwrap().images().await.unwrap(), std::slice::from_ref(&image));
    let record = serde_json::json!({"disk": "d"});
    let written = record.clone();
    world.store.write(move |tx| Box::pin(async move { tx.set_image_record("k1", &written).await })).await.unwrap();
    // Built again: what is known of its disk stays.
    world.store.write(move |tx| Box::pin(async move { tx.put_image(&image).await })).await.unwrap();
    assert_eq!(world.store.read().await.unwrap().image("k1").await.unwrap().unwrap().record, Some(record));
    world.store.write(|tx| Box::pin(async move { tx.delete_image("k1").await })).await.unwrap();
    assert_eq!(world.store.read().await.unwrap().image("k1").await.unwrap(), None);
}

async fn a_channel_points_at_one_build(kind: Kind) {
    let world = World::new(kind).await;
    let now = SystemClock.now();
    let channel = |key: &str| Channel { image: "i".into(), name: "stable".into(), key: key.into(), since: now };
    let image = |key: &str| Image {
        key: key.into(),
        name: "i".into(),
        suite: "trixie".into(),
        arch: "amd64".into(),
        size: 1,
        location: String::new(),
        built_at: now,
        build_seconds: 1,
        record: None,
    };
    let nowhere = channel("k0");
    let put = world.store.write(move |tx| Box::pin(async move { tx.put_channel(&nowhere).await }));
    assert!(put.await.is_err(), "there is no such build");
    for key in ["k1", "k2"] {
        let (image, channel) = (image(key), channel(key));
        let written = world.store.write(move |tx| {
            Box::pin(async move {
                tx.put_image(&image).await?;
                tx.put_channel(&channel).await
            })
        });
        written.await.unwrap();
    }
    let mut reader = world.store.read().await.unwrap();
    assert_eq!(reader.channel("i", "stable").await.unwrap(), Some(channel("k2")));
    assert_eq!(reader.channels().await.unwrap(), [channel("k2")]);
    assert_eq!(reader.channel("i", "other").await.unwrap(), None);
}

async fn a_workflow_is_written_only_under_its_latest_fence(kind: Kind) {
    let world = World::new(kind).await;
    let now = SystemClock.now();
    let workflow = WorkflowRecord::new("provision", "nd_1", json!({"a": 1}), now);
    let (first, until) = (workflow.clone(), now + Duration::from_secs(30));
    let id = workflow.id;
    let written = world.store.write(move |tx| {
        Box::pin(async move {
            tx.insert_workflow(&first).await?;
            let old = tx.lease_workflow(id, "a", until).await?;
            let new = tx.lease_workflow(id, "b", until).await?;
            assert!(new > old);
            let step = StepRecord {
                workflow_id: id,
                position: 0,
                name: "create".into(),
                state: StepState::Done,
                attempt: 1,
                output: Some(json!({"x": [1]})),
                error: None,
                started_at: Some(now),
                ended_at: None,
            };
            assert!(!tx.put_step(&step, old).await?);
            assert!(tx.put_step(&step, new).await?);
            assert!(!tx.renew_lease(id, old, until).await?);
            assert!(tx.renew_lease(id, new, until).await?);
            let record = WorkflowRecord { fence: old, state: WorkflowState::Failed, ..first };
            assert!(!tx.update_workflow(&record).await?);
            let record = WorkflowRecord { fence: new, trace: Some("00-1-2-01".into()), ..record };
            assert!(tx.update_workflow_state(&WorkflowRecord { state: WorkflowState::Queued, ..record }).await?);
            assert_eq!(tx.workflow(id).await?.and_then(|workflow| workflow.trace).as_deref(), Some("00-1-2-01"));
            assert_eq!(tx.steps(id).await?, [step]);
            Ok(())
        })
    });
    written.await.unwrap();
    let mut reader = world.store.read().await.unwrap();
    let live = reader.live_workflow("provision", "nd_1").await.unwrap().unwrap();
    assert_eq!((live.id, live.state, live.holder.as_deref()), (id, WorkflowState::Queued, Some("b")));
    assert_eq!(reader.workflows(Listed::Live).await.unwrap(), [live]);
    let leases = reader.count_leases(now).await.unwrap();
    assert_eq!((leases.held, leases.expired), (1, 0));
    let leases = reader.count_leases(until).await.unwrap();
    assert_eq!((leases.held, leases.expired), (0, 1));
    drop(reader);
    let twin = WorkflowRecord { id: WorkflowId::new(), ..workflow };
    let twin = world.store.write(move |tx| Box::pin(async move { tx.insert_workflow(&twin).await }));
    assert!(twin.await.is_err(), "one live workflow per kind and subject");
}

async fn a_reader_sees_one_state_while_others_write(kind: Kind) {
    let world = World::new(kind).await;
    let mut reader = world.store.read().await.unwrap();
    assert!(reader.workspaces(Listed::All).await.unwrap().is_empty());
    world.with_node("acme").await;
    assert!(reader.nodes(Listed::All).await.unwrap().is_empty(), "as it was when reading began");
    assert_eq!(world.open_again().await.read().await.unwrap().nodes(Listed::All).await.unwrap().len(), 1);
}

async fn what_is_asked_together_is_answered_to_each_and_never_old(kind: Kind) {
    let world = World::new(kind).await;
    let mut there = Vec::new();
    for number in 0..20 {
        there.push(world.with_node(&format!("w{number}")).await);
    }
    let asked = (0..400_usize).map(|number| {
        let (store, ours) = (world.store.clone(), there[number % 20].clone());
        tokio::spawn(async move {
            // Every third asks for what is not there.
            if number % 3 == 0 {
                assert_eq!(store.workspace_with_node(WorkspaceId::new()).await.unwrap(), None);
                return;
            }
            let (workspace, node) = store.workspace_with_node(ours.0.id).await.unwrap().unwrap();
            assert_eq!((workspace.slug, node.map(|node| node.mark)), (ours.0.slug, Some(ours.1.mark)));
        })
    });
    for answered in asked.collect::<Vec<_>>() {
        answered.await.unwrap();
    }
    // While a rebuild replaces a node, two of them are the workspace's, and one serves it.
    let (workspace, node) = there[0].clone();
    let mut incoming = Node::new(&world.fleet, workspace.id, "local", "local", SystemClock.now());
    incoming.role = NodeRole::Incoming;
    world.store.write(move |tx| Box::pin(async move { tx.insert_node(&incoming).await })).await.unwrap();
    let (_, serving) = world.store.workspace_with_node(workspace.id).await.unwrap().unwrap();
    assert_eq!(serving.map(|serving| serving.id), Some(node.id));
    // Whoever asks after a write is told of it, however many ask at the same time.
    let noise = tokio::spawn({
        let (store, id) = (world.store.clone(), there[1].0.id);
        async move {
            loop {
                store.workspace_with_node(id).await.unwrap();
            }
        }
    });
    let mut workspace = there[0].0.clone();
    for round in 0..30_u32 {
        workspace.name = Some(format!("round {round}"));
        let written = workspace.clone();
        let write = world.store.write(move |tx| Box::pin(async move { tx.update_workspace(&written).await }));
        write.await.unwrap();
        let (seen, _) = world.store.workspace_with_node(workspace.id).await.unwrap().unwrap();
        assert_eq!(seen.name, workspace.name);
    }
    noise.abort();
}

async fn a_workspace_and_its_node_are_the_same_together_and_alone(kind: Kind) {
    let world = World::new(kind).await;
    let (mut workspace, mut node) = world.with_node("acme").await;
    let now = SystemClock.now();
    let word = |word: &str| Some(format!("{word} \"\\\n\u{7f}\u{1f980}"));
    workspace.name = word("name");
    workspace.suspend(Suspender::Operator, word("reason"), now);
    node.addresses = ["10.83.0.2".parse().unwrap(), "fd00::1".parse().unwrap()].into();
    (node.ssh_port, node.verified, node.state) = (65535, true, NodeState::Degraded);
    (node.bootstrap_host_key, node.host_key, node.host_key_pending) = (word("first"), word("now"), word("next"));
    (node.recipient, node.recipient_pending) = (word("recipient"), word("pending"));
    (node.image, node.agent_version, node.playbook_digest) = (word("image"), word("version"), word("digest"));
    node.details = json!({"arch": "amd64", "list": [1, null, true, 0.5], "word": word("detail")});
    let (id, node_id, written) = (workspace.id, node.id, (workspace, node));
    let write = world.store.write(move |tx| {
        Box::pin(async move {
            tx.update_workspace(&written.0).await?;
            tx.update_node(&written.1).await
        })
    });
    write.await.unwrap();
    let mut reader = world.store.read().await.unwrap();
    let alone = (reader.workspace(id).await.unwrap().unwrap(), reader.node(node_id).await.unwrap());
    assert_eq!(alone.1.as_ref().map(|node| (&node.details["list"][3], node.verified)), Some((&json!(0.5), true)));
    assert_eq!(world.store.workspace_with_node(id).await.unwrap(), Some(alone));

    let bare = Workspace::new("bare", "starter", ManagedBy::Files, now);
    let (id, written) = (bare.id, bare.clone());
    world.store.write(move |tx| Box::pin(async move { tx.insert_workspace(&written).await })).await.unwrap();
    assert_eq!(world.store.workspace_with_node(id).await.unwrap(), Some((bare, None)));
}

//! Backup, and going on from it elsewhere; taking an embedded store over into PostgreSQL.

use std::io::Read;
use std::sync::Arc;

use camino::Utf8PathBuf;
use serde_json::json;
use stead::audit::{self, Entry};
use stead::clock::{Clock, SystemClock};
use stead::id::SecretId;
use stead::store::{
    Ability, Channel, EnvelopeRecord, Image, Listed, SecretRecord, SecretState, StepRecord, StepState, Store,
    WorkflowRecord, restore, restore_into,
};
use stead::wire::envelope::Envelope;
use stead::workflow::Outcome;

use crate::crash::engine;
use crate::{Kind, World, both, open};

both!(
    restored_elsewhere_it_goes_on,
    a_damaged_backup_is_refused_and_leaves_nothing,
    a_workflow_goes_on_on_the_machine_that_was_restored_to,
);

async fn restored_elsewhere_it_goes_on(kind: Kind) {
    let world = World::new(kind).await;
    world.with_node("acme").await;
    let blob = world.store.blobs().put(vec![5; 300_000]).await.unwrap();
    let old = world.store.write(|tx| Box::pin(async move { tx.next_fence().await })).await.unwrap();
    let file = world.path("backup.stead");
    let manifest = world.store.backup(&file).await.unwrap();
    assert_eq!(manifest.fleet.as_ref(), Some(&world.fleet));
    assert_eq!(manifest.entries.len(), 2);
    assert!(world.store.backup(&file).await.unwrap_err().to_string().contains("exists"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let elsewhere = world.path("elsewhere/.stead");
    assert_eq!(restore(&file, &elsewhere, Arc::new(SystemClock)).await.unwrap(), manifest);
    let names: Vec<_> = std::fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing but records and blobs: {names:?}");
    let store = open(&elsewhere).await;
    store.bind_fleet(&world.fleet).await.unwrap();
    assert_eq!(store.read().await.unwrap().nodes(Listed::Live).await.unwrap().len(), 1);
    assert_eq!(store.blobs().get(&blob).await.unwrap(), vec![5; 300_000]);
    let new = store.write(|tx| Box::pin(async move { tx.next_fence().await })).await.unwrap();
    assert!(new > old + 1000, "nodes may have seen higher fences than the backup: {new}");
    assert_eq!(audit::verify(&store).await.unwrap().broken, None);

    let error = restore(&file, &elsewhere, Arc::new(SystemClock)).await.unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
}

async fn a_damaged_backup_is_refused_and_leaves_nothing(kind: Kind) {
    let world = World::new(kind).await;
    // Nothing that can be compressed, and most of the file: in a run of zeros, other bytes of a compressed stream may stand for
    // the same zeros, which is no damage.
    let mut noise = vec![0; 1 << 20];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    world.store.blobs().put(noise).await.unwrap();
    let file = world.path("backup.stead");
    world.store.backup(&file).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut sum = whole.clone();
    *sum.last_mut().unwrap() ^= 1;
    let cases = [
        ("flipped", flipped),
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("sum", sum),
        ("more", [&whole[..], b"more"].concat()),
        ("other", b"hello".to_vec()),
    ];
    for (name, bytes) in cases {
        let damaged = world.path(name);
        std::fs::write(&damaged, bytes).unwrap();
        let dir = world.path("elsewhere");
        let error = restore(&damaged, &dir, Arc::new(SystemClock)).await.unwrap_err();
        assert!(format!("{error:?}").contains("not a whole backup"), "{name}: {error:?}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{name}");
        let empty = World::unbound(Kind::Postgres).await;
        let error = restore_into(&empty.store, &damaged, Arc::new(SystemClock)).await.unwrap_err();
        assert!(format!("{error:?}").contains("not a whole backup"), "{name}: {error:?}");
        assert_eq!(empty.store.read().await.unwrap().fleet().await.unwrap(), None);
    }
}

/// Into an empty machine of either kind.
async fn restored(world: &World, file: &Utf8PathBuf, to: Kind) -> World {
    let empty = World::unbound(to).await;
    match to {
        Kind::Sqlite => {
            let dir = empty.path("restored");
            restore(file, &dir, Arc::new(SystemClock)).await.unwrap();
            World { store: open(&dir).await, ..empty }
        }
        Kind::Postgres => {
            restore_into(&empty.store, file, Arc::new(SystemClock)).await.unwrap();
            let error = restore_into(&empty.store, file, Arc::new(SystemClock)).await.unwrap_err();
            assert!(
                error.to_string().contains(&format!("holds the fleet {} already", world.fleet.as_str())),
                "{error}"
            );
            empty
        }
    }
}

async fn a_workflow_goes_on_on_the_machine_that_was_restored_to(kind: Kind) {
    for to in [Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let files = world.path("files");
        std::fs::create_dir(&files).unwrap();
        // Half done, by a program that the backup took in the midst of a step.
        let before = engine(world.store.clone(), files.clone());
        let id = before.enqueue("files", "nd_1", &json!({"fail": false}), None).await.unwrap();
        let half = world.store.write(move |tx| {
            Box::pin(async move {
                let until = tx.now() + std::time::Duration::from_secs(3600);
                let fence = tx.lease_workflow(id, "another machine", until).await?;
                let step = |position, name: &str, state| StepRecord {
                    workflow_id: id,
                    position,
                    name: name.into(),
                    state,
                    attempt: 1,
                    output: Some(json!(null)),
                    error: None,
                    started_at: None,
                    ended_at: None,
                };
                assert!(tx.put_step(&step(0, "one", StepState::Done), fence).await?);
                tx.put_step(&step(1, "two", StepState::Running), fence).await
            })
        });
        assert!(half.await.unwrap());
        let file = world.path("backup.stead");
        world.store.backup(&file).await.unwrap();

        let restored = restored(&world, &file, to).await;
        let ended = engine(restored.store.clone(), files.clone()).resume(1).await.unwrap();
        assert!(matches!(&ended[..], [(ended, Ok(Outcome::Succeeded))] if *ended == id), "{to:?}: {ended:?}");
        let mut made: Vec<_> = std::fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        made.sort();
        assert_eq!(made, ["three", "two"], "{to:?}: what was done is not done again");
    }
}

/// A store with something in every table and column.
async fn full() -> World {
    let world = World::new(Kind::Sqlite).await;
    let blob = world.store.blobs().put("a revision").await.unwrap();
    let (workspace, mut node) = world.with_node("acme").await;
    let now = SystemClock.now();
    let fleet = world.fleet.to_string();
    let written = world.store.write(move |tx| {
        Box::pin(async move {
            let (revision, _) = tx.publish("d", &blob, "local:root").await?;
            let mut workspace = workspace;
            workspace.revision_id = Some(revision.id);
            tx.update_workspace(&workspace).await?;
            node.addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
            node.details = json!({"size": {"memory": 1, "name": "é\"\\"}, "none": null});
            (node.verified, node.host_key, node.recipient) = (true, Some("k".into()), Some("age1".into()));
            tx.update_node(&node).await?;
            let image = Image {
                key: "k1".into(),
                name: "i".into(),
                suite: "trixie".into(),
                arch: "amd64".into(),
                size: 1 << 40,
                location: "l".into(),
                built_at: now,
                build_seconds: 7,
                record: None,
            };
            tx.put_image(&image).await?;
            tx.set_image_record("k1", &json!({"disk": [1, 2]})).await?;
            tx.put_channel(&Channel { image: "i".into(), name: "stable".into(), key: "k1".into(), since: now }).await?;
            let secret = SecretRecord {
                id: SecretId::new(),
                workspace_id: workspace.id,
                name: "KEY".into(),
                version: 3,
                fingerprint: "f".into(),
                masked_tail: Some("tail".into()),
                salt: "00".into(),
                state: SecretState::Delivered,
                node_id: Some(node.id),
                delivered_at: Some(now),
                created_at: now,
                updated_at: now,
                lost_at: None,
            };
            tx.put_secret(&secret).await?;
            let envelope = Envelope {
                fleet,
                node: node.id.to_string(),
                name: "KEY".into(),
                version: 3,
                ciphertext: "c".into(),
                signature: "s".into(),
            };
            let expires_at = now + std::time::Duration::from_secs(60);
            tx.put_envelope(&EnvelopeRecord { node_id: node.id, name: "KEY".into(), version: 3, envelope, expires_at })
                .await?;
            let workflow = WorkflowRecord {
                revision_id: Some(revision.id),
                error: Some("e\nhint: h".into()),
                needs: Some(Ability::Local),
                host: Some("h".into()),
                run_after: Some(now),
                trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
                ..WorkflowRecord::new("provision", &workspace.id.to_string(), json!({"a": [1, "b"]}), now)
            };
            tx.insert_workflow(&workflow).await?;
            Entry::new("local:root", "node.create", "nd_1")
                .detail("n", 1)
                .personal("email", "ac_1", "ada@example.com")
                .append(tx)
                .await
        })
    });
    written.await.unwrap();
    audit::seal(&world.store).await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_taken_over_whole_and_then_refuses_to_be_used() {
    let old = full().await;
    let new = World::unbound(Kind::Postgres).await;
    new.store.take_over(&old.store, "here").await.unwrap();
    new.store.take_over(&old.store, "here").await.unwrap();
    new.store.bind_fleet(&old.fleet).await.unwrap();
    let (mut was, mut is) = (old.store.read().await.unwrap(), new.store.read().await.unwrap());
    assert_eq!(was.revisions().await.unwrap(), is.revisions().await.unwrap());
    assert_eq!(was.workspaces(Listed::All).await.unwrap(), is.workspaces(Listed::All).await.unwrap());
    assert_eq!(was.nodes(Listed::All).await.unwrap(), is.nodes(Listed::All).await.unwrap());
    assert_eq!(is.nodes(Listed::All).await.unwrap()[0].host.as_deref(), Some("here"), "it lies where the store was");
    assert_eq!(was.images().await.unwrap(), is.images().await.unwrap());
    assert_eq!(was.channels().await.unwrap(), is.channels().await.unwrap());
    let (workspace, node) =
        (was.workspaces(Listed::All).await.unwrap()[0].id, was.nodes(Listed::All).await.unwrap()[0].id);
    assert_eq!(was.secrets(workspace).await.unwrap(), is.secrets(workspace).await.unwrap());
    let now = SystemClock.now();
    assert_eq!(was.envelopes(node, now).await.unwrap()[0].envelope, is.envelopes(node, now).await.unwrap()[0].envelope);
    assert_eq!(was.workflows(Listed::All).await.unwrap(), is.workflows(Listed::All).await.unwrap());
    let entries = was.audit_entries(0, 10).await.unwrap();
    assert_eq!(entries, is.audit_entries(0, 10).await.unwrap());
    assert_eq!(was.audit_personal(entries[0].id).await.unwrap(), is.audit_personal(entries[0].id).await.unwrap());
    drop((was, is));
    assert_eq!(audit::verify(&new.store).await.unwrap().verified, 1);
    let blob = stead::store::BlobKey::of(b"a revision");
    assert_eq!(new.store.blobs().get(&blob).await.unwrap(), "a revision");

    // New entries and fences go on behind the old ones.
    let fence = |store: Store| async move {
        let append = store.write(|tx| {
            Box::pin(async move {
                Entry::new("local:root", "node.create", "nd_2").append(tx).await?;
                tx.next_fence().await
            })
        });
        append.await.unwrap()
    };
    let before = fence(old.store.clone()).await;
    assert!(fence(new.store.clone()).await >= before);
    audit::seal(&new.store).await.unwrap();
    assert_eq!(audit::verify(&new.store).await.unwrap().verified, 2);

    let error = old.open_again().await.bind_fleet(&old.fleet).await.unwrap_err();
    assert!(error.to_string().contains("was taken over: it is in the database test_"), "{error}");
    let second = World::unbound(Kind::Postgres).await;
    let error = second.store.take_over(&old.store, "here").await.unwrap_err();
    assert!(
        error.to_string().contains("was taken over: it is in the database test_"),
        "a fleet has one store: {error}"
    );
    // The database under another name, and a fresh copy of the fleet's folder: the same fleet, taken over.
    old.meddle("UPDATE settings SET value = 'in the database x at y' WHERE key = 'moved'").await;
    new.store.take_over(&old.store, "here").await.unwrap();
    let fresh = World::unbound(Kind::Sqlite).await;
    fresh.store.bind_fleet(&old.fleet).await.unwrap();
    new.store.take_over(&fresh.store, "here").await.unwrap();
    let beside = full().await;
    beside
        .meddle(Box::leak(format!("UPDATE settings SET value = '{}' WHERE key = 'fleet'", old.fleet).into_boxed_str()))
        .await;
    let error = new.store.take_over(&beside.store, "here").await.unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");

    let other = full().await;
    let error = new.store.take_over(&other.store, "here").await.unwrap_err();
    assert!(error.to_string().contains(&format!("holds the fleet {} already", old.fleet.as_str())), "{error}");
    other.open_again().await.bind_fleet(&other.fleet).await.unwrap();
}
